/**
 * What loading asks for and gives: the types that `load-tunnels.ts` and its parts share.
 * Invariant: nothing here holds a secret outside a `TunnelConfig`.
 */

import type { VpnTunnel } from "../../crds/types.ts";
import type { DocumentProblem } from "./documents.ts";
import type { PeerOfTunnel } from "./peers.ts";
import type { TunnelConfig } from "./tunnel-config.ts";

/** What to load. */
export interface LoadOptions {
  /** Files and folders with resources. */
  readonly paths: readonly string[];
  /** Where keys and given addresses are kept. */
  readonly stateDirectory: string;
  /** A client file to run without any resource. */
  readonly profile?: {
    readonly path: string;
    /** Name of the interface, instead of the profile's. */
    readonly interfaceName?: string;
    /** Bridge or network card to join. */
    readonly bridge?: string;
    readonly userPass?: { readonly username: string; readonly password: string };
  };
  /** Milliseconds since 1970: certificates are made and renewed by it. */
  readonly wallMs: number;
}

/** A tunnel that can be started, or what is wrong with it. */
export type LoadedTunnel =
  | {
      readonly ok: true;
      readonly namespace: string;
      readonly name: string;
      readonly config: TunnelConfig;
      readonly notes: readonly string[];
    }
  | {
      readonly ok: false;
      readonly namespace: string;
      readonly name: string;
      readonly problems: readonly string[];
    };

/** Everything that was asked for. */
export interface LoadedTunnels {
  readonly tunnels: readonly LoadedTunnel[];
  /** What is wrong beside the tunnels: files, peers, secrets. */
  readonly problems: readonly DocumentProblem[];
}

/** What a tunnel's own loader gives. */
export type TunnelOutcome =
  | { readonly ok: true; readonly config: TunnelConfig; readonly notes: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[] };

/** One tunnel and the peers that name it. */
export interface TunnelWithPeers {
  readonly tunnel: VpnTunnel;
  readonly written: unknown;
  readonly peers: readonly PeerOfTunnel[];
}
