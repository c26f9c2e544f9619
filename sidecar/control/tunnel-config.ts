/**
 * What one tunnel's data plane is started with: every reference resolved, every default filled
 * in, every key at hand. Made from the resources (`documents.ts`) or from an administrator's
 * `.ovpn` profile; nothing behind this type reads YAML again.
 */

import type { KeyPair } from "../../authority/certificate.ts";
import type { User } from "../../authority/password.ts";

/** One tunnel, ready to start. */
export interface TunnelConfig {
  readonly namespace: string;
  readonly name: string;
  readonly role: ListenConfig | DialConfig;
  /** Segment: many peers, a learning switch. TwoPeer: frames go straight across. */
  readonly link: "Segment" | "TwoPeer";
  readonly device: DeviceConfig;
  /** IP packets are routed (tun); absent: frames are switched (tap). */
  readonly routing?: RoutingConfig;
  /** Absent: groups are flooded and nothing is limited. */
  readonly segment?: SegmentConfig;
  readonly transport: TransportConfig;
  readonly security: SecurityConfig;
  /** Ways out of a dialling end; absent: wherever routing says. */
  readonly uplinks?: UplinksConfig;
}

/** Several ways out, and how they are used. */
export interface UplinksConfig {
  /**
   * Failover: one at a time. Duplicate: every packet on each of `copies`, sealed once. Fec: packets
   * on each in turn, with parity. Balance: each flow on one.
   */
  readonly policy: "Failover" | "Duplicate" | "Fec" | "Balance";
  readonly copies: number;
  /** DSCP of what is copied with policy Duplicate; absent: everything. */
  readonly classes?: readonly number[];
  /** With policy Fec. */
  readonly parity?: {
    readonly dataPackets: number;
    /** For a full block, at most. */
    readonly parityPackets: number;
    /** A block is closed after this long even if it is short. */
    readonly maxDelayMs: number;
    /** Parity follows the measured loss. */
    readonly isAdaptive: boolean;
  };
  /** How long a TCP segment waits for those before it, at most; 0: not at all. */
  readonly reorderMs: number;
  readonly probe: {
    readonly intervalMs: number;
    /** Intervals of silence after which a path is down. */
    readonly downAfter: number;
    /** Replies in a row after which it is up again. */
    readonly upAfter: number;
    readonly maxLossPercent: number;
    readonly lossWindow: number;
  };
  /** 1 to 4. */
  readonly uplinks: readonly UplinkConfig[];
}

/** One way out: by interface name, or by the network that its address is in. The least priority wins. */
export type UplinkConfig = {
  readonly name: string;
  readonly priority: number;
  /** Its share of the flows with policy Balance; absent: 1. */
  readonly weight?: number;
  /** Next hop, in a routing table of the uplink's own; absent: the main table knows the way. */
  readonly gateway?: string;
} & ({ readonly interface: string } | { readonly sourceAddress: string });

/** We are the OpenVPN server of this tunnel. */
export interface ListenConfig {
  readonly kind: "listen";
  /** 1 to 65535. */
  readonly port: number;
  readonly protocol: OuterProtocol;
  readonly peers: readonly PeerConfig[];
  /** Peers without an address are told to ask the segment's own DHCP server. */
  readonly pushesDhcp?: boolean;
  /** The segment's networks, pushed as `ifconfig` and `ifconfig-ipv6`; absent: nothing is pushed. */
  readonly segment4?: { readonly address: string; readonly prefixBits: number };
  readonly segment6?: { readonly address: string; readonly prefixBits: number };
}

/** One identity that may connect; known by the common name of its certificate. */
export interface PeerConfig {
  readonly name: string;
  readonly commonName: string;
  /** SHA-256 of the certificates that are its own, as in `peerFingerprints`; absent: any of its name. */
  readonly fingerprints?: readonly string[];
  /** Address pushed to it, fixed or from the pool; absent: none is pushed. */
  readonly address4?: string;
  readonly address6?: string;
  /** MAC addresses nobody else may claim. */
  readonly stations: readonly string[];
  /** Networks behind it, in a routed tunnel. */
  readonly networks: readonly string[];
}

/** What a routed tunnel routes. Networks are `address/bits`. */
export interface RoutingConfig {
  /** Networks at the far end that this host is to reach; absent: all that peers declare. */
  readonly toSegment?: readonly string[];
  /** Networks that a profile routes, beside those. */
  readonly profileRoutes?: readonly { readonly network: string; readonly metric?: number }[];
  /** Networks at this side that the far end may reach. */
  readonly fromSegment: readonly string[];
  readonly isPeerToPeer: boolean;
  /** Groups are forwarded to those who joined them (IGMP and MLD proxy); absent: nowhere. */
  readonly isProxy?: true;
  /** What goes through takes this host's own address. */
  readonly masquerade: boolean;
  /** Of a dialling end: what it takes of the routes that the server pushes. */
  readonly pushed?: PushedRoutesConfig;
}

/** Which pushed routes are taken; nothing here takes none. */
export interface PushedRoutesConfig {
  /** Those in one of these networks; absent: all. */
  readonly within?: readonly string[];
}

/** What carries the tunnel's packets. */
export type OuterProtocol = "Udp" | "Tcp";

/** One address to dial. */
export interface RemoteConfig {
  readonly host: string;
  readonly port: number;
  readonly protocol: OuterProtocol;
}

/** We are the OpenVPN client of this tunnel. */
export interface DialConfig {
  readonly kind: "dial";
  readonly remotes: readonly RemoteConfig[];
  /** Stock's point-to-point mode (`tls-client` without `pull`): the other end pushes nothing. */
  readonly isTwoPeer?: true;
  readonly order: "Listed" | "Random";
  /** UDP source port to keep; absent: the kernel chooses (`nobind`). */
  readonly localPort?: number;
  /** Username and password, where the profile asks for them. */
  readonly userPass?: { readonly username: string; readonly password: string };
}

/** The kernel interface of this end, and what is done with it. */
export interface DeviceConfig {
  /** Ethernet frames, or IP packets. */
  readonly kind: "tap" | "tun";
  /** Interface name, at most 15 bytes; absent: the program names it `fl-<tunnel>`. */
  readonly name?: string;
  /** Existing bridge or NIC that this end's segment is part of. */
  readonly bridge?: { readonly interface: string };
  /** Our own addresses on the segment; absent on a dialling end: what the server pushes. */
  readonly address4?: { readonly address: string; readonly prefixBits: number };
  readonly address6?: { readonly address: string; readonly prefixBits: number };
  /** The segment's own DHCP server is asked for an IPv4 address. */
  readonly usesDhcp?: boolean;
  /** Multicast networks routed into the segment, in the namespace the program runs in. */
  readonly multicastRoutes: readonly string[];
  /** Inner MTU in bytes (IP bytes in one frame), or Auto. */
  readonly mtu: "Auto" | number;
}

/** What the switch does with groups and storms. */
export interface SegmentConfig {
  /** Absent: every group is flooded. */
  readonly snooping?: {
    readonly querier: "Auto" | "Always" | "Never";
    /** What happens to groups that nobody has joined. */
    readonly unknownGroups: "Flood" | "Drop";
    /** Where our IGMP queries come from; absent: we send none. */
    readonly address4?: string;
  };
  /** Bits per second that each peer may send to everybody, by kind; undefined: no limit. */
  readonly storm: {
    readonly broadcast: number | undefined;
    readonly unknownUnicast: number | undefined;
    readonly multicast: number | undefined;
  };
}

/** How packets travel. */
export interface TransportConfig {
  /** Largest UDP payload, as OpenVPN's --fragment at both ends; absent: packets are not cut. */
  readonly fragmentBytes?: number;
  /** Clamp for the MSS of TCP SYN segments: the largest outer UDP payload as --mssfix; 0: off. */
  readonly mssFixBytes: number;
  readonly replayWindow: { readonly packets: "Auto" | number; readonly seconds: number };
  readonly keepalive: { readonly intervalSeconds: number; readonly timeoutSeconds: number };
  /** Copies the DSCP of packets to those around them. */
  readonly copyDscp?: boolean;
  /** Seconds between renegotiations; 0: never by time. */
  readonly renegotiateSeconds: number;
  /** Bytes and packets of both directions after which a key is changed; 0: only by its cipher. */
  readonly renegotiateBytes: number;
  readonly renegotiatePackets: number;
}

/** AEAD of the data channel, by OpenVPN's names. */
export type DataCipher = "AES-256-GCM" | "AES-128-GCM" | "CHACHA20-POLY1305";

/** Who we are, whom we believe, and what wraps the control channel. */
export interface SecurityConfig {
  /** Most wanted first. */
  readonly dataCiphers: readonly DataCipher[];
  readonly wrap: ControlWrapConfig | ServerWrapConfig;
  /** Our certificate, with what it chains to; absent: this end shows none, and is known by a password. */
  readonly identity?: KeyPair;
  /** Authorities that the other end's certificate must chain to; absent only with fingerprints. */
  readonly caPem?: string;
  readonly crlPem?: string;
  /** SHA-256 of acceptable peer certificates, 32 bytes in upper-case hex with colons. */
  readonly peerFingerprints: readonly string[];
  /** The other end's certificate must be for this use (`remote-cert-tls`); absent: not checked. */
  readonly remoteCertTls?: "server" | "client";
  /** The other end's common name must equal this (`verify-x509-name … name`). */
  readonly verifyName?: string;
  /** Its common name must begin so (`… name-prefix`). */
  readonly verifyNamePrefix?: string;
  /** Its whole subject must be this (`… subject`), as OpenVPN prints it: `C=DE, O=Lab, CN=gw`. */
  readonly verifySubject?: string;
  /** A listening end asks for username and password beside the certificate. */
  readonly login?: LoginConfig;
  readonly tlsVersionMin: "1.2" | "1.3";
  readonly tlsVersionMax?: "1.2" | "1.3";
}

/** Who knows the passwords, and how long a token is good for. */
export interface LoginConfig {
  /** One of both is there. */
  readonly users?: readonly User[];
  /** Path of a unix socket. */
  readonly socket?: string;
  /** 0: no tokens. */
  readonly tokenSeconds: number;
}

/** tls-crypt-v2 at a listening end: every client's key comes wrapped with this one (128 bytes). */
export interface ServerWrapConfig {
  readonly kind: "TlsCryptV2Server";
  readonly serverKey: Uint8Array;
}

/** What is around control packets; `key` is OpenVPN's 256-byte static key. */
export type ControlWrapConfig =
  | { readonly kind: "None" }
  | { readonly kind: "TlsCrypt"; readonly key: Uint8Array }
  /** A dialling end's own key, and the same key wrapped for the server. */
  | { readonly kind: "TlsCryptV2"; readonly key: Uint8Array; readonly wrapped: Uint8Array }
  | {
      readonly kind: "TlsAuth";
      readonly key: Uint8Array;
      /** key-direction; absent: bidirectional. */
      readonly direction?: 0 | 1;
      /** `--auth`: digest of the control HMAC. */
      readonly digest: "SHA1" | "SHA256" | "SHA512";
    };
