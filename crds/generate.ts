/**
 * Writes `crds/types.ts` from the CustomResourceDefinitions, or with `--check` fails when the file
 * is not what it would write. Run: `node crds/generate.ts [--check]`.
 */

import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { compile, type JSONSchema } from "json-schema-to-typescript";
import { KINDS, type Kind, type Schema, schemaOf } from "./schemas.ts";

const TARGET = new URL("types.ts", import.meta.url);

const HEADER = `/**
 * The kinds of fairlead.dev as TypeScript, made from the CustomResourceDefinitions beside this file
 * by \`node crds/generate.ts\`: do not edit. They describe a validated object, in which every
 * default is filled in, so a field with a default is never absent.
 */
`;

const METADATA: JSONSchema = {
  type: "object",
  description: "Name, namespace and what else Kubernetes keeps about every object.",
  required: ["name", "namespace"],
  additionalProperties: true,
  properties: {
    name: { type: "string" },
    namespace: { type: "string" },
    labels: { type: "object", additionalProperties: { type: "string" } },
    annotations: { type: "object", additionalProperties: { type: "string" } },
  },
};

/** The text of `types.ts`. */
export async function generateTypes(): Promise<string> {
  const parts: string[] = [HEADER];
  for (const kind of KINDS) parts.push(await generateKind(kind));
  return parts.join("\n");
}

async function generateKind(kind: Kind): Promise<string> {
  const schema = schemaOf(kind);
  const converted = convert(schema);
  const properties = {
    ...converted.properties,
    apiVersion: { const: "fairlead.dev/v1alpha1" },
    kind: { const: kind },
    metadata: METADATA,
  };
  const required = ["apiVersion", "kind", "metadata", "spec"];
  return await compile({ ...converted, properties, required } as JSONSchema, kind, {
    bannerComment: "",
    additionalProperties: false,
    ignoreMinAndMaxItems: true,
    format: true,
    style: { printWidth: 100 },
  });
}

/** The schema as json-schema-to-typescript reads it; what has a default is there after validation. */
function convert(schema: Schema): JSONSchema {
  const result: Record<string, unknown> = {};
  if (schema.description !== undefined) result["description"] = schema.description;
  if (schema.type !== undefined) result["type"] = schema.type;
  if (schema.enum !== undefined) result["enum"] = [...schema.enum];
  if (schema["x-kubernetes-int-or-string"] === true) {
    const word = /^\^(\w+)\$$/.exec(schema.pattern ?? "")?.[1];
    const text = word === undefined ? { type: "string" } : { const: word };
    result["anyOf"] = [{ type: "integer" }, text];
  }
  if (schema.items !== undefined) result["items"] = convert(schema.items);
  if (schema.additionalProperties !== undefined) {
    result["additionalProperties"] = convert(schema.additionalProperties);
  }
  if (schema.properties !== undefined) {
    const entries = Object.entries(schema.properties);
    result["properties"] = Object.fromEntries(
      entries.map(([name, property]) => [name, convert(property)]),
    );
    const present = entries.filter(([, property]) => property.default !== undefined);
    result["required"] = [...(schema.required ?? []), ...present.map(([name]) => name)];
  }
  return result as JSONSchema;
}

async function main(): Promise<number> {
  const wanted = await generateTypes();
  if (!process.argv.includes("--check")) {
    await writeFile(TARGET, wanted);
    return 0;
  }
  if ((await readFile(TARGET, "utf8")) === wanted) return 0;
  process.stderr.write(
    "crds/types.ts is not what the definitions say: run node crds/generate.ts\n",
  );
  return 1;
}

if (import.meta.main) process.exitCode = await main();
