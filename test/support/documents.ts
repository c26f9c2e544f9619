/** Resource files for `fairlead up`, written from a few words: one listening or dialling tunnel. */
import { writeFile } from "node:fs/promises";
import { dump } from "js-yaml";

/** A part of a resource, as it is written in YAML. */
export type Fields = Readonly<Record<string, unknown>>;

/** Namespace of every resource that a test writes. */
const RESOURCE_NAMESPACE = "lab";
/** The gateway's own addresses on the segment of a listening tunnel. */
const SEGMENT = { gateway4: "10.20.0.1", gateway6: "fd20::1" } as const;

const API_VERSION = "fairlead.dev/v1alpha1";

/** A listening tunnel and its peers, and what differs from an ordinary one. */
export interface ListenOptions {
  readonly name?: string;
  readonly peers: readonly string[];
  readonly port?: number;
  /** Addresses written into the profiles. */
  readonly advertise?: readonly { readonly host: string; readonly port?: number }[];
  /** Name of this end's interface. */
  readonly interface?: string;
  readonly transport?: Fields;
  readonly security?: Fields;
  /** Further fields of the tunnel's spec; they replace what is written here. */
  readonly spec?: Fields;
  /** Further fields of each peer's spec. */
  readonly peerSpec?: Fields;
}

/** Documents of a listening tunnel. */
export function listenDocuments(options: ListenOptions): readonly Fields[] {
  const { name = "segment", peers, port = 1194, advertise = [{ host: "192.0.2.1" }] } = options;
  const tunnel = resource("VpnTunnel", name, {
    listen: { port, advertise },
    addresses: {
      segment: "10.20.0.0/24",
      pool: "10.20.0.200-10.20.0.239",
      gateway: SEGMENT.gateway4,
      segment6: "fd20::/64",
      pool6: "fd20::200-fd20::2ff",
      gateway6: SEGMENT.gateway6,
    },
    workloads: { interface: options.interface ?? "seg0" },
    // Two tunnels of one host cannot both have these routes.
    multicast: { routes: [] },
    ...(options.transport === undefined ? {} : { transport: options.transport }),
    ...(options.security === undefined ? {} : { security: options.security }),
    ...options.spec,
  });
  const { peerSpec = {} } = options;
  return [
    tunnel,
    ...peers.map((peer) => resource("VpnPeer", peer, { tunnel: { name }, ...peerSpec })),
  ];
}

/** A dialling tunnel by a profile. */
export interface DialOptions {
  readonly name?: string;
  readonly profile: string;
  readonly interface?: string;
  readonly transport?: Fields;
  readonly security?: Fields;
  /** Further fields of the tunnel's spec; they replace what is written here. */
  readonly spec?: Fields;
}

/** Documents of a dialling tunnel: the tunnel, and the Secret with its profile. */
export function dialDocuments(options: DialOptions): readonly Fields[] {
  const { name = "segment", profile } = options;
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: `${name}-profile`, namespace: RESOURCE_NAMESPACE },
    stringData: { "client.ovpn": profile },
  };
  const tunnel = resource("VpnTunnel", name, {
    dial: { profileSecretRef: { name: `${name}-profile` } },
    workloads: { interface: options.interface ?? "seg0" },
    multicast: { routes: [] },
    ...(options.transport === undefined ? {} : { transport: options.transport }),
    ...(options.security === undefined ? {} : { security: options.security }),
    ...options.spec,
  });
  return [secret, tunnel];
}

/** Writes documents into one file and returns its path. */
export async function writeDocuments(path: string, documents: readonly Fields[]): Promise<string> {
  await writeFile(path, documents.map((document) => dump(document)).join("---\n"), { mode: 0o600 });
  return path;
}

function resource(kind: string, name: string, spec: Fields): Fields {
  return {
    apiVersion: API_VERSION,
    kind,
    metadata: { name, namespace: RESOURCE_NAMESPACE },
    spec,
  };
}
