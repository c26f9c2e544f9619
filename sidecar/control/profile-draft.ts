/**
 * What is known of a profile while its directives are read one after the other. A later directive
 * replaces an earlier one, as in OpenVPN, except those that add to a list.
 */

import type { DataCipher, OuterProtocol } from "./tunnel-config.ts";

/** A value and the line that gave it. */
export interface Placed<Value> {
  readonly value: Value;
  readonly line: number;
}

/** The unfinished settings. */
export interface ProfileDraft {
  readonly notes: string[];
  readonly problems: string[];
  readonly remotes: {
    readonly host: string;
    readonly port?: number;
    readonly protocol?: OuterProtocol;
  }[];
  /** Of the remotes that name none. */
  protocol: OuterProtocol;
  /** Remotes of the other protocol are left out. */
  forcedProtocol?: Placed<OuterProtocol>;
  isRandom: boolean;
  /** `client` or `pull`: the server says what to use. */
  isPulling: boolean;
  /** `tls-client`. */
  isTlsClient: boolean;
  remotePort?: number;
  localPort?: number;
  isUnbound: boolean;
  device?: Placed<string>;
  deviceType?: Placed<"tap" | "tun">;
  address4?: { readonly address: string; readonly prefixBits: number };
  /** In place of a mask: the other end of a point-to-point tun. */
  farEnd4?: Placed<string>;
  address6?: { readonly address: string; readonly prefixBits: number };
  readonly multicastRoutes: string[];
  /** Other networks that the profile routes into the tunnel; `route` and `route-ipv6`. */
  readonly routes: (Placed<string> & { readonly metric?: number })[];
  /** `route-nopull`: what the server pushes of routes is not taken. */
  leavesRoutes: boolean;
  /** `route-noexec`: no route is set at all. */
  setsNoRoutes: boolean;
  routeMetric?: number;
  asksUserPass: boolean;
  userPass?: { readonly username: string; readonly password: string };
  caPem?: string;
  certificatePem?: string;
  privateKeyPem?: string;
  extraCertificatesPem?: string;
  crlPem?: string;
  readonly peerFingerprints: string[];
  wrapText?: Placed<string> & { readonly kind: "TlsCryptV2" | "TlsCrypt" | "TlsAuth" };
  wrapKey?: Uint8Array;
  /** tls-crypt-v2: the wrapped form of `wrapKey`. */
  wrappedKey?: Uint8Array;
  keyDirection?: 0 | 1;
  /** Digest of tls-auth; undefined when the profile names one that is not supported. */
  digest: "SHA1" | "SHA256" | "SHA512" | undefined;
  digestLine: number;
  cipher?: DataCipher;
  dataCiphers?: readonly DataCipher[];
  remoteCertTls?: "server" | "client";
  verifyName?: string;
  verifyNamePrefix?: string;
  verifySubject?: string;
  tlsVersionMin?: "1.2" | "1.3";
  tlsVersionMax?: "1.2" | "1.3";
  mtu?: number;
  mssFixBytes?: number;
  fragmentBytes?: number;
  replayWindow?: { readonly packets: number; readonly seconds: number };
  pingSeconds?: number;
  pingRestartSeconds?: number;
  readonly renewal: {
    renegotiateSeconds?: number;
    renegotiateBytes?: number;
    renegotiatePackets?: number;
  };
}

/** A draft that nothing has been read into; the digest is OpenVPN's default. */
export function newDraft(): ProfileDraft {
  return {
    notes: [],
    problems: [],
    remotes: [],
    protocol: "Udp",
    isRandom: false,
    isPulling: false,
    isTlsClient: false,
    isUnbound: false,
    multicastRoutes: [],
    routes: [],
    leavesRoutes: false,
    setsNoRoutes: false,
    asksUserPass: false,
    renewal: {},
    peerFingerprints: [],
    digest: "SHA1",
    digestLine: 0,
  };
}
