/** Messages that are too long or never end, in either direction: refused, and nothing is kept. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { configOf, createIdentities } from "./identities-harness.ts";
import { closePairs, SessionPair } from "./session-pair-harness.ts";
import type { TlsEngine, TlsEngineFactory } from "./tls-engine.ts";

const identities = await createIdentities();
afterEach(closePairs);

/** A pair, and the client's TLS to write to behind its back. */
function pairOf(change: { readonly push?: readonly string[] } = {}): {
  readonly pair: SessionPair;
  readonly engines: TlsEngine[];
} {
  const engines: TlsEngine[] = [];
  const keeping = (factory: TlsEngineFactory): TlsEngineFactory => {
    return (role, handlers) => {
      const engine = factory(role, handlers);
      engines.push(engine);
      return engine;
    };
  };
  const { push } = change;
  const pair = new SessionPair({
    client: configOf(identities, "client"),
    server: configOf(identities, "server"),
    alterClientTls: keeping,
    serverSettings: push === undefined ? {} : { pushFor: () => [...push] },
  });
  return { pair, engines };
}

test("a control message that never ends is refused after 64 KiB", async () => {
  const { pair, engines } = pairOf();
  assert(await pair.run(() => pair.isUp));
  // A little at a time: a burst would end by what the peer has to acknowledge first.
  for (let piece = 0; piece < 80 && pair.serverLog.cause === undefined; piece++) {
    engines[0]?.write(Buffer.alloc(1000, 0x61));
    await pair.pass(100);
  }
  assert.equal(pair.serverLog.cause, "tlsFailed");
  assert.match(pair.serverLog.reason, /never ended \(CONTROL_MESSAGE_TOO_LONG\)/);
  pair.close();
});

test("a message of 60,000 bytes is told as any other, cut for the log", async () => {
  const { pair } = pairOf();
  assert(await pair.run(() => pair.isUp));
  const before = pair.serverLog.events.length;
  pair.client.sendText("y".repeat(60_000));
  assert(await pair.run(() => pair.serverLog.events.length > before, 60_000));
  assert((pair.serverLog.events.at(-1) ?? "").length < 230);
  assert.equal(pair.serverLog.cause, undefined);
  pair.close();
});

test("a push of more than a kilobyte comes in parts, each as long as stock takes them", async () => {
  const networks = Array.from({ length: 120 }, (_, index) => `route 10.${index}.0.0 255.255.0.0`);
  const push = ["peer-id 5", "cipher AES-256-GCM", "protocol-flags tls-ekm", ...networks];
  const { pair } = pairOf({ push });
  assert(await pair.run(() => pair.isUp));
  assert.equal(pair.clientLog.agreement?.pushed?.routes.length, networks.length);
  assert(networks.join(",").length > 2048);
  pair.close();
});
