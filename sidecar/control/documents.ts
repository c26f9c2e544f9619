/**
 * The resource files of `fairlead up -f`: files or folders of YAML documents, ours and `kind:
 * Secret`, validated all together so that every error is reported at once.
 *
 * Invariant: what is returned as a resource keeps every rule of its schema, and no problem holds
 * anything from a Secret but its name and its keys.
 */

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { printProblem } from "../../crds/problem.ts";
import { isOurs, type Resource, subjectOf, validate } from "../../crds/validate.ts";
import { parseYamlFile, type YamlDocument, YamlSyntaxError } from "./yaml-file.ts";

/** Something wrong in the files. */
export interface DocumentProblem {
  /** `tunnel.yaml:12`, or the path alone. */
  readonly place: string;
  /** `VpnTunnel lab/testbed-a`, when the problem is about one document. */
  readonly subject?: string;
  readonly text: string;
}

/** A resource, where it stands, and as it was written, without defaults. */
export type PlacedResource = Resource & { readonly place: string; readonly written: unknown };

/** Everything that was read. */
export interface Documents {
  readonly resources: readonly PlacedResource[];
  /** By `namespace/name`. */
  readonly secrets: ReadonlyMap<string, SecretData>;
  readonly problems: readonly DocumentProblem[];
  /** Subjects of documents of ours that are not valid: `VpnTunnel lab/testbed-a`. */
  readonly invalid: ReadonlySet<string>;
}

/** The texts of one Secret by key. */
export type SecretData = ReadonlyMap<string, string>;

/** A folder holds at most this many resource files; more is a wrong folder. */
const FILES_MAX = 1000;

/** Reads and validates everything under the paths. Never throws for what a file holds. */
export async function readDocuments(paths: readonly string[]): Promise<Documents> {
  const gathered = new Gathered();
  for (const path of paths) {
    for (const file of await filesUnder(path, gathered)) await readOne(file, gathered);
  }
  return gathered;
}

/** Validates the documents of one text, as if it were a file of that name. */
export function documentsOf(text: string, name: string): Documents {
  const gathered = new Gathered();
  takeText(text, name, gathered);
  return gathered;
}

class Gathered implements Documents {
  readonly resources: PlacedResource[] = [];
  readonly secrets: Map<string, SecretData> = new Map();
  readonly problems: DocumentProblem[] = [];
  readonly invalid: Set<string> = new Set();
  /** Where each kind, namespace and name was first seen. */
  readonly seen: Map<string, string> = new Map();
}

async function filesUnder(path: string, gathered: Gathered): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const names = (await readdir(path)).filter((name) => /\.(ya?ml|json)$/.test(name)).sort();
    if (names.length === 0) {
      gathered.problems.push({ place: path, text: "no .yaml, .yml or .json file in this folder" });
    }
    if (names.length > FILES_MAX) {
      const text = `${names.length} files, more than ${FILES_MAX}: name the folder with the resources`;
      gathered.problems.push({ place: path, text });
      return [];
    }
    return names.map((name) => join(path, name));
  } catch (error) {
    gathered.problems.push({ place: path, text: unreadable(error) });
    return [];
  }
}

async function readOne(file: string, gathered: Gathered): Promise<void> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    gathered.problems.push({ place: file, text: unreadable(error) });
    return;
  }
  takeText(text, file, gathered);
}

function unreadable(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === "ENOENT") return "no such file or folder: check the path given with -f";
  if (code === "EACCES") return "may not be read: check its permissions";
  return `cannot be read (${code ?? "unknown error"})`;
}

function takeText(text: string, file: string, gathered: Gathered): void {
  let documents: readonly YamlDocument[];
  try {
    documents = parseYamlFile(text);
  } catch (error) {
    if (!(error instanceof YamlSyntaxError)) throw error;
    gathered.problems.push({ place: `${file}:${error.line}`, text: error.message });
    return;
  }
  if (documents.length === 0) {
    gathered.problems.push({
      place: file,
      text: "no document in this file: write one, or remove it",
    });
  }
  for (const document of documents) takeDocument(document, file, gathered);
}

function takeDocument(document: YamlDocument, file: string, gathered: Gathered): void {
  const { value, lineOf } = document;
  const place = `${file}:${lineOf([])}`;
  const subject = subjectOf(value);
  const isSecret = fieldOf(value, "apiVersion") === "v1" && fieldOf(value, "kind") === "Secret";
  if (!isSecret && !isOurs(value)) {
    const text =
      "neither fairlead.dev/v1alpha1 nor a v1 Secret: remove this document, or correct its apiVersion and kind";
    gathered.problems.push({ place, text });
    return;
  }
  const first = gathered.seen.get(subject);
  if (first !== undefined) {
    const text = `${subject} stands at ${first} already: remove one of the two`;
    gathered.problems.push({ place, subject, text });
    gathered.invalid.add(subject);
    return;
  }
  gathered.seen.set(subject, place);
  if (isSecret) {
    takeSecret(value, { place, subject, gathered });
    return;
  }
  const result = validate(value);
  if (result.ok) {
    gathered.resources.push({ ...result.value, place, written: value });
    return;
  }
  gathered.invalid.add(subject);
  for (const problem of result.problems) {
    const at = `${file}:${lineOf(problem.pointer)}`;
    gathered.problems.push({ place: at, subject, text: printProblem(problem) });
  }
}

/** A Secret's texts: `data` in base64, `stringData` as it is and winning over `data`. */
function takeSecret(
  value: unknown,
  about: { readonly place: string; readonly subject: string; readonly gathered: Gathered },
): void {
  const { place, subject, gathered } = about;
  const metadata = fieldOf(value, "metadata");
  const name = fieldOf(metadata, "name");
  const namespace = fieldOf(metadata, "namespace") ?? "default";
  const texts = new Map<string, string>();
  const problems: string[] = [];
  if (typeof name !== "string" || name === "") problems.push("metadata.name is missing: add it");
  for (const [key, encoded] of entriesOf(value, "data", problems)) {
    const text = decodeBase64(encoded);
    if (text === undefined)
      problems.push(`data.${key} is not base64: encode it, or move it to stringData`);
    else texts.set(key, text);
  }
  for (const [key, text] of entriesOf(value, "stringData", problems)) texts.set(key, text);
  for (const text of problems)
    gathered.problems.push({ place, subject, text: `${subject} ${text}` });
  if (problems.length === 0) gathered.secrets.set(`${namespace}/${name}`, texts);
}

function entriesOf(value: unknown, field: string, problems: string[]): [string, string][] {
  const block = fieldOf(value, field);
  if (block === undefined || block === null) return [];
  if (typeof block !== "object" || Array.isArray(block)) {
    problems.push(`${field} is not a block of keys: write key: text`);
    return [];
  }
  const entries = Object.entries(block);
  for (const [key, text] of entries) {
    if (typeof text !== "string") problems.push(`${field}.${key} is not a text: put it in quotes`);
  }
  return entries.filter((entry): entry is [string, string] => typeof entry[1] === "string");
}

function decodeBase64(encoded: string): string | undefined {
  const compact = encoded.replace(/\s/g, "");
  if (compact.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(compact)) return undefined;
  return Buffer.from(compact, "base64").toString("utf8");
}

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return (value as Record<string, unknown>)[name];
}
