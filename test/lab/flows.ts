/**
 * What crosses the lab's segment: numbered multicast from the LAN to the workload and back, IPv4
 * and IPv6, by unmodified programs at both ends.
 */

import {
  type Group,
  MulticastReceiver,
  MulticastSender,
  type Place,
} from "../support/multicast.ts";

const SEND_INTERVAL_MS = 10;

/** One direction of one group. */
export interface Flow {
  readonly name: FlowName;
  readonly group: Group;
}

/** From where to where; groups of local scope, such as that of mDNS, are apart. */
export type FlowName = `${"lanToWorkload" | "workloadToLan"}${"4" | "6" | "Local4"}`;

/** Both ends of all flows. */
export interface FlowPlaces {
  readonly lan: Place;
  readonly workload: Place;
}

/** The groups; each direction has its own, so that nothing is counted twice. */
const FLOWS: readonly Flow[] = [
  { name: "lanToWorkload4", group: { family: 4, address: "239.1.2.3", port: 5001 } },
  { name: "lanToWorkload6", group: { family: 6, address: "ff15::1:203", port: 5002 } },
  { name: "workloadToLan4", group: { family: 4, address: "239.1.2.4", port: 5003 } },
  { name: "workloadToLan6", group: { family: 6, address: "ff15::1:204", port: 5004 } },
];

/** What one flow has done so far. */
export interface FlowCount {
  readonly name: Flow["name"];
  readonly group: string;
  readonly sent: number;
  readonly received: number;
  readonly duplicates: number;
  /** Interface by which the receiver's kernel joined the group. */
  readonly joinedBy: string;
}

/** All flows, running. */
export class RunningFlows implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly #ends: readonly FlowEnds[];

  private constructor(stack: AsyncDisposableStack, ends: readonly FlowEnds[]) {
    this.#stack = stack;
    this.#ends = ends;
  }

  /** Starts every receiver, then every sender. */
  static async start(places: FlowPlaces, flows: readonly Flow[] = FLOWS): Promise<RunningFlows> {
    await using stack = new AsyncDisposableStack();
    const ends: FlowEnds[] = [];
    for (const flow of flows) {
      const target = receiverOf(flow, places);
      const receiver = stack.use(await MulticastReceiver.start(target, flow.group));
      ends.push({ flow, receiver, joinedBy: (await receiver.joinedInterface()) ?? "none" });
    }
    for (const end of ends) {
      const source = senderOf(end.flow, places);
      end.sender = stack.use(await MulticastSender.start(source, end.flow.group, SEND_INTERVAL_MS));
    }
    return new RunningFlows(stack.move(), ends);
  }

  /** Ends the senders; what is under way may still arrive. */
  async stopSending(): Promise<void> {
    for (const { sender } of this.#ends) await sender?.finish();
  }

  /** The counts at this moment. */
  counts(): readonly FlowCount[] {
    return this.#ends.map(({ flow, receiver, sender, joinedBy }) => ({
      name: flow.name,
      group: flow.group.address,
      sent: sender?.frames ?? 0,
      received: receiver.frames,
      duplicates: receiver.duplicates,
      joinedBy,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

interface FlowEnds {
  readonly flow: Flow;
  readonly receiver: MulticastReceiver;
  readonly joinedBy: string;
  sender?: MulticastSender;
}

function receiverOf(flow: Flow, { lan, workload }: FlowPlaces): Place {
  return flow.name.startsWith("lanTo") ? workload : lan;
}

function senderOf(flow: Flow, { lan, workload }: FlowPlaces): Place {
  return flow.name.startsWith("lanTo") ? lan : workload;
}
