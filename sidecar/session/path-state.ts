/**
 * One path of a session: what is known of it and what was measured on it. No I/O, no clock. One
 * invariant: a figure that nobody has measured yet is absent, never 0.
 */

import { PathCapacity } from "./path-capacity.ts";
import { PathMtu } from "./path-mtu.ts";
import type { ProbeSettings } from "./path-settings.ts";
import { RttSamples } from "./rtt-samples.ts";

/** Paths that died within this time of each other died together. */
const TOGETHER_MS = 250;
/** A reply is overdue after so many intervals. */
const DOUBT_INTERVALS = 1.5;

/** A path that lost too much is taken back once it loses no more than this share of the limit. */
const LOSS_BACK_SHARE = 0.75;
/** A path that dies sooner than this after it came up flaps. */
const FLAP_MS = 60_000;
/** Each flap doubles the replies in a row that bring it back, this often at most: 32 times as many. */
const FLAPS_MAX = 5;

/** Of so many probes it is known what was sent before them: more are never under way. */
const PROBES_KEPT = 64;

/** No packet comes behind so many later ones. */
const REORDER_MAX = 131_072;

/** One path, as status shows it. */
export interface PathView {
  readonly path: number;
  readonly isUsable: boolean;
  readonly isAlive: boolean;
  readonly isActive: boolean;
  /** Smoothed, milliseconds; undefined before the first reply. */
  readonly rttMs?: number;
  /** What half of the last probes' round trips did not exceed, and 99 of 100. */
  readonly rttMsP50?: number;
  readonly rttMsP99?: number;
  /** Of probes (out) and replies (back) over the last window; undefined before there are any. */
  readonly lossOutPercent?: number;
  readonly lossBackPercent?: number;
  /** The longest UDP payload that was shown to cross both ways. */
  readonly mtuBytes?: number;
  /** It carried at least so much: what leaves by it here, and what comes back. */
  readonly capacityOutMbit?: number;
  readonly capacityBackMbit?: number;
  /** It was full then: it hardly carries more. */
  readonly isFullOut?: true;
  readonly isFullBack?: true;
  /** How much later than by the fastest path what is sent at one time arrives here. */
  readonly skewMs?: number;
  /** Packets that came by it behind later ones that came by it. */
  readonly reorderedPackets: number;
  /** It loses more than it may: used only when no other works. */
  readonly isLossy?: true;
  /** Deaths soon after it came up: each doubles the replies that bring it back. */
  readonly flaps?: number;
}

/** What the reply to a probe says. */
export interface ProbeReply {
  readonly rttMs: number;
  /** Probes that the other end has received. */
  readonly receivedThere: number;
  readonly nowMs: number;
}

/** How long, how much and how many a path takes. */
export type PathMeasures = Pick<
  PathState,
  | "mtu"
  | "rttMs"
  | "out"
  | "back"
  | "lossOutPercent"
  | "lossBackPercent"
  | "sentAtLook"
  | "noteSent"
  | "sentBefore"
  | "isDoubted"
>;

/** What becomes of a path for want of replies; a doubtful one is asked again and again. */
export type ReplyCheck = "fine" | "doubtful" | "dead";

/** One path. */
export class PathState {
  isKnown = false;
  isUsable = false;
  isAlive = false;
  /** The dialling end says that it sends here (listening end). */
  isWanted = false;
  /** Its uplink is no longer declared: used only while nothing else works. */
  isLeaving = false;
  priority = 0;
  weight = 1;
  heardMs = 0;
  /** When the last reply to a probe came: only that shows that both directions work. */
  repliedMs = 0;
  /** Somebody says that it does not work: it is asked until a reply comes. */
  isDoubted = false;
  /** What the peer has to answer before packets go there; 0: nothing is asked. */
  challenge = 0;
  challengedMs = 0;
  repliesInRow = 0;
  sequence = 0;
  /** Probes (listening) or replies (dialling) received. */
  received = 0;
  rttMs = -1;
  readonly #samples: RttSamples = new RttSamples();
  /** Counts at the start of the loss window: probes sent, heard there, replies got here. */
  #windowSent = 0;
  #windowThere = 0;
  #windowHere = 0;
  lossOutPercent = -1;
  lossBackPercent = -1;
  readonly mtu: PathMtu = new PathMtu();
  /** What leaves by it here, and what comes back. */
  readonly out: PathCapacity = new PathCapacity();
  readonly back: PathCapacity = new PathCapacity();
  /** Bytes that had been asked to leave by it when its load was looked at. */
  sentAtLook = 0;
  readonly #sentBefore: Uint32Array = new Uint32Array(PROBES_KEPT);
  /** Smoothed, from any moment that is the same for all paths. */
  delayMs: number | undefined;
  #reordered = 0;
  #newestKey = -1;
  #newestId = 0;
  isLossy = false;
  /** Since when it is alive, and how often it died soon after that. */
  #upMs = 0;
  #flaps = 0;
  #hasFallen = false;
  /** It was shown to work at some time. */
  hasLived = false;
  /** It died when all others did: the peer was away, and nothing is held against the path. */
  #isExcused = false;
  #fellMs = 0;
  #flapsBefore = 0;

  /** A reply came back: its round trip, and the loss over the last window once that is full. */
  measure(reply: ProbeReply, settings: ProbeSettings): void {
    const { lossWindow, maxLossPercent, intervalMs, downAfter } = settings;
    // A lost one is no gap, as it is none for a path that lives.
    const isGap = ((reply.nowMs - this.repliedMs) | 0) >= intervalMs * downAfter;
    if (isGap) this.repliesInRow = 0;
    this.repliedMs = reply.nowMs;
    this.isDoubted = false;
    this.received = (this.received + 1) >>> 0;
    this.rttMs = this.rttMs < 0 ? reply.rttMs : this.rttMs + (reply.rttMs - this.rttMs) / 8;
    this.#samples.add(reply.rttMs);
    const sent = (this.sequence - this.#windowSent) >>> 0;
    if (sent < lossWindow) return;
    const there = (reply.receivedThere - this.#windowThere) >>> 0;
    const here = (this.received - this.#windowHere) >>> 0;
    this.lossOutPercent = percentLost(sent, there);
    this.lossBackPercent = percentLost(there, here);
    this.#windowSent = this.sequence;
    this.#windowThere = reply.receivedThere;
    this.#windowHere = this.received;
    const lost = Math.max(this.lossOutPercent, this.lossBackPercent);
    this.isLossy = lost > maxLossPercent * (this.isLossy ? LOSS_BACK_SHARE : 1);
  }

  /** Whether it has answered often enough in a row to be trusted again. */
  isSteady({ upAfter }: ProbeSettings): boolean {
    // The very first reply shows that a new path works; a path that died has to be steady.
    const isNew = this.received === 1 || this.#isExcused;
    return isNew || this.repliesInRow >= upAfter * 2 ** this.#flaps;
  }

  rise(): void {
    this.isAlive = true;
    this.hasLived = true;
    this.#isExcused = false;
    this.#upMs = this.heardMs;
  }

  /** The probe that leaves next has the present sequence. */
  noteSent(bytes: number): void {
    this.#sentBefore[this.sequence % PROBES_KEPT] = bytes;
  }

  /** Bytes that had been sent before a probe; undefined when that is forgotten. */
  sentBefore(sequence: number): number | undefined {
    const isKept = (this.sequence - sequence) >>> 0 < PROBES_KEPT;
    return isKept ? this.#sentBefore[sequence % PROBES_KEPT] : undefined;
  }

  /** It died; whoever lived long is forgiven a flap for each minute. */
  fall(nowMs: number = this.heardMs): void {
    this.#fellMs = nowMs;
    this.#flapsBefore = this.#flaps;
    if (this.isAlive) {
      const aliveMs = Math.max(0, (this.heardMs - this.#upMs) | 0);
      const isFlap = this.#hasFallen && aliveMs < FLAP_MS;
      const flaps = this.#flaps - Math.floor(aliveMs / FLAP_MS) + (isFlap ? 1 : 0);
      this.#flaps = Math.max(0, Math.min(FLAPS_MAX, flaps));
      this.#hasFallen = true;
    }
    this.isAlive = false;
    this.repliesInRow = 0;
    this.out.forget();
    this.back.forget();
  }

  /** All paths are dead now: if it died just before, its next reply is enough, and that was no flap. */
  excuse(nowMs: number): void {
    if (!this.hasLived || this.isAlive || ((nowMs - this.#fellMs) | 0) > TOGETHER_MS) return;
    this.#isExcused = true;
    this.#flaps = this.#flapsBefore;
  }

  /** For so long nobody here looked: that is not this path's silence. */
  forgive(missedMs: number, nowMs: number): void {
    const silentMs = Math.max(0, ((nowMs - this.repliedMs) | 0) - missedMs);
    this.repliedMs = (nowMs - silentMs) | 0;
  }

  /**
   * Whether replies are overdue, whatever else arrives: a peer goes on sending by a path on which it
   * hears nothing.
   */
  checkReplies({ intervalMs, downAfter }: ProbeSettings, nowMs: number): ReplyCheck {
    const doubtMs = intervalMs * DOUBT_INTERVALS;
    // Further away than that, the answer to a question of this moment would come too late to count.
    const farMs = Math.max(0, this.rttMs - doubtMs);
    const silentMs = (nowMs - this.repliedMs) | 0;
    if (silentMs >= intervalMs * downAfter + farMs) return "dead";
    return this.isDoubted || silentMs >= doubtMs ? "doubtful" : "fine";
  }

  delayed(delayMs: number): void {
    this.delayMs =
      this.delayMs === undefined ? delayMs : this.delayMs + (delayMs - this.delayMs) / 8;
  }

  arrived(keyId: number, id: number): void {
    // HOT PATH
    const ahead = (id - this.#newestId) | 0;
    // Ids begin anew with each key and epoch.
    if (keyId !== this.#newestKey || ahead > 0 || ahead < -REORDER_MAX) {
      this.#newestKey = keyId;
      this.#newestId = id;
    } else if (ahead < 0) this.#reordered += 1;
  }

  view(path: number, isActive: boolean, leastDelayMs: number): PathView {
    const { delayMs, out, back } = this;
    const rtt = this.#samples.percentiles();
    return {
      path,
      isUsable: this.isUsable,
      isAlive: this.isAlive,
      isActive,
      ...(this.rttMs < 0 ? {} : { rttMs: Math.round(this.rttMs * 10) / 10 }),
      ...(rtt === undefined ? {} : { rttMsP50: rtt.p50, rttMsP99: rtt.p99 }),
      ...(this.lossOutPercent < 0
        ? {}
        : { lossOutPercent: this.lossOutPercent, lossBackPercent: this.lossBackPercent }),
      ...(this.mtu.bytes === 0 ? {} : { mtuBytes: this.mtu.bytes }),
      ...(out.bytesPerSecond === 0 ? {} : { capacityOutMbit: megabits(out) }),
      ...(back.bytesPerSecond === 0 ? {} : { capacityBackMbit: megabits(back) }),
      ...(out.isFull ? { isFullOut: true } : {}),
      ...(back.isFull ? { isFullBack: true } : {}),
      ...(delayMs === undefined ? {} : { skewMs: Math.round((delayMs - leastDelayMs) * 10) / 10 }),
      reorderedPackets: this.#reordered,
      ...(this.isLossy ? { isLossy: true } : {}),
      ...(this.#flaps === 0 ? {} : { flaps: this.#flaps }),
    };
  }
}

/** Two digits that count: more would change with every look. */
function megabits({ bytesPerSecond }: PathCapacity): number {
  return Number(((bytesPerSecond * 8) / 1e6).toPrecision(2));
}

function percentLost(sent: number, received: number): number {
  if (sent === 0) return 0;
  return Math.max(0, Math.round((1 - received / sent) * 1000) / 10);
}
