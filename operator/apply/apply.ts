/**
 * Server-side apply with one field owner: what the operator declares it owns, what others add to an
 * object stays theirs. Invariant: fields that are no longer declared are given up, so they go.
 */
import type { Api } from "../api/api-client.ts";
import { hasStatus } from "../api/api-error.ts";
import { type KubeObject, pathOf, type ResourceKind } from "../api/object.ts";

/** The one field owner of everything that the operator writes. */
export const FIELD_OWNER = "fairlead-operator";

const APPLY_TYPE = "application/apply-patch+yaml";

/** Applies an object, or its status; a gateway is a field owner of its own. Returns it as it is now. */
export async function apply<Item extends KubeObject>(
  api: Pick<Api, "call">,
  kind: ResourceKind,
  item: Item,
  options: { readonly subresource?: "status"; readonly fieldOwner?: string } = {},
): Promise<Item> {
  const { fieldOwner = FIELD_OWNER, subresource } = options;
  const { name, namespace } = item.metadata;
  const place = { name, ...(namespace === undefined ? {} : { namespace }) };
  return await api.call<Item>({
    method: "PATCH",
    path: pathOf(kind, subresource === undefined ? place : { ...place, subresource }),
    query: { fieldManager: fieldOwner, force: true },
    contentType: APPLY_TYPE,
    body: { apiVersion: kind.apiVersion, kind: kind.kind, ...item },
  });
}

/** Deletes one object, only if it is the one we mean; one that is gone already is fine. */
export async function remove(
  api: Pick<Api, "call">,
  kind: ResourceKind,
  item: KubeObject,
): Promise<void> {
  const { name, namespace, uid } = item.metadata;
  const place = { name, ...(namespace === undefined ? {} : { namespace }) };
  const options = { propagationPolicy: "Background", preconditions: { uid } };
  try {
    await api.call({ method: "DELETE", path: pathOf(kind, place), body: options });
  } catch (error) {
    if (hasStatus(error, 404) || hasStatus(error, 409)) return;
    throw error;
  }
}
