/**
 * Validates a plain object as one of our kinds, against the schema and the CEL rules that the API
 * server enforces. Differences, on purpose: every error is reported at once, each says what would
 * be right, and an unknown field is an error (the API server drops it, which hides a typing error).
 *
 * Invariant: the input is not changed; a valid result carries every default.
 */

import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import formats from "ajv-formats";
import { isEvaluable, keepsRule } from "./cel-rules.ts";
import { describeError, type Problem, shownValue } from "./problem.ts";
import { API_VERSION, KINDS, type Kind, type Schema, schemaOf } from "./schemas.ts";
import type { UplinkSet, VpnPeer, VpnTunnel } from "./types.ts";

/** A document of one of our kinds that keeps every rule, defaults filled in. */
export type Resource =
  | { readonly kind: "VpnTunnel"; readonly resource: VpnTunnel }
  | { readonly kind: "UplinkSet"; readonly resource: UplinkSet }
  | { readonly kind: "VpnPeer"; readonly resource: VpnPeer };

/** What `validate` found. */
export type Validation =
  | { readonly ok: true; readonly value: Resource }
  | { readonly ok: false; readonly problems: readonly Problem[] };

const METADATA: Schema & { readonly [key: string]: unknown } = {
  type: "object",
  required: ["name"],
  properties: {
    name: { type: "string", pattern: "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$" },
    namespace: { type: "string", pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" },
    labels: { type: "object", additionalProperties: { type: "string" } },
    annotations: { type: "object", additionalProperties: { type: "string" } },
  },
};

const validators: Map<Kind, ValidateFunction> = new Map();

/** Whether a document claims to be one of ours. */
export function isOurs(document: unknown): boolean {
  const apiVersion = fieldOf(document, "apiVersion");
  return typeof apiVersion === "string" && apiVersion.startsWith("fairlead.dev/");
}

/** Validates one document. `name` in every problem's path is `Kind namespace/name`. */
export function validate(document: unknown): Validation {
  const kind = kindOf(document);
  const subject = subjectOf(document);
  if (kind === undefined) return { ok: false, problems: [unknownKind(document, subject)] };
  const copy = withNamespace(structuredClone(document) as Record<string, unknown>);
  const validator = validatorOf(kind);
  const errors = validator(copy) ? [] : (validator.errors ?? []);
  const problems = distinct(errors, copy, subject);
  const places = new Set(problems.map((problem) => problem.path));
  for (const problem of ruleProblems(schemaOf(kind), copy, { subject, pointer: [] })) {
    if (!places.has(problem.path)) problems.push(problem);
  }
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, value: { kind, resource: copy } as unknown as Resource };
}

/** `Kind namespace/name` as far as the document says. */
export function subjectOf(document: unknown): string {
  const metadata = fieldOf(document, "metadata");
  const kind = fieldOf(document, "kind");
  const name = fieldOf(metadata, "name");
  const namespace = fieldOf(metadata, "namespace") ?? "default";
  return `${kind ?? "document"} ${namespace}/${name ?? "(no name)"}`;
}

function kindOf(document: unknown): Kind | undefined {
  if (fieldOf(document, "apiVersion") !== API_VERSION) return undefined;
  return KINDS.find((kind) => kind === fieldOf(document, "kind"));
}

function unknownKind(document: unknown, subject: string): Problem {
  const isVersion = fieldOf(document, "apiVersion") !== API_VERSION;
  const field = isVersion ? "apiVersion" : "kind";
  return {
    path: `${subject} ${field}`,
    pointer: [field],
    value: shownValue(fieldOf(document, field)),
    problem: isVersion ? "is not a version this program knows" : "is not a kind of fairlead.dev",
    wanted: isVersion ? API_VERSION : `one of ${KINDS.join(", ")}`,
  };
}

function withNamespace(document: Record<string, unknown>): Record<string, unknown> {
  const metadata = document["metadata"];
  if (typeof metadata === "object" && metadata !== null && !("namespace" in metadata)) {
    document["metadata"] = { ...metadata, namespace: "default" };
  }
  return document;
}

function validatorOf(kind: Kind): ValidateFunction {
  let validator = validators.get(kind);
  if (validator === undefined) {
    const ajv = new Ajv({ allErrors: true, useDefaults: true, strict: false, verbose: true });
    formats.default(ajv);
    const schema = closed(schemaOf(kind));
    const properties = { ...schema["properties"], metadata: METADATA };
    const required = ["apiVersion", "kind", "metadata", ...(schema["required"] as string[])];
    validator = ajv.compile({ ...schema, properties, required });
    validators.set(kind, validator);
  }
  return validator;
}

interface JsonSchema {
  [keyword: string]: unknown;
  properties?: Record<string, unknown>;
}

/** The same schema for ajv: unknown fields refused, int-or-string and unique lists spelt out. */
function closed(schema: Schema): JsonSchema {
  const result: JsonSchema = {};
  for (const [keyword, value] of Object.entries(schema)) {
    if (!keyword.startsWith("x-kubernetes-")) result[keyword] = value;
  }
  if (schema["x-kubernetes-int-or-string"] === true) result["type"] = ["integer", "string"];
  if (schema["x-kubernetes-list-type"] === "set") result["uniqueItems"] = true;
  if (schema.items !== undefined) result["items"] = closed(schema.items);
  if (schema.additionalProperties !== undefined) {
    result["additionalProperties"] = closed(schema.additionalProperties);
  }
  if (schema.properties !== undefined) {
    result["additionalProperties"] = false;
    result.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([name, property]) => [name, closed(property)]),
    );
  }
  return result;
}

/** One problem for each place: a value of the wrong type also fails its pattern and its limits. */
function distinct(errors: readonly ErrorObject[], document: unknown, subject: string): Problem[] {
  const problems = new Map<string, Problem>();
  const typed = [...errors].sort((a, b) => rank(a.keyword) - rank(b.keyword));
  for (const error of typed) {
    const problem = describeError(error, document, subject);
    if (!problems.has(problem.path)) problems.set(problem.path, problem);
  }
  return [...problems.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function rank(keyword: string): number {
  return keyword === "type" ? 0 : 1;
}

interface RulePlace {
  readonly subject: string;
  readonly pointer: readonly (string | number)[];
}

function ruleProblems(schema: Schema, value: unknown, place: RulePlace): Problem[] {
  const problems: Problem[] = [];
  for (const rule of schema["x-kubernetes-validations"] ?? []) {
    if (isEvaluable(rule) && !keepsRule(rule, value)) {
      problems.push(ruleProblem(rule.message, value, place));
    }
  }
  if (Array.isArray(value)) {
    const items = schema.items ?? {};
    problems.push(...listMapProblems(schema, value, place));
    for (const [index, item] of value.entries()) {
      problems.push(...ruleProblems(items, item, below(place, index)));
    }
  } else if (typeof value === "object" && value !== null) {
    for (const [name, item] of Object.entries(value)) {
      const property = schema.properties?.[name] ?? schema.additionalProperties;
      if (property !== undefined)
        problems.push(...ruleProblems(property, item, below(place, name)));
    }
  }
  return problems;
}

function ruleProblem(message: string, value: unknown, place: RulePlace): Problem {
  const path = [place.subject, pathOf(place.pointer)].filter((part) => part !== "").join(" ");
  return {
    path,
    pointer: place.pointer,
    value: shownValue(value),
    problem: "breaks a rule",
    wanted: message,
  };
}

function listMapProblems(schema: Schema, items: readonly unknown[], place: RulePlace): Problem[] {
  const [key] = schema["x-kubernetes-list-map-keys"] ?? [];
  if (key === undefined) return [];
  const seen = new Set<unknown>();
  const problems: Problem[] = [];
  for (const [index, item] of items.entries()) {
    const value = fieldOf(item, key);
    if (seen.has(value)) {
      problems.push(
        ruleProblem(`each entry of this list has a ${key} of its own`, value, below(place, index)),
      );
    }
    seen.add(value);
  }
  return problems;
}

function below(place: RulePlace, step: string | number): RulePlace {
  return { subject: place.subject, pointer: [...place.pointer, step] };
}

function pathOf(pointer: readonly (string | number)[]): string {
  return pointer.join(".");
}

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return (value as Record<string, unknown>)[name];
}
