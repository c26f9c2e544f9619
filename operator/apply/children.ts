/**
 * The objects that a resource owns: applied when they are not what they should be, removed when
 * they are not wanted any more. Invariant: at rest nothing is written, not even an apply that would
 * change nothing; and only objects with our owner reference are ever removed.
 */
import { createHash } from "node:crypto";
import type { Api } from "../api/api-client.ts";
import {
  type DesiredObject,
  type KubeObject,
  keyOf,
  type OwnerReference,
  type ResourceKind,
} from "../api/object.ts";
import type { Informer } from "../watch/informer.ts";
import { apply, remove } from "./apply.ts";

/** A kind of child and the copy of what is there. */
export interface ChildKind {
  readonly kind: ResourceKind;
  readonly informer: Pick<Informer<KubeObject>, "get" | "values">;
}

/** What one pass did. */
export interface ApplyResult {
  readonly applied: readonly string[];
  readonly removed: readonly string[];
}

/** Keeps the children of all owners. */
export class Children {
  readonly #api: Pick<Api, "call">;
  readonly #kinds: readonly ChildKind[];
  /** `kind key` to what was applied and the version that the server gave it. */
  readonly #applied = new Map<string, { readonly digest: string; readonly version: string }>();

  constructor(api: Pick<Api, "call">, kinds: readonly ChildKind[]) {
    this.#api = api;
    this.#kinds = kinds;
  }

  /** Makes the owner's children what is desired; `spared` (`Secret lab/a`) is neither made nor removed. */
  async keep(
    owner: OwnerReference,
    desired: readonly DesiredObject[],
    spared: readonly string[] = [],
  ): Promise<ApplyResult> {
    const applied: string[] = [];
    const removed: string[] = [];
    // The last one is what uses the others: pods come after their Secret, account and policy.
    const last = desired.at(-1);
    const keepOne = async (child: DesiredObject): Promise<void> => {
      if (await this.#keepOne(owner, child)) applied.push(nameOf(child));
    };
    const others = desired.slice(0, -1);
    const isBinding = ({ kind }: DesiredObject): boolean => kind === "RoleBinding";
    await Promise.all(others.filter((child) => !isBinding(child)).map(keepOne));
    // Whoever may not bind every role is asked what is in this one: it has to be there.
    await Promise.all(others.filter(isBinding).map(keepOne));
    if (last !== undefined) await keepOne(last);
    const wanted = new Set([...desired.map(nameOf), ...spared]);
    for (const { kind, informer } of this.#kinds) {
      for (const item of informer.values()) {
        const name = `${kind.kind} ${keyOf(item)}`;
        if (!isOwnedBy(item, owner) || wanted.has(name)) continue;
        if (item.metadata.deletionTimestamp !== undefined) continue;
        await remove(this.#api, kind, item);
        this.#applied.delete(name);
        removed.push(name);
      }
    }
    return { applied, removed };
  }

  /** Makes one child what is desired, and removes nothing. */
  async ensure(owner: OwnerReference, child: DesiredObject): Promise<void> {
    await this.#keepOne(owner, child);
  }

  async #keepOne(owner: OwnerReference, child: DesiredObject): Promise<boolean> {
    const own = this.#kinds.find(({ kind }) => kind.kind === child.kind);
    if (own === undefined) throw new TypeError(`${child.kind} is not a kind of child`);
    const metadata = { ...child.metadata, ownerReferences: [owner] };
    const whole = { ...child, metadata };
    const digest = createHash("sha256").update(JSON.stringify(whole)).digest("hex");
    const name = nameOf(child);
    const known = this.#applied.get(name);
    const current = own.informer.get(keyOf(child));
    const isCurrent = current?.metadata.resourceVersion === known?.version;
    if (known?.digest === digest && isCurrent) return false;
    const answer = await apply<DesiredObject>(this.#api, own.kind, whole);
    const version = answer.metadata.resourceVersion ?? "";
    this.#applied.set(name, { digest, version });
    return current?.metadata.resourceVersion !== version;
  }
}

/** Whether an object is deleted with this owner. */
function isOwnedBy(item: KubeObject, owner: Pick<OwnerReference, "uid">): boolean {
  return item.metadata.ownerReferences?.some(({ uid }) => uid === owner.uid) === true;
}

/** The reference that makes `owner` the controller of what carries it. */
export function ownerReference(kind: ResourceKind, owner: KubeObject): OwnerReference {
  const { name, uid = "" } = owner.metadata;
  const { apiVersion } = kind;
  return { apiVersion, kind: kind.kind, name, uid, controller: true, blockOwnerDeletion: true };
}

function nameOf(child: DesiredObject): string {
  return `${child.kind} ${keyOf(child)}`;
}
