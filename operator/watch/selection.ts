/** Which objects a list or a watch is about. */
import type { ResourceKind } from "../api/object.ts";

/** Which objects. */
export interface Selection {
  readonly kind: ResourceKind;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}
