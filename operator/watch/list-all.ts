/** Lists all objects of a selection, page by page. Invariant: all pages show one and the same state. */
import type { Api } from "../api/api-client.ts";
import { ApiError } from "../api/api-error.ts";
import { type KubeObject, pathOf } from "../api/object.ts";
import { PAGE_OBJECTS_MAX, PAGES_MAX } from "../limits.ts";
import type { Selection } from "./selection.ts";

/** A list and the version that a watch goes on from. */
export interface Listed<Item> {
  readonly items: readonly Item[];
  readonly resourceVersion: string;
}

interface ListAnswer<Item> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly Item[] | null;
}

/** Lists; a list that changed too much while it was read is refused with 410, like an old watch. */
export async function listAll<Item extends KubeObject>(
  api: Pick<Api, "call">,
  selection: Selection,
): Promise<Listed<Item>> {
  const path = pathOf(selection.kind, selection);
  const { labelSelector, fieldSelector } = selection;
  const items: Item[] = [];
  let next: string | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const query = { limit: PAGE_OBJECTS_MAX, continue: next, labelSelector, fieldSelector };
    const answer = await api.call<ListAnswer<Item>>({ method: "GET", path, query });
    items.push(...(answer.items ?? []));
    next = answer.metadata.continue;
    if (next === undefined || next === "") {
      return { items, resourceVersion: answer.metadata.resourceVersion };
    }
  }
  const message = `more than ${PAGES_MAX * PAGE_OBJECTS_MAX} objects`;
  throw new ApiError(`GET ${path}`, { status: 0, reason: "TooMany", message });
}
