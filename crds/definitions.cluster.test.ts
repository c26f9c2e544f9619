import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ControlPlane } from "../test/cluster/control-plane.ts";
import { waitFor } from "../test/support/wait.ts";
import { RULE_EXAMPLES, type RuleExample } from "./rule-examples-harness.ts";
import { KINDS, type Schema, schemaOf } from "./schemas.ts";
import { validate } from "./validate.ts";

let plane: ControlPlane;

before(async () => {
  plane = await ControlPlane.start();
  await plane.kubectl("apply", "-f", import.meta.dirname, "--server-side");
  await plane.kubectl("create", "namespace", "lab");
  await waitFor("the definitions", async () => {
    const { status } = await plane.kubectlWith("", "get", "vt,vp,ups", "-A");
    return status === 0;
  });
});
after(async () => await plane[Symbol.asyncDispose]());

test("every CEL rule has an example", () => {
  const messages = KINDS.flatMap((kind) => rulesOf(schemaOf(kind)));
  const covered = new Set(RULE_EXAMPLES.map(({ message }) => message));
  assert.deepEqual(
    messages.filter((message) => !covered.has(message)),
    [],
  );
});

test("the API server accepts the good example of every rule, and so do we", async () => {
  for (const example of RULE_EXAMPLES) {
    if (example.former !== undefined) continue;
    const { output, status } = await create(example, example.accepted);
    assert.equal(status, 0, `${example.message}: ${output}`);
    const own = validate(example.accepted);
    assert(own.ok, `${example.message}: ${JSON.stringify(own)}`);
  }
});

test("the API server refuses the bad example of every rule in our words, and so do we", async () => {
  for (const example of RULE_EXAMPLES) {
    if (example.former !== undefined) continue;
    const { output, status } = await create(example, example.refused);
    assert.notEqual(status, 0, `${example.message}: accepted`);
    assert(output.includes(example.message), `${example.message}: ${output}`);
    const own = validate(example.refused);
    assert(!own.ok, `${example.message}: accepted by us`);
    assert(own.problems.some(({ wanted }) => wanted === example.message));
  }
});

test("what cannot change says so when it is changed", async () => {
  for (const example of RULE_EXAMPLES) {
    if (example.former === undefined) continue;
    const former = await plane.kubectlWith(JSON.stringify(example.former), "create", "-f", "-");
    assert.equal(former.status, 0, former.output);
    for (const [document, isFine] of [
      [example.accepted, true],
      [example.refused, false],
    ] as const) {
      const parameters = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
      const { output, status } = await plane.kubectlWith(JSON.stringify(document), ...parameters);
      assert.equal(status === 0, isFine, output);
      if (!isFine) assert(output.includes(example.message), output);
    }
    await plane.kubectlWith(JSON.stringify(example.former), "delete", "-f", "-");
  }
});

test("short names, the category and the columns are there", async () => {
  await plane.kubectlWith(JSON.stringify(RULE_EXAMPLES[0]?.accepted), "create", "-f", "-");
  assert.match(await plane.kubectl("get", "vt"), /^NAME\s+MODE\s+STATE\s+PEERS\s+PATHS\s+RTT/);
  const wide = await plane.kubectl("get", "vt", "-o", "wide");
  assert.match(wide, /LOSS\s+UPLINKS\s+ACTIVE\s+MTU\s+AGE/);
  assert.match(await plane.kubectl("get", "fairlead"), /vpntunnel\.fairlead\.dev/);
});

test("kubectl explain has a sentence for every kind and field", async () => {
  for (const kind of KINDS) {
    const text = await plane.kubectl("explain", `${kind.toLowerCase()}.spec`, "--recursive=false");
    assert.doesNotMatch(text, /<no description>/, kind);
    assert.match(text, /DESCRIPTION:\n\s+\S/, kind);
  }
  const text = await plane.kubectl("explain", "vt.spec.listen.advertise");
  assert.match(text, /Where peers reach this server/);
});

test("files of examples/ are accepted", async () => {
  const folder = join(import.meta.dirname, "..", "examples");
  const { output, status } = await plane.kubectlWith(
    "",
    ...["apply", "--server-side", "--dry-run=server", "--validate=strict"],
    ...["-f", folder],
  );
  assert.equal(status, 0, output);
});

async function create(
  example: RuleExample,
  document: unknown,
): Promise<{ readonly status: number; readonly output: string }> {
  const parameters = ["create", "--dry-run=server", "-f", "-"];
  const result = await plane.kubectlWith(JSON.stringify(document), ...parameters);
  assert(example.message !== "", result.output);
  return result;
}

function rulesOf(schema: Schema): string[] {
  const own = (schema["x-kubernetes-validations"] ?? []).map(({ message }) => message);
  const below = [
    ...Object.values(schema.properties ?? {}),
    ...(schema.items === undefined ? [] : [schema.items]),
    ...(schema.additionalProperties === undefined ? [] : [schema.additionalProperties]),
  ];
  return [...own, ...below.flatMap(rulesOf)];
}
