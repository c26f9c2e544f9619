/**
 * Writes the status of a resource: one patch, and none when nothing changed. Invariant: a status is
 * compared with what the API server last showed, so a restart of the operator writes nothing.
 */
import { isDeepStrictEqual } from "node:util";
import type { Api } from "../api/api-client.ts";
import { hasStatus } from "../api/api-error.ts";
import type { KubeObject, ResourceKind } from "../api/object.ts";
import { apply } from "../apply/apply.ts";

/** An object with a status. */
export interface WithStatus<Status> extends KubeObject {
  readonly status?: Status;
}

/** Writes `status` if it differs from the object's own in any field; returns whether it did. */
export async function writeStatus<Status>(
  api: Pick<Api, "call">,
  kind: ResourceKind,
  resource: WithStatus<Status>,
  status: Status,
): Promise<boolean> {
  // The wire has no undefined fields.
  const wanted = JSON.parse(JSON.stringify(status)) as Status;
  if (isDeepStrictEqual(resource.status, wanted)) return false;
  const { name, namespace } = resource.metadata;
  const metadata = { name, ...(namespace === undefined ? {} : { namespace }) };
  try {
    await apply(api, kind, { metadata, status: wanted }, "status");
    return true;
  } catch (error) {
    // Deleted meanwhile: there is nothing to tell any more.
    if (hasStatus(error, 404)) return false;
    throw error;
  }
}
