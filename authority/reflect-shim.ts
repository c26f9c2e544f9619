/**
 * Two functions that tsyringe, which `@peculiar/x509` brings along for its own registry, wants to
 * find on `Reflect` when it is loaded. Neither uses what they return: nothing here has decorated
 * constructor parameters, so "no metadata" is the right answer and `reflect-metadata` is not needed.
 * Invariant: imported before `@peculiar/x509`, and never replaces what somebody else put there.
 */

interface ReflectWithMetadata {
  getMetadata?: (key: unknown, target: unknown) => undefined;
  getOwnMetadata?: (key: unknown, target: unknown) => undefined;
}

const reflect: ReflectWithMetadata = Reflect as ReflectWithMetadata;
reflect.getMetadata ??= () => undefined;
reflect.getOwnMetadata ??= () => undefined;
