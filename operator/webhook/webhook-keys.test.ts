import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { type KeyTexts, renewedTexts } from "./webhook-keys.ts";

const NONE: KeyTexts = { "ca.crt": "", "ca.key": "", "tls.crt": "", "tls.key": "" };
const START_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const HOSTS = ["fl-webhook.fairlead-system.svc"];

function authorities(texts: KeyTexts): X509Certificate[] {
  const blocks = texts["ca.crt"].match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n?/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

test("keys are made once, for the names that are called", async () => {
  const made = await renewedTexts(NONE, { hosts: HOSTS, wallMs: START_MS });
  assert(made !== undefined);
  assert.equal(await renewedTexts(made, { hosts: HOSTS, wallMs: START_MS }), undefined);
  const server = new X509Certificate(made["tls.crt"]);
  assert(server.checkHost(HOSTS[0] ?? "") !== undefined);
  const other = await renewedTexts(made, { hosts: ["localhost"], wallMs: START_MS });
  assert(other !== undefined);
  assert.equal(other["ca.crt"], made["ca.crt"]);
  const damaged = { ...made, "tls.key": made["ca.key"] };
  assert(await renewedTexts(damaged, { hosts: HOSTS, wallMs: START_MS }));
});

test("looked at each day for six years, what is served is always announced and valid", async () => {
  let texts = NONE;
  let announced: X509Certificate[] = [];
  const [servers, roots] = [new Set<string>(), new Set<string>()];
  for (let day = 0; day < 6 * 365; day += 5) {
    const wallMs = START_MS + day * DAY_MS;
    const next = await renewedTexts(texts, { hosts: HOSTS, wallMs });
    texts = next ?? texts;
    const server = new X509Certificate(texts["tls.crt"]);
    const valid = (one: X509Certificate): boolean =>
      one.validFromDate.getTime() <= wallMs && one.validToDate.getTime() > wallMs;
    assert(valid(server), `day ${day}`);
    const signer = authorities(texts).find((one) => server.verify(one.publicKey));
    assert(signer !== undefined && valid(signer), `day ${day}: its authority is in the bundle`);
    // The API server still believes yesterday's bundle for a moment.
    if (day > 0) assert(announced.some((one) => one.fingerprint256 === signer.fingerprint256));
    announced = authorities(texts);
    assert(announced.length <= 2, `day ${day}: ${announced.length} authorities`);
    servers.add(server.fingerprint256);
    roots.add(announced[0]?.fingerprint256 ?? "");
  }
  assert(servers.size >= 30 && roots.size >= 3, `${servers.size} servers, ${roots.size} roots`);
});
