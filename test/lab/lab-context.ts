/** What a scenario of the lab works with: the hosts, the tunnel between them, and the screen. */
import { pause, waitFor } from "../support/wait.ts";
import type { RunningFlows } from "./flows.ts";
import type { Block, Row, Screen } from "./screen.ts";
import type { PeerKind, Segment } from "./segment.ts";
import { LAB, type Topology } from "./topology.ts";

const REFRESH_INTERVAL_MS = 1_000;

/** One lab, built. */
export class LabContext {
  readonly topology: Topology;
  readonly segment: Segment;
  readonly screen: Screen;
  readonly peer: PeerKind | "openvpn-only";

  constructor(parts: Pick<LabContext, "topology" | "segment" | "screen" | "peer">) {
    this.topology = parts.topology;
    this.segment = parts.segment;
    this.screen = parts.screen;
    this.peer = parts.peer;
  }

  /** Attaches the workload and waits until unicast crosses; the round trip in ms. */
  async attach(options: { readonly multicastRoutes: boolean }): Promise<number> {
    await this.segment.attachWorkload(options);
    // Before that, sending to an IPv6 group fails with EADDRNOTAVAIL.
    await this.topology.workload.waitForUsableAddresses(LAB.workloadInterface);
    return await this.#ping();
  }

  /** Round trip from the workload to the LAN host over the segment, best of three, ms. */
  async #ping(): Promise<number> {
    return await waitFor(
      "an echo from the LAN host across the segment",
      async () => {
        const ping = ["ping", "-c3", "-i0.05", "-W1", LAB.lanHost];
        const { stdout } = await this.topology.workload.try(ping);
        const best = /rtt min\/avg\/max\/mdev = ([\d.]+)\//.exec(stdout)?.[1];
        return best === undefined ? undefined : Number(best);
      },
      20_000,
    );
  }

  /** Shows what flows, once a second, for so long. */
  async watch(flows: RunningFlows, seconds: number): Promise<void> {
    const deadline = performance.now() + seconds * 1000;
    for (;;) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return;
      await pause(Math.min(REFRESH_INTERVAL_MS, leftMs));
      this.screen.show(this.segment.description, await this.#blocks(flows));
    }
  }

  async #blocks(flows: RunningFlows): Promise<readonly Block[]> {
    return [
      ...(await this.segment.blocks()),
      { title: "MULTICAST, frames sent, received", rows: flowRows(flows) },
      { title: "SEGMENT, frames in, out", rows: await this.#interfaceRows() },
    ];
  }

  async #interfaceRows(): Promise<readonly Row[]> {
    const { workload, box } = this.topology;
    const places = [
      { namespace: workload, device: LAB.workloadInterface },
      { namespace: box, device: "lan0" },
    ];
    const rows: Row[] = [];
    for (const { namespace, device } of places) {
      const counters = (await namespace.interfaceCounters()).get(device);
      if (counters === undefined) continue;
      const values = [counters.receivedFrames, counters.sentFrames].map(String);
      rows.push({ label: `${namespace.label} ${device}`, values });
    }
    return rows;
  }
}

function flowRows(flows: RunningFlows): readonly Row[] {
  return flows.counts().map((flow) => ({
    label: `${flow.name} ${flow.group}`,
    values: [String(flow.sent), String(flow.received), `joined by ${flow.joinedBy}`],
  }));
}
