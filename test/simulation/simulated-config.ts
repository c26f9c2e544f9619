/** The configuration of a simulated sidecar: short times, one cipher, keys that are nobody's. */
import type { TunnelConfig } from "../../sidecar/control/tunnel-config.ts";

/** What differs between them. */
export interface SimulatedWish extends Pick<TunnelConfig, "name" | "role" | "link" | "uplinks"> {
  readonly replayPackets: number | "Auto";
}

/** A whole configuration. */
export function simulatedConfig(wish: SimulatedWish): TunnelConfig {
  const { name, role, link, replayPackets, uplinks } = wish;
  return {
    namespace: "lab",
    ...{ name, role, link },
    device: { kind: "tap", multicastRoutes: [], mtu: 1500 },
    transport: {
      mssFixBytes: 0,
      replayWindow: { packets: replayPackets, seconds: 15 },
      keepalive: { intervalSeconds: 1, timeoutSeconds: 4 },
      renegotiateSeconds: 0,
      renegotiateBytes: 0,
      renegotiatePackets: 0,
    },
    security: {
      dataCiphers: ["AES-256-GCM"],
      wrap: { kind: "TlsCrypt", key: Buffer.alloc(256, 7) },
      peerFingerprints: [],
      tlsVersionMin: "1.2",
    },
    ...(uplinks === undefined ? {} : { uplinks }),
  };
}
