/** The one object that a peer consists of: the Secret with its profile. Pure. */
import type { VpnPeer } from "../../../crds/types.ts";
import { type OwnerReference, SECRET } from "../../api/object.ts";
import { DOCUMENTS_KEY } from "../../attach/sidecar.ts";
import type { Live } from "../../world.ts";
import { PEER_LABEL, profileSecretName, tunnelLabels } from "../labels.ts";
import { type DesiredSecret, secretDataOf } from "../secret-data.ts";
import { type PeerKeys, PROFILE_KEYS } from "./credentials.ts";

/** What its Secret holds. */
export interface PeerTexts {
  readonly keys: PeerKeys;
  readonly profile?: string;
  readonly documents?: string;
  /** Where an issuer signs. */
  readonly issued?: { readonly authorityPem: string; readonly fingerprints: string };
}

/** The Secret; without a profile it keeps the keys, until it is known where the tunnel is reached. */
export function profileSecret(
  peer: Live<VpnPeer>,
  owner: OwnerReference,
  texts: PeerTexts,
): DesiredSecret {
  const { name, namespace = "" } = peer.metadata;
  const { documents, issued, keys, profile } = texts;
  return {
    apiVersion: SECRET.apiVersion,
    kind: "Secret",
    metadata: {
      name: profileSecretName(name),
      namespace,
      labels: { ...tunnelLabels(peer.spec.tunnel.name), [PEER_LABEL]: name },
      ownerReferences: [owner],
    },
    type: "Opaque",
    data: secretDataOf({
      [PROFILE_KEYS.certificate]: keys.pair.certificatePem,
      [PROFILE_KEYS.key]: keys.pair.privateKeyPem,
      [PROFILE_KEYS.wrapKey]: keys.wrapKeyText,
      [PROFILE_KEYS.profile]: profile,
      [PROFILE_KEYS.authority]: issued?.authorityPem,
      [PROFILE_KEYS.fingerprints]: issued?.fingerprints,
      [DOCUMENTS_KEY]: documents,
    }),
  };
}
