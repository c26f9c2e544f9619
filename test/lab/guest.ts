/**
 * A second host behind the gateway: an unmodified machine with a stock OpenVPN client that runs
 * the profile that our gateway printed, or the stock segment's.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { ensureCommands } from "../support/packages.ts";
import type { Program } from "../support/process.ts";
import { waitFor } from "../support/wait.ts";
import { tapOf } from "./fairlead-segment.ts";
import { LAB, type Topology } from "./topology.ts";

const GUEST_UPLINK = "198.51.102.2";

/** A running guest. */
export class Guest implements AsyncDisposable {
  readonly namespace: Namespace;
  readonly device: string;
  readonly #peer: OpenvpnPeer;

  private constructor(namespace: Namespace, device: string, peer: OpenvpnPeer) {
    this.namespace = namespace;
    this.device = device;
    this.#peer = peer;
  }

  /** Cables the guest to the gateway, starts its client and waits for the segment. */
  static async start(
    network: Network,
    topology: Topology,
    options: { readonly folder: string; readonly profile: string },
  ): Promise<Guest> {
    const namespace = await network.namespace("guest");
    const { gateway } = topology;
    await network.cable(
      { namespace, interface: "eth0" },
      { namespace: gateway, interface: "eth2" },
    );
    await namespace.addresses("eth0", `${GUEST_UPLINK}/24`);
    await gateway.addresses("eth2", "198.51.102.1/24");
    await namespace.ip("route add default via 198.51.102.1");
    const folder = join(options.folder, "guest");
    const peer = await OpenvpnPeer.start({ namespace, folder, config: options.profile });
    await peer.waitUntilUp();
    const device = await tapOf(namespace);
    await namespace.waitForUsableAddresses(device);
    // The one command that the profile names: stock OpenVPN cannot set this route itself.
    await namespace.ip(`-6 route add multicast ff00::/8 dev ${device} table local metric 1`);
    await waitFor(
      "the guest to reach the LAN host",
      async () =>
        (await namespace.try(["ping", "-c1", "-W1", LAB.lanHost])).status === 0 || undefined,
      15_000,
    );
    return new Guest(namespace, device, peer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer.stop();
  }
}

/** One line of a capture. */
export interface Captured {
  readonly seconds: number;
  readonly text: string;
}

/** A tcpdump that runs beside other things. */
export class Capture implements AsyncDisposable {
  readonly lines: Captured[] = [];
  readonly #program: Program;

  private constructor(namespace: Namespace, device: string, filter: string) {
    const command = ["tcpdump", "-i", device, "-n", "-l", "-tt", "--immediate-mode", filter];
    this.#program = namespace.start(command, { onLine: (line) => this.#take(line) });
  }

  static async start(namespace: Namespace, device: string, filter: string): Promise<Capture> {
    await ensureCommands(["tcpdump"]);
    const capture = new Capture(namespace, device, filter);
    await capture.#program.waitForOutput(/listening on/);
    return capture;
  }

  #take(line: string): void {
    const match = /^(\d+\.\d+) (.*)$/.exec(line);
    if (match !== null) this.lines.push({ seconds: Number(match[1]), text: match[2] ?? "" });
  }

  /** Lines with the text. */
  matching(pattern: RegExp): readonly Captured[] {
    return this.lines.filter(({ text }) => pattern.test(text));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.stop();
    assert(this.#program.status !== undefined);
  }
}
