/**
 * Writes the status of a resource: one patch, and none when nothing changed. Invariants: a status is
 * compared with what we wrote last (our copy of the cluster may be behind it), or else with what the
 * API server last showed, so a restart of the operator writes nothing.
 */
import { isDeepStrictEqual } from "node:util";
import type { Api } from "../api/api-client.ts";
import { hasStatus } from "../api/api-error.ts";
import { type KubeObject, keyOf, type ResourceKind } from "../api/object.ts";
import { apply } from "../apply/apply.ts";

/** An object with a status. */
export interface WithStatus extends KubeObject {
  readonly status?: unknown;
}

/** Writes the statuses of one kind. */
export class StatusWriter {
  readonly #api: Pick<Api, "call">;
  readonly #kind: ResourceKind;
  /** By key, with the uid: an object made anew under its old name starts anew. */
  readonly #written = new Map<string, { readonly uid: string; readonly status: unknown }>();

  constructor(api: Pick<Api, "call">, kind: ResourceKind) {
    this.#api = api;
    this.#kind = kind;
  }

  /** Writes `status` if it differs in any field; returns whether it did. */
  async write(resource: WithStatus, status: unknown): Promise<boolean> {
    // The wire has no undefined fields.
    const wanted: unknown = JSON.parse(JSON.stringify(status));
    const { name, namespace, uid = "" } = resource.metadata;
    const written = this.#written.get(keyOf(resource));
    const known = written?.uid === uid ? written.status : resource.status;
    if (isDeepStrictEqual(known, wanted)) return false;
    const metadata = { name, ...(namespace === undefined ? {} : { namespace }) };
    try {
      await apply<WithStatus>(
        this.#api,
        this.#kind,
        { metadata, status: wanted },
        {
          subresource: "status",
        },
      );
      this.#written.set(keyOf(resource), { uid, status: wanted });
      return true;
    } catch (error) {
      // Deleted meanwhile: there is nothing to tell any more.
      if (hasStatus(error, 404)) return false;
      throw error;
    }
  }

  /** The object is gone. */
  forget(key: string): void {
    this.#written.delete(key);
  }
}
