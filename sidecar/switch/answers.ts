/**
 * What a router tells senders about packets that it did not forward: ICMP errors. One invariant:
 * at most one answer waits, it is about the packet just refused, and each port gets so many a
 * second and no more, whatever it sends (RFC 1812, 4.3.2.8; RFC 4443, 2.4 f).
 */

import { Counter, type Counters } from "../counters.ts";
import { TAP_PORT } from "../ports.ts";
import {
  IcmpProblem,
  mayAnswer4,
  mayAnswer6,
  writeError4,
  writeError6,
} from "../wire/icmp-error.ts";
import { NO_PORT } from "./mac-table.ts";
import type { Answers } from "./switching.ts";

/** Answers that may come at once, and how fast they come back: a traceroute asks three at a time. */
const BURST = 50;
const PER_MS = 0.1;

export interface IcmpAnswersOptions {
  /** Our own addresses as four words each, IPv4 in the last; absent: that family is not answered. */
  readonly own4: Int32Array | undefined;
  readonly own6: Int32Array | undefined;
  readonly portsMax: number;
  readonly counters: Pick<Counters, "add">;
}

/** The answers of one router. */
export class IcmpAnswers implements Answers {
  /** Where the waiting answer goes, or NO_PORT. */
  port: number = NO_PORT;
  readonly #options: IcmpAnswersOptions;
  readonly #left: Float64Array;
  readonly #atMs: Int32Array;
  readonly #source = new Int32Array(4);
  readonly #packet = { start: 0, limit: 0, bytesMax: 0 };
  readonly #error: { problem: IcmpProblem; mtuBytes: number; source: Int32Array };
  #isIpv4 = true;

  constructor(options: IcmpAnswersOptions) {
    this.#options = options;
    this.#left = new Float64Array(options.portsMax).fill(BURST);
    this.#atMs = new Int32Array(options.portsMax);
    this.#error = { problem: IcmpProblem.noRoute, mtuBytes: 0, source: this.#source };
  }

  /** Notes that the packet, its header checked, is to be answered at `port`. */
  note(
    view: DataView,
    packet: { readonly start: number; readonly limit: number },
    about: { readonly problem: IcmpProblem; readonly mtuBytes: number },
    to: { readonly port: number; readonly nowMs: number },
  ): void {
    const { start, limit } = packet;
    const isIpv4 = view.getUint8(start) >>> 4 === 4;
    const may = isIpv4 ? mayAnswer4(view, start, limit) : mayAnswer6(view, start, limit);
    if (!may || !this.#takeSource(view, start, isIpv4, to.port)) return;
    if (!this.#take(to.port, to.nowMs)) {
      this.#options.counters.add(Counter.routerAnswersLimited, 1);
      return;
    }
    this.#isIpv4 = isIpv4;
    this.#packet.start = start;
    this.#packet.limit = limit;
    this.#error.problem = about.problem;
    this.#error.mtuBytes = about.mtuBytes;
    this.port = to.port;
  }

  write(view: DataView, at: number, bytesMax: number): number {
    this.port = NO_PORT;
    this.#packet.bytesMax = bytesMax;
    this.#options.counters.add(Counter.routerAnswers, 1);
    const write = this.#isIpv4 ? writeError4 : writeError6;
    return write(view, at, this.#packet, this.#error);
  }

  /**
   * Whom the answer comes from. Towards our own host it cannot be its own address, which the kernel
   * refuses from outside: there it comes from the address that could not be reached.
   */
  #takeSource(view: DataView, start: number, isIpv4: boolean, port: number): boolean {
    if (port !== TAP_PORT) {
      const own = isIpv4 ? this.#options.own4 : this.#options.own6;
      if (own !== undefined) this.#source.set(own);
      return own !== undefined;
    }
    const at = start + (isIpv4 ? 16 : 24);
    if (isIpv4) this.#source[3] = view.getInt32(at);
    else for (let word = 0; word < 4; word++) this.#source[word] = view.getInt32(at + word * 4);
    return true;
  }

  #take(port: number, nowMs: number): boolean {
    const passedMs = (nowMs - (this.#atMs[port] as number)) | 0;
    // A clock that has wrapped in a quiet month counts as a full bucket.
    const refill = passedMs < 0 ? BURST : passedMs * PER_MS;
    const left = Math.min(BURST, (this.#left[port] as number) + refill);
    this.#atMs[port] = nowMs;
    this.#left[port] = left < 1 ? left : left - 1;
    return left >= 1;
  }
}
