/** Texts in the base64 of a Secret's `data`. Invariant: nothing here is ever part of a message. */
import type { DesiredObject, KubeObject } from "../api/object.ts";

/** A Secret. */
export interface SecretObject extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** A Secret that will be applied. */
export interface DesiredSecret extends DesiredObject {
  readonly type: "Opaque";
  readonly data: Readonly<Record<string, string>>;
}

/** One text, or undefined when the Secret has no such key. */
export function secretTextOf(secret: SecretObject | undefined, key: string): string | undefined {
  const data = secret?.data?.[key];
  return data === undefined ? undefined : Buffer.from(data, "base64").toString("utf8");
}

/** Texts as `data`, in the order of their keys. */
export function secretDataOf(
  texts: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const data: Record<string, string> = {};
  for (const key of Object.keys(texts).sort()) {
    const text = texts[key];
    if (text !== undefined) data[key] = Buffer.from(text, "utf8").toString("base64");
  }
  return data;
}
