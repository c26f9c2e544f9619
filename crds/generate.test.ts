/** The checked-in types are what the definitions say, and the definitions are structural. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { load } from "js-yaml";
import { isEvaluable, keepsRule } from "./cel-rules.ts";
import { generateTypes } from "./generate.ts";
import { DEFINITION_FILES, KINDS, type Schema, schemaOf } from "./schemas.ts";

test("types.ts is up to date: run node crds/generate.ts", async () => {
  const text = await readFile(new URL("types.ts", import.meta.url), "utf8");
  assert.equal(text, await generateTypes());
});

/** Every node of a schema with its path. */
function* nodes(schema: Schema, path: string): Generator<readonly [string, Schema]> {
  yield [path, schema];
  if (schema.items !== undefined) yield* nodes(schema.items, `${path}[]`);
  if (schema.additionalProperties !== undefined) {
    yield* nodes(schema.additionalProperties, `${path}{}`);
  }
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    yield* nodes(property, `${path}.${name}`);
  }
}

test("every field has a type and a description that ends in a full stop", () => {
  for (const kind of KINDS) {
    for (const [path, schema] of nodes(schemaOf(kind), kind)) {
      const isTyped = schema.type !== undefined || schema["x-kubernetes-int-or-string"] === true;
      assert.ok(isTyped, `${path} has no type`);
      if (/(\[\]|\{\}|\.metadata)$/.test(path)) continue;
      assert.match(schema.description ?? "", /^[A-Z0-9`].*\.$/s, `${path} has no description`);
    }
  }
});

test("every list has a limit, or the API server refuses rules inside it", () => {
  for (const kind of KINDS) {
    for (const [path, schema] of nodes(schemaOf(kind), kind)) {
      if (schema.type === "array")
        assert.ok(schema.maxItems !== undefined, `${path} has no maxItems`);
    }
  }
});

test("every rule can be evaluated and has a message for a person", () => {
  for (const kind of KINDS) {
    for (const [path, schema] of nodes(schemaOf(kind), kind)) {
      for (const rule of schema["x-kubernetes-validations"] ?? []) {
        assert.ok(rule.message.length > 20, `${path}: ${rule.rule}`);
        if (isEvaluable(rule))
          assert.doesNotThrow(() => keepsRule(rule, {}), `${path}: ${rule.rule}`);
      }
    }
  }
});

/** The API server checks a default against the rules of its node before inner defaults are filled in. */
test("every default keeps the rules of its own node", () => {
  for (const kind of KINDS) {
    for (const [path, schema] of nodes(schemaOf(kind), kind)) {
      for (const rule of schema["x-kubernetes-validations"] ?? []) {
        if (schema.default === undefined || !isEvaluable(rule)) continue;
        for (const field of rule.rule.matchAll(/self\.([A-Za-z0-9]+)/g)) {
          assert.ok(field[1] !== undefined && field[1] in (schema.default as object), path);
        }
        assert.ok(keepsRule(rule, schema.default), path);
      }
    }
  }
});

test("each definition has a status subresource, printer columns and one stored version", async () => {
  for (const kind of KINDS) {
    const text = await readFile(new URL(DEFINITION_FILES[kind], import.meta.url), "utf8");
    const { spec } = load(text) as { spec: Record<string, unknown> };
    const [version, ...others] = spec["versions"] as Record<string, unknown>[];
    assert.equal(others.length, 0);
    assert.ok(version !== undefined);
    assert.deepEqual(version["subresources"], { status: {} });
    assert.ok((version["additionalPrinterColumns"] as unknown[]).length >= 3);
    assert.deepEqual((spec["names"] as Record<string, unknown>)["categories"], ["fairlead"]);
  }
});
