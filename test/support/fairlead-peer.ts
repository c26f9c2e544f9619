/** A `fairlead up` of this tree in a namespace, and what its status socket says. */
import { mkdir } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { text as readAll } from "node:stream/consumers";
import type { PeerStatus, ProcessStatus, TunnelStatus } from "../../sidecar/control/status.ts";
import type { Namespace } from "./netns.ts";
import { type Program, runFine } from "./process.ts";
import { waitFor } from "./wait.ts";

/** The launcher in the root of this tree. */
const LAUNCHER = join(import.meta.dirname, "..", "..", "fairlead");

/** What `fairlead up` is started with. */
export interface FairleadOptions {
  /** A folder of its own for state and run files; made when missing. */
  readonly folder: string;
  /** Further command line options. */
  readonly parameters?: readonly string[];
}

/** A running `fairlead up`. */
export class FairleadPeer implements AsyncDisposable {
  readonly #program: Program;
  readonly #folder: string;

  constructor(program: Program, folder: string) {
    this.#program = program;
    this.#folder = folder;
  }

  get pid(): number {
    return this.#program.pid;
  }

  /** Everything it has printed, newest mebibyte. */
  get log(): string {
    return this.#program.output;
  }

  /** Exit status once it has ended. */
  get status(): number | undefined {
    return this.#program.status;
  }

  /** The document that its status socket gives; undefined while it has none. */
  async document(): Promise<ProcessStatus | undefined> {
    const socket = createConnection(join(runFolder(this.#folder), `${this.pid}.sock`));
    try {
      return JSON.parse(await readAll(socket)) as ProcessStatus;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "ENOENT" || code === "ECONNREFUSED") return undefined;
      throw error;
    }
  }

  /** Its first tunnel; undefined before it has started. */
  async tunnel(): Promise<TunnelStatus | undefined> {
    return (await this.document())?.tunnels[0];
  }

  /** Waits until its first tunnel listens or, when it dials, is connected. */
  async waitUntilUp(timeoutMs = 30_000): Promise<TunnelStatus> {
    return await this.#waitForTunnel(
      (tunnel) => tunnel.state === "Up" || tunnel.state === "Listening",
      timeoutMs,
    );
  }

  /** Waits until a peer of its first tunnel is connected. */
  async waitForPeer(name: string, timeoutMs = 30_000): Promise<PeerStatus> {
    const find = (tunnel: TunnelStatus): PeerStatus | undefined =>
      tunnel.peers.find((peer) => peer.name === name && peer.state === "Up");
    const tunnel = await this.#waitForTunnel((one) => find(one) !== undefined, timeoutMs);
    return find(tunnel) as PeerStatus;
  }

  async waitForLog(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpExecArray> {
    return await this.#program.waitForOutput(pattern, timeoutMs);
  }

  async waitForEnd(timeoutMs = 20_000): Promise<number> {
    return await this.#program.waitForEnd(timeoutMs);
  }

  signal(name: NodeJS.Signals): void {
    this.#program.signal(name);
  }

  /** Ends it; its exit status. */
  async stop(): Promise<number> {
    return await this.#program.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #waitForTunnel(
    isReached: (tunnel: TunnelStatus) => boolean,
    timeoutMs: number,
  ): Promise<TunnelStatus> {
    return await waitFor(
      () => `fairlead up to get there:\n${this.log.slice(-4000)}`,
      async () => {
        if (this.status !== undefined) {
          throw new Error(`fairlead up ended with ${this.status}:\n${this.log.slice(-4000)}`);
        }
        const tunnel = await this.tunnel();
        return tunnel !== undefined && isReached(tunnel) ? tunnel : undefined;
      },
      timeoutMs,
    );
  }
}

/** Starts `fairlead up` with resource files in a namespace; does not wait for a connection. */
export async function startFairlead(
  namespace: Namespace,
  files: readonly string[],
  options: FairleadOptions,
): Promise<FairleadPeer> {
  await mkdir(options.folder, { recursive: true });
  const command = [
    ...[LAUNCHER, "up", ...files.flatMap((file) => ["-f", file])],
    ...["--state", stateFolder(options.folder), "--run", runFolder(options.folder)],
    ...(options.parameters ?? []),
  ];
  return new FairleadPeer(namespace.start(command), options.folder);
}

/** The client file of a VpnPeer, as `fairlead profile` prints it from the same state. */
export async function printProfile(
  peer: string,
  file: string,
  options: Pick<FairleadOptions, "folder">,
): Promise<string> {
  return await runFine([
    ...[LAUNCHER, "profile", peer, "-f", file],
    ...["--state", stateFolder(options.folder)],
  ]);
}

function stateFolder(folder: string): string {
  return join(folder, "state");
}

function runFolder(folder: string): string {
  return join(folder, "run");
}
