/**
 * One thing that is wrong with a document, in words a person can act on: where, what stands there,
 * what is the matter and what would be right.
 *
 * Invariant: a value is shown only as far as it cannot be a secret: long or many-lined texts, which
 * is what a key pasted into the wrong field looks like, are described instead.
 */

import type { ErrorObject } from "ajv";

/** One thing that is wrong. */
export interface Problem {
  /** `VpnTunnel lab/testbed-a spec.addresses.pool`. */
  readonly path: string;
  /** The same place as steps from the document's root. */
  readonly pointer: readonly (string | number)[];
  /** What stands there, as it may be shown. */
  readonly value: string;
  /** What is the matter with it. */
  readonly problem: string;
  /** What would be right, or what to do. */
  readonly wanted: string;
}

const SHOWN_LENGTH_MAX = 60;
const NO_DHCPV6 =
  "DHCPv6 servers are not asked: remove it, and set pool6, or let a router of the segment advertise addresses, which dhcp: true takes (SLAAC)";
/** Fields that people look for and that have another answer than a name of one that is there. */
const NOT_THERE: Readonly<Record<string, string>> = { dhcp6: NO_DHCPV6, dhcpv6: NO_DHCPV6 };

/** One line for a person. */
export function printProblem(problem: Problem): string {
  const value = problem.value === "" ? "" : ` ${problem.value}`;
  return `${problem.path}:${value} ${problem.problem}: ${problem.wanted}`;
}

/** A value as it may be shown in a message. */
export function shownValue(value: unknown): string {
  if (value === undefined) return "";
  if (Array.isArray(value)) return `(list of ${value.length})`;
  if (typeof value === "object" && value !== null) return "";
  if (
    typeof value === "string" &&
    (value.length > SHOWN_LENGTH_MAX || /[\n\r]|-----/.test(value))
  ) {
    return `(text of ${value.length} characters)`;
  }
  return JSON.stringify(value) ?? String(value);
}

/** An error of ajv in our words. */
export function describeError(error: ErrorObject, document: unknown, subject: string): Problem {
  const steps = stepsOf(error.instancePath, document);
  const params = error.params as Record<string, unknown>;
  const pointer = [...steps, ...extraStep(error.keyword, params)];
  const { problem, wanted } = wording(error, params);
  return {
    path: `${subject} ${pointer.join(".")}`.trim(),
    pointer,
    value: error.keyword === "additionalProperties" ? "" : shownValue(valueAt(error)),
    problem,
    wanted,
  };
}

function valueAt(error: ErrorObject): unknown {
  return error.keyword === "required" ? undefined : error.data;
}

function extraStep(keyword: string, params: Record<string, unknown>): string[] {
  if (keyword === "additionalProperties") return [String(params["additionalProperty"])];
  if (keyword === "required") return [String(params["missingProperty"])];
  return [];
}

function wording(
  error: ErrorObject,
  params: Record<string, unknown>,
): { readonly problem: string; readonly wanted: string } {
  const schema = (error.parentSchema ?? {}) as Record<string, unknown>;
  switch (error.keyword) {
    case "additionalProperties": {
      const known = Object.keys((schema["properties"] ?? {}) as object);
      return {
        problem: "is not a known field",
        wanted:
          NOT_THERE[String(params["additionalProperty"])] ??
          nearest(String(params["additionalProperty"]), known),
      };
    }
    case "required": {
      const property = (schema["properties"] as Record<string, Record<string, unknown>>)?.[
        String(params["missingProperty"])
      ];
      return { problem: "is missing", wanted: `add it${describe(property)}` };
    }
    case "enum":
      return {
        problem: "is not allowed",
        wanted: `one of ${(params["allowedValues"] as unknown[]).join(", ")}`,
      };
    case "type":
      return { problem: "has the wrong type", wanted: typeWanted(schema) };
    case "minimum":
    case "maximum":
      return { problem: "is out of range", wanted: rangeWanted(schema) };
    case "pattern":
    case "format":
      return { problem: "is not written as it must be", wanted: patternWanted(schema) };
    case "minLength":
      return { problem: "is empty", wanted: patternWanted(schema) };
    case "maxLength":
      return { problem: "is too long", wanted: `at most ${params["limit"]} characters` };
    case "minItems":
      return { problem: "has too few entries", wanted: `at least ${params["limit"]}` };
    case "maxItems":
      return { problem: "has too many entries", wanted: `at most ${params["limit"]}` };
    case "uniqueItems":
      return { problem: "names an entry twice", wanted: "each entry once" };
    default:
      return { problem: "is not allowed", wanted: error.message ?? error.keyword };
  }
}

function describe(property: Record<string, unknown> | undefined): string {
  const text = property?.["description"];
  return typeof text === "string" ? ` (${text.replace(/\.$/, "")})` : "";
}

function typeWanted(schema: Record<string, unknown>): string {
  const type = [schema["type"]].flat();
  if (type.length > 1) return `${patternWanted(schema)} or ${rangeWanted(schema)}`;
  const words: Record<string, string> = {
    object: "a block of fields",
    array: "a list",
    string: "a text (in quotes if it looks like a number)",
    integer: "a whole number",
    number: "a number",
    boolean: "true or false",
  };
  return `${words[String(type[0])] ?? String(type[0])}${describe(schema)}`;
}

function rangeWanted(schema: Record<string, unknown>): string {
  return `a number from ${schema["minimum"] ?? "any"} to ${schema["maximum"] ?? "any"}`;
}

function patternWanted(schema: Record<string, unknown>): string {
  const pattern = String(schema["pattern"] ?? "");
  if (pattern === "^Auto$") return "Auto";
  if (pattern.includes("25[0-5]")) {
    if (pattern.includes("-((25"))
      return "two IPv4 addresses with a dash between, such as 10.20.0.200-10.20.0.239";
    return pattern.includes("/(")
      ? "an IPv4 network of 8 to 30 bits, such as 10.20.0.0/24"
      : "an IPv4 address, such as 10.20.0.7";
  }
  if (pattern.includes("Mbit")) return "a rate such as 10Mbit (kbit, Mbit, Gbit)";
  if (pattern.includes("02468ACE"))
    return "a MAC address of one station, such as 02:00:00:00:00:07";
  if (pattern.startsWith("^[a-z0-9]")) return "lower-case letters, digits and dashes";
  const text = schema["description"];
  if (typeof text === "string") return text.replace(/\.$/, "");
  return pattern === "" ? "a value" : `a text matching ${pattern}`;
}

/** The known name closest to the given one, or all of them. */
function nearest(name: string, known: readonly string[]): string {
  const ranked = known
    .map((candidate) => ({
      candidate,
      steps: distance(name.toLowerCase(), candidate.toLowerCase()),
    }))
    .sort((a, b) => a.steps - b.steps);
  const [best] = ranked;
  if (best !== undefined && best.steps <= Math.max(2, name.length >> 1)) {
    return `did you mean ${best.candidate}? Known here: ${known.join(", ")}`;
  }
  return `remove it; known here: ${known.join(", ")}`;
}

/** Levenshtein's edit distance. */
function distance(a: string, b: string): number {
  const shortened = a.slice(0, SHOWN_LENGTH_MAX);
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...shortened].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const replace = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replace, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

function stepsOf(instancePath: string, document: unknown): (string | number)[] {
  let here: unknown = document;
  return instancePath
    .split("/")
    .slice(1)
    .map((part) => {
      const name = part.replace(/~1/g, "/").replace(/~0/g, "~");
      const step = Array.isArray(here) ? Number(name) : name;
      here = (here as Record<string | number, unknown> | undefined)?.[step];
      return step;
    });
}
