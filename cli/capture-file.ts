/** The capture file: interfaces as they appear, packets with what became of them, what was missed. */
import {
  type CapturedFrame,
  type CaptureNames,
  SWITCH_PORT,
} from "../sidecar/control/capture-messages.ts";
import { ForwardVerdict } from "../sidecar/switch/forwarding.ts";
import { interfaceBlock, packetBlock, sectionBlock, statisticsBlock } from "./pcapng.ts";

/** Why a frame went nowhere. */
const DROPPED: Readonly<Record<ForwardVerdict, string>> = {
  [ForwardVerdict.runt]: "shorter than an Ethernet header",
  [ForwardVerdict.sourceInvalid]: "its source address is a group or zero",
  [ForwardVerdict.spoofedStation]: "its source address is declared for another peer",
  [ForwardVerdict.reservedGroup]: "no bridge forwards its group",
  [ForwardVerdict.splitHorizon]: "its target is behind the port it came from",
  [ForwardVerdict.noPort]: "no other port is up to take it",
  [ForwardVerdict.noMember]: "nobody has joined its group",
  [ForwardVerdict.storm]: "more than stormLimits lets through",
  [ForwardVerdict.blocked]: "its port is shut because it closes a loop",
  [ForwardVerdict.own]: "an answer to the switch itself",
};

/** The blocks of one capture, in order. */
export class CaptureFile {
  readonly #tunnel: string;
  readonly #snapBytes: number;
  readonly #names = new Map<number, string>();
  /** Number of each interface by its name: a peer that comes back keeps its own. */
  readonly #interfaces = new Map<string, number>();

  constructor(tunnel: string, snapBytes: number) {
    this.#tunnel = tunnel;
    this.#snapBytes = snapBytes;
  }

  /** The file's first block. */
  head(version: string): Buffer {
    return sectionBlock(`fairlead ${version}`);
  }

  takeNames({ names }: CaptureNames): void {
    for (const { port, name } of names) this.#names.set(port, name);
  }

  /** A frame's block, with its interface's in front the first time. */
  frame(frame: CapturedFrame): Buffer {
    const name = this.#nameOf(frame.port);
    const known = this.#interfaces.get(name);
    const number = known ?? this.#interfaces.size;
    this.#interfaces.set(name, number);
    const packet = packetBlock({
      interface: number,
      wallMs: frame.wallMs,
      bytes: frame.frame,
      originalBytes: frame.bytes,
      direction: frame.targets === 0 ? "out" : "in",
      comment: this.#comment(frame),
    });
    if (known !== undefined) return packet;
    const description = `${name} of ${this.#tunnel}, at the switch`;
    return Buffer.concat([interfaceBlock(name, description, this.#snapBytes), packet]);
  }

  /** The last block: what the capture missed. Empty when it saw nothing. */
  tail(wallMs: number, missed: number): Buffer {
    if (this.#interfaces.size === 0) return Buffer.alloc(0);
    return statisticsBlock({ interface: 0, wallMs, missed });
  }

  #nameOf(port: number): string {
    if (port === 0) return "tap";
    if (port === SWITCH_PORT) return "switch";
    return this.#names.get(port) ?? `port ${port}`;
  }

  #comment({ port, targets, target }: CapturedFrame): string {
    const name = this.#nameOf(port);
    if (targets === 0) return `to ${name}`;
    if (targets < 0) return `from ${name}, dropped: ${DROPPED[targets as ForwardVerdict]}`;
    if (targets === 1) return `from ${name} to ${this.#nameOf(target)}`;
    return `from ${name} to ${targets} ports`;
  }
}
