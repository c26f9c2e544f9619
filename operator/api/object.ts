/**
 * Kubernetes objects as plain JSON and the kinds of them that the operator handles. Timestamps stay
 * the strings they are on the wire: a `Date` has three digits where a Lease wants six.
 */

/** What every object carries. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

/** Who is deleted with whom. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** Any object. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/** A kind, as its URL needs it. */
export interface ResourceKind {
  /** `v1`, `apps/v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
}

/** Where an object is. `namespace/name`, or the name alone for what has no namespace. */
export type ObjectKey = string;

/** An object that will be applied: it says its kind and namespace. */
export interface DesiredObject extends KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta & { readonly namespace: string };
}

/** The key of an object. */
export function keyOf(object: KubeObject): ObjectKey {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** The path of a collection (no name) or of one object. */
export function pathOf(
  kind: ResourceKind,
  place: { readonly namespace?: string; readonly name?: string; readonly subresource?: string },
): string {
  const root = kind.apiVersion.includes("/") ? "/apis" : "/api";
  const parts = [root, kind.apiVersion];
  if (place.namespace !== undefined) {
    parts.push("namespaces", encodeURIComponent(place.namespace));
  }
  parts.push(kind.plural);
  if (place.name !== undefined) parts.push(encodeURIComponent(place.name));
  if (place.subresource !== undefined) parts.push(place.subresource);
  return parts.join("/");
}

const FAIRLEAD = "fairlead.dev/v1alpha1";
const RBAC = "rbac.authorization.k8s.io/v1";

/** The kinds that the operator reads or writes. */
export const VPN_TUNNEL: ResourceKind = kind(FAIRLEAD, "VpnTunnel", "vpntunnels");
export const VPN_PEER: ResourceKind = kind(FAIRLEAD, "VpnPeer", "vpnpeers");
export const UPLINK_SET: ResourceKind = kind(FAIRLEAD, "UplinkSet", "uplinksets");
export const SECRET: ResourceKind = kind("v1", "Secret", "secrets");
export const SERVICE: ResourceKind = kind("v1", "Service", "services");
export const SERVICE_ACCOUNT: ResourceKind = kind("v1", "ServiceAccount", "serviceaccounts");
export const EVENT: ResourceKind = kind("events.k8s.io/v1", "Event", "events");
export const STATEFUL_SET: ResourceKind = kind("apps/v1", "StatefulSet", "statefulsets");
export const ROLE: ResourceKind = kind(RBAC, "Role", "roles");
export const ROLE_BINDING: ResourceKind = kind(RBAC, "RoleBinding", "rolebindings");
export const NETWORK_POLICY: ResourceKind = kind(
  "networking.k8s.io/v1",
  "NetworkPolicy",
  "networkpolicies",
);
export const DISRUPTION_BUDGET: ResourceKind = kind(
  "policy/v1",
  "PodDisruptionBudget",
  "poddisruptionbudgets",
);
export const POD: ResourceKind = kind("v1", "Pod", "pods");
export const MUTATING_WEBHOOKS: ResourceKind = kind(
  "admissionregistration.k8s.io/v1",
  "MutatingWebhookConfiguration",
  "mutatingwebhookconfigurations",
);
/** Of the Network Plumbing Working Group, which Multus carries out. */
export const NETWORK_ATTACHMENT: ResourceKind = kind(
  "k8s.cni.cncf.io/v1",
  "NetworkAttachmentDefinition",
  "network-attachment-definitions",
);
/** Kinds of cert-manager: there only where it is installed. */
const CERT_MANAGER = "cert-manager.io/v1";
export const CERTIFICATE: ResourceKind = kind(CERT_MANAGER, "Certificate", "certificates");
export const ISSUER: ResourceKind = kind(CERT_MANAGER, "Issuer", "issuers");
export const CLUSTER_ISSUER: ResourceKind = kind(CERT_MANAGER, "ClusterIssuer", "clusterissuers");
export const LEASE: ResourceKind = kind("coordination.k8s.io/v1", "Lease", "leases");

function kind(apiVersion: string, name: string, plural: string): ResourceKind {
  return { apiVersion, kind: name, plural };
}
