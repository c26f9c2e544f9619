/**
 * One kind in several namespaces, as one copy: for an operator that may see these alone. Invariant:
 * an object is in the copy of its own namespace only, so nothing is told twice.
 */
import type { KubeObject, ObjectKey } from "../api/object.ts";
import type { Changed, Informer, InformerFigures } from "./informer.ts";
import type { Selection } from "./selection.ts";

/** What is read and run of a copy, whatever it consists of. */
export type Watched<Item extends KubeObject> = Pick<
  Informer<Item>,
  "attempted" | "figures" | "get" | "onChange" | "run" | "selection" | "synced" | "values"
>;

/** The copies of one kind, by namespace. */
export class Several<Item extends KubeObject> implements Watched<Item> {
  readonly selection: Selection;
  readonly #parts: ReadonlyMap<string, Watched<Item>>;

  constructor(selection: Selection, parts: ReadonlyMap<string, Watched<Item>>) {
    this.selection = selection;
    this.#parts = parts;
  }

  get synced(): Promise<void> {
    return Promise.all([...this.#parts.values()].map((one) => one.synced)).then(() => undefined);
  }

  get attempted(): Promise<void> {
    return Promise.all([...this.#parts.values()].map((one) => one.attempted)).then(() => undefined);
  }

  get figures(): InformerFigures {
    const sum = { objects: 0, lists: 0, watches: 0, failures: 0 };
    for (const { figures } of this.#parts.values()) {
      sum.objects += figures.objects;
      sum.lists += figures.lists;
      sum.watches += figures.watches;
      sum.failures += figures.failures;
    }
    return sum;
  }

  get(key: ObjectKey): Item | undefined {
    return this.#parts.get(key.slice(0, key.indexOf("/")))?.get(key);
  }

  *values(): Generator<Item> {
    for (const one of this.#parts.values()) yield* one.values();
  }

  onChange(changed: Changed<Item>): void {
    for (const one of this.#parts.values()) one.onChange(changed);
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#parts.values()].map((one) => one.run(signal)));
  }
}
