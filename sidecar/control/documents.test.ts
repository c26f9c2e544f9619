/** Reading resource files: everything at once, with lines, and without the content of secrets. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { documentsOf, readDocuments } from "./documents.ts";
import { parseYamlFile, YamlSyntaxError } from "./yaml-file.ts";

const TUNNEL = `apiVersion: fairlead.dev/v1alpha1
kind: VpnTunnel
metadata: { name: a, namespace: lab }
spec:
  listen: {}
`;

async function temporary(context: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "fairlead-documents-"));
  context.after(async () => await rm(directory, { recursive: true }));
  return directory;
}

test("a problem stands at its own line, in the right document", () => {
  const text = `# file\n---\n${TUNNEL}---\napiVersion: fairlead.dev/v1alpha1
kind: VpnTunnel
metadata:
  name: b
spec:
  listen:
    port: 70000
  transport:
    replayWindow:
      packets: 3
  security:
    dataCiphers:
      - AES-256-GCM
      - rot13
    wrong: 1
`;
  const { problems, resources, invalid } = documentsOf(text, "f.yaml");
  assert.equal(resources.length, 1);
  assert.deepEqual([...invalid], ["VpnTunnel default/b"]);
  const places = problems.map(({ place, text: line }) => `${place} ${line.split(":")[0]}`);
  assert.deepEqual(places, [
    "f.yaml:15 VpnTunnel default/b spec.listen.port",
    "f.yaml:22 VpnTunnel default/b spec.security.dataCiphers.1",
    "f.yaml:23 VpnTunnel default/b spec.security.wrong",
    "f.yaml:18 VpnTunnel default/b spec.transport.replayWindow.packets",
  ]);
});

test("the same name twice is refused, naming the first", () => {
  const { problems, resources } = documentsOf(`${TUNNEL}---\n${TUNNEL}`, "f.yaml");
  assert.equal(resources.length, 1);
  assert.match(problems[0]?.text ?? "", /stands at f\.yaml:1 already/);
});

test("secrets are read from data and stringData, and their mistakes are named without content", () => {
  const secret = Buffer.from("from data").toString("base64");
  const text = `apiVersion: v1\nkind: Secret\nmetadata: { name: s, namespace: lab }
data: { a: ${secret}, b: ${secret} }\nstringData: { b: plain }\n`;
  const { secrets, problems } = documentsOf(text, "f.yaml");
  assert.deepEqual(problems, []);
  assert.deepEqual(Object.fromEntries(secrets.get("lab/s") ?? []), { a: "from data", b: "plain" });
  const wrong = `apiVersion: v1\nkind: Secret\nmetadata: { name: s }
data: { a: "hunter2!" }\nstringData: { b: 12345678 }\n`;
  const second = documentsOf(wrong, "f.yaml");
  assert.equal(second.secrets.size, 0);
  const lines = second.problems.map((problem) => problem.text).join("\n");
  assert.match(lines, /data\.a is not base64/);
  assert.match(lines, /stringData\.b is not a text/);
  assert.ok(!/hunter2|12345678/.test(lines));
});

test("a YAML mistake in a secret shows its line and nothing of it", () => {
  const text = "apiVersion: v1\nkind: Secret\nstringData:\n  a: hunter2\n b: x: hunter2\n";
  const { problems } = documentsOf(text, "f.yaml");
  assert.match(problems[0]?.place ?? "", /^f\.yaml:[45]$/);
  assert.ok(!JSON.stringify(problems).includes("hunter2"));
  try {
    parseYamlFile(text);
  } catch (error) {
    assert.ok(error instanceof YamlSyntaxError);
    assert.equal(error.cause, undefined);
  }
});

test("other documents are named, not skipped", () => {
  const { problems } = documentsOf("apiVersion: v1\nkind: Pod\n---\nhello\n---\n- 1\n", "f.yaml");
  assert.deepEqual(
    problems.map((problem) => problem.place),
    ["f.yaml:1", "f.yaml:4", "f.yaml:6"],
  );
});

test("folders are read in order of name; what cannot be read is a problem", async (context) => {
  const directory = await temporary(context);
  await writeFile(join(directory, "b.yaml"), TUNNEL);
  await writeFile(
    join(directory, "a.json"),
    JSON.stringify({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "s" },
      stringData: { k: "v" },
    }),
  );
  await writeFile(join(directory, "notes.txt"), "not: ours");
  const good = await readDocuments([directory]);
  assert.deepEqual(good.problems, []);
  assert.equal(good.resources.length, 1);
  assert.equal(good.secrets.get("default/s")?.get("k"), "v");
  const missing = await readDocuments([join(directory, "none.yaml"), directory]);
  assert.equal(missing.resources.length, 1);
  assert.match(missing.problems[0]?.text ?? "", /no such file or folder/);
});

test("repeated aliases and deep nesting are refused instead of growing", () => {
  const bomb = `a: &a [x]\nb: [${Array.from({ length: 200 }, () => "*a").join(", ")}]\n`;
  assert.throws(() => parseYamlFile(bomb), YamlSyntaxError);
  assert.throws(() => parseYamlFile("[".repeat(500)), YamlSyntaxError);
});

test("no text makes reading throw, and every line is inside the text", () => {
  const whole = `${TUNNEL}---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: eA==}\n`;
  const pieces = fc.constantFrom(
    "\n",
    "---\n",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "&a ",
    "*a",
    "!!map ",
    "? ",
    '"',
    "| \n",
    "\t",
  );
  const mutation = fc.tuple(fc.nat(whole.length), fc.nat(20), fc.oneof(pieces, fc.string()));
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 5 }), (mutations) => {
      let text = whole;
      for (const [start, length, put] of mutations) {
        text = text.slice(0, start) + put + text.slice(start + length);
      }
      const lines = text.split(/\r\n|\n|\r/).length;
      for (const { place } of documentsOf(text, "f").problems) {
        const line = Number(place.split(":")[1]);
        assert.ok(line >= 1 && line <= lines + 1, place);
      }
    }),
    { numRuns: 500 },
  );
});
