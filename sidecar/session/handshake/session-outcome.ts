/**
 * How a session begins and ends, in words that both ends of the program share: what was agreed,
 * why it ended, and which of its data keys to use.
 */
import type { DataKeys, EpochSecrets } from "./data-keys.ts";
import type { PeerInfo } from "./peer-info.ts";
import type { PushedOptions } from "./push-options.ts";

/** Why a session ended or never began. */
export type EndCause =
  /** The other end's certificate failed our checks. */
  | "certificateRefused"
  /** TLS itself failed: a version or algorithm that both ends do not share, or an alert. */
  | "tlsFailed"
  /** AUTH_FAILED from the server, or sent by us. */
  | "authenticationFailed"
  | "noCommonCipher"
  | "mtuMismatch"
  /** The server pushed something that we refuse, compression for one. */
  | "optionRefused"
  | "protocolError"
  | "handshakeTimeout"
  /** The other end said goodbye, or asked for a new session. */
  | "peerLeft"
  | "peerRestarts"
  | "peerSilent"
  /** Its TCP connection failed. */
  | "connectionLost"
  /** A newer session of the same peer took over. */
  | "replaced"
  | "stopped";

/** What both ends agreed on. */
export interface Agreement {
  readonly cipher: string;
  readonly tlsVersion: string;
  /** Common name of the other end's certificate. */
  readonly commonName: string | undefined;
  /** Who logged in, on a listening end that asks for a password. */
  readonly username?: string;
  readonly fingerprint: string | undefined;
  /** Serial number of the other end's certificate, in hex. */
  readonly serialNumber?: string | undefined;
  readonly validTo: string | undefined;
  /** Data packets carry epochs (OpenVPN 2.7). */
  readonly usesEpochs: boolean;
  /** Peer-id on our data packets, 24 bits. */
  readonly peerId: number;
  /** The client's peer-info, on a listening end. */
  readonly peerInfo?: PeerInfo;
  /** The server's PUSH_REPLY, on a dialling end. */
  readonly pushed?: PushedOptions;
  /** Inner MTU of the other end in bytes, where it said one. */
  readonly remoteMtuBytes?: number;
}

/** What a role tells the program. */
export interface SessionEvents {
  /** Receive with these keys from now on. */
  readonly installKeys: (keyId: number, keys: DataKeys) => void;
  /** The same, with keys that change by themselves epoch for epoch. */
  readonly installEpochs: (keyId: number, secrets: EpochSecrets) => void;
  /** Send with this key id from now on. */
  readonly sendWith: (keyId: number) => void;
  readonly retireKey: (keyId: number) => void;
  /** Agreed; the first keys follow at once. */
  readonly established: (agreement: Agreement) => void;
  /** The server changed what it pushed; the session goes on. */
  readonly updated: (agreement: Agreement) => void;
  readonly renegotiated: () => void;
  /** A line for the user that changes nothing. */
  readonly notice: (message: string) => void;
  /** `retryMs`: the other end asks not to be tried again before. */
  readonly ended: (cause: EndCause, message: string, retryMs?: number) => void;
}
