/**
 * A stock OpenVPN process in a namespace, client or server, by the text of its configuration.
 * Files that the text names are given along and are relative to its working folder.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { dirname, join } from "node:path";
import type { Namespace } from "./netns.ts";
import { chrootCommand, openvpnRoot } from "./openvpn-release.ts";
import { ensureCommands } from "./packages.ts";
import type { Program } from "./process.ts";

const CONFIG_FILE = "peer.ovpn";
const MANAGEMENT_SOCKET = "management.sock";
const MANAGEMENT_TIMEOUT_MS = 5_000;

/** The releases that are tested against. */
export type OpenvpnRelease = "2.5" | "2.6" | "2.7";

/** What a stock peer is started with. */
export interface OpenvpnOptions {
  readonly namespace: Namespace;
  /** A folder of its own; made when missing. */
  readonly folder: string;
  readonly config: string;
  /** Further files, by name relative to the folder. */
  readonly files?: Readonly<Record<string, string>>;
  readonly release?: OpenvpnRelease;
  /** Further command line options. */
  readonly parameters?: readonly string[];
}

/** A running stock OpenVPN. */
export class OpenvpnPeer implements AsyncDisposable {
  readonly #program: Program;
  readonly #folder: string;

  private constructor(program: Program, folder: string) {
    this.#program = program;
    this.#folder = folder;
  }

  /** Starts it without waiting for a connection. */
  static async start(options: OpenvpnOptions): Promise<OpenvpnPeer> {
    const { namespace, folder, release = "2.6" } = options;
    await mkdir(folder, { recursive: true });
    const files = { ...options.files, [CONFIG_FILE]: options.config };
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text, { mode: 0o600 });
    }
    const parameters = [
      ...["--config", CONFIG_FILE, "--management", MANAGEMENT_SOCKET, "unix"],
      ...["--verb", "3", ...(options.parameters ?? [])],
    ];
    const command = await openvpnCommand(release, folder, parameters);
    return new OpenvpnPeer(namespace.start(command), folder);
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

  /** A client: connected and configured. A server: ready for clients. */
  async waitUntilUp(timeoutMs = 30_000): Promise<void> {
    await this.waitForLog(/Initialization Sequence Completed/, timeoutMs);
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

  /** Gives one command to its management interface and returns the lines of the answer. */
  async manage(command: string): Promise<readonly string[]> {
    const socket = createConnection(join(this.#folder, MANAGEMENT_SOCKET)).setEncoding("utf8");
    socket.setTimeout(MANAGEMENT_TIMEOUT_MS, () => socket.destroy(new Error("no answer")));
    socket.write(`${command}\n`);
    const lines: string[] = [];
    let partial = "";
    for await (const chunk of socket as AsyncIterable<string>) {
      const parts = (partial + chunk).split(/\r?\n/);
      partial = parts.pop() ?? "";
      for (const line of parts) {
        // Lines that start with ">" are events, not answers.
        if (line === "END" || /^(SUCCESS|ERROR):/.test(line)) return [...lines, line];
        if (!line.startsWith(">")) lines.push(line);
      }
    }
    throw new Error(`openvpn closed its management connection during: ${command}`);
  }

  /** Ends it; its exit status. */
  async stop(): Promise<number> {
    return await this.#program.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

async function openvpnCommand(
  release: OpenvpnRelease,
  folder: string,
  parameters: readonly string[],
): Promise<readonly string[]> {
  if (release !== "2.6") return chrootCommand(await openvpnRoot(release), folder, parameters);
  await ensureCommands(["openvpn"]);
  return ["openvpn", "--cd", folder, ...parameters];
}
