/** Finds the text of a Secret among the documents; what is missing is a problem with the next step. */

import type { Documents } from "./documents.ts";

/** A text, or why there is none. */
export type SecretText =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly problem: string };

/** Looks up one key. `field` is the reference, for the message. */
export function secretText(
  documents: Documents,
  reference: { readonly namespace: string; readonly name: string; readonly key: string },
  field: string,
): SecretText {
  const { namespace, name, key } = reference;
  const secret = documents.secrets.get(`${namespace}/${name}`);
  if (secret === undefined) {
    const problem = `${field}: there is no Secret ${namespace}/${name} in these files: add a document of kind Secret with that name`;
    return { ok: false, problem };
  }
  const text = secret.get(key);
  if (text !== undefined) return { ok: true, text };
  const keys = [...secret.keys()].join(", ") || "no keys";
  return {
    ok: false,
    problem: `${field}: the Secret ${namespace}/${name} has no ${key} (it has ${keys}): add it, or name another key`,
  };
}
