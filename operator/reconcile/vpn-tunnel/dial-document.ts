/**
 * The dialling side of a tunnel as its gateway reads it. The API server has filled in every default,
 * and a dialling tunnel follows its profile where nobody said otherwise: so what equals a default is
 * left out, and the profile's own word counts. Pure.
 */
import { isDeepStrictEqual } from "node:util";
import type { VpnTunnel } from "../../../crds/types.ts";
import { SEGMENT_BRIDGE } from "./listening-side.ts";

type Spec = VpnTunnel["spec"];

/** The defaults of the schema, as far as a profile may say otherwise; a test compares the two. */
export const PROFILE_DEFAULTS: Pick<Spec, "security" | "transport"> = {
  transport: {
    mtu: "Auto",
    mssFixBytes: 1444,
    replayWindow: { packets: "Auto", seconds: 10 },
    keepalive: { intervalSeconds: 1, timeoutSeconds: 5 },
    renegotiateSeconds: 3600,
    renegotiateBytes: 0,
    renegotiatePackets: 0,
  },
  security: {
    dataCiphers: ["AES-256-GCM", "CHACHA20-POLY1305"],
    controlWrap: "TlsCryptV2",
    tlsVersionMin: "1.2",
  },
};

/** Its name inside the gateway when the tunnel's own is the listening side's. */
const FAR_NAME = "far-end";

/** The document; `takesPods`: beside a listening side, in one bridge with it. */
export function dialDocument(tunnel: VpnTunnel, takesPods: boolean): unknown {
  const { apiVersion, kind, metadata, spec } = tunnel;
  const { addresses, gateway, multicast, security, transport, workloads: _, ...rest } = spec;
  const bridge = takesPods ? { interface: SEGMENT_BRIDGE } : gateway?.bridge;
  const own = takesPods ? {} : { multicast, ...(addresses === undefined ? {} : { addresses }) };
  return {
    apiVersion,
    kind,
    metadata: {
      name: takesPods ? farName(metadata.name) : metadata.name,
      namespace: metadata.namespace,
    },
    spec: {
      ...rest,
      ...own,
      transport: said(transport, PROFILE_DEFAULTS.transport),
      security: said(security, PROFILE_DEFAULTS.security),
      ...(bridge === undefined ? {} : { gateway: { bridge } }),
    },
  };
}

function farName(tunnel: string): string {
  return tunnel === FAR_NAME ? `${FAR_NAME}-server` : FAR_NAME;
}

/** What differs from the defaults: somebody wrote it. */
function said<Block extends object>(block: Block, defaults: Block): Partial<Block> {
  const known = defaults as Readonly<Record<string, unknown>>;
  const entries = Object.entries(block).filter(
    ([field, value]) => !isDeepStrictEqual(value, known[field]),
  );
  return Object.fromEntries(entries) as Partial<Block>;
}
