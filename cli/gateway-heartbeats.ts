/**
 * Heartbeats between the replicas of one gateway: who forwards, and since which take-over, and which
 * standby could forward at once. They are what a standby goes by, long before a Lease runs out, and
 * what the one that forwards hands over by. Invariants: only a datagram with our key's
 * digest counts, and none twice; a standby never calls silent whom it has not heard; without any
 * heartbeat (a policy in between, a port that is taken) the Lease alone decides, only later.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import type { Clock } from "../operator/clock.ts";

/** Where another replica listens. */
export interface ReplicaAddress {
  readonly host: string;
  readonly port: number;
}

/** What the heartbeats are made with. */
export interface HeartbeatOptions {
  readonly clock: Clock;
  readonly port: number;
  readonly replicas: readonly ReplicaAddress[];
  readonly identity: string;
  /** The key that all replicas have; undefined while it is not known. */
  readonly key: () => string | undefined;
  /** Number of our take-over while we forward. */
  readonly transition: () => number | undefined;
  /** The one that forwards has not been heard for `SILENT_MS`. */
  readonly silent: () => void;
  /** Another one forwards, since a later take-over than ours. */
  readonly overtaken: () => void;
  /** What our pod was made from, once we could forward at once; undefined before. */
  readonly standingBy: () => string | undefined;
  /** We forward, and another one that was made from this could do so at once. */
  readonly ready: (template: string) => void;
  readonly troubled: (error: unknown) => void;
}

/** What one datagram says. */
export interface Beat {
  readonly identity: string;
  /** Rises with each datagram of a sender, also over its restarts. */
  readonly sequence: number;
  /** Of one that forwards, its take-over; of a standby what its pod was made from. */
  readonly news: { readonly transition: number } | { readonly template: string };
}

const BEAT_MS = 300;
/** Five heartbeats: a standby takes the Lease by then. */
const SILENT_MS = 1_500;
const FORWARDS = "fairlead-beat-1";
const STANDS_BY = "fairlead-standby-1";
const DIGEST_BYTES = 32;
const DATAGRAM_BYTES_MAX = 512;

/** One replica's heartbeats. */
export class Heartbeats {
  readonly #options: HeartbeatOptions;
  readonly #seen = new Map<string, number>();
  #socket: Socket | undefined;
  #heardMs: number | undefined;
  #sequence: number;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#sequence = options.clock.wallMs() * 1000;
  }

  /** Whether the one that forwards was heard, and is not any more. */
  get isActiveSilent(): boolean {
    const heardMs = this.#heardMs;
    return heardMs !== undefined && this.#options.clock.nowMs() - heardMs >= SILENT_MS;
  }

  /** Sends and listens until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, silent, standingBy, transition, troubled } = this.#options;
    if (!(await this.#open())) return;
    let wasSilent = false;
    while (!signal.aborted) {
      const own = transition();
      const template = own === undefined ? standingBy() : undefined;
      if (own !== undefined) this.#send({ transition: own });
      else if (template !== undefined) this.#send({ template });
      const isSilent = own === undefined && this.isActiveSilent;
      if (isSilent && !wasSilent) silent();
      wasSilent = isSilent;
      await clock.sleep(BEAT_MS, signal);
    }
    try {
      this.#socket?.close();
    } catch (error) {
      troubled(error);
    }
  }

  async #open(): Promise<boolean> {
    const { port, troubled } = this.#options;
    const socket = createSocket({ type: "udp4", recvBufferSize: 65_536 });
    const { promise, resolve } = Promise.withResolvers<boolean>();
    socket.on("error", (error) => {
      troubled(error);
      resolve(false);
    });
    socket.on("message", (datagram) => this.#take(datagram));
    socket.bind(port, () => resolve(true));
    this.#socket = socket;
    return await promise;
  }

  #send(news: Beat["news"]): void {
    const { identity, key, replicas } = this.#options;
    const secret = key();
    if (secret === undefined) return;
    this.#sequence = Math.max(this.#sequence + 1, this.#options.clock.wallMs() * 1000);
    const datagram = printBeat({ identity, news, sequence: this.#sequence }, secret);
    for (const { host, port } of replicas) {
      // A replica that is not there yet has no name either: the next beat tries again.
      this.#socket?.send(datagram, port, host, () => undefined);
    }
  }

  #take(datagram: Buffer): void {
    const { clock, identity, key, overtaken, ready, transition } = this.#options;
    const secret = key();
    const beat = secret === undefined ? undefined : parseBeat(datagram, secret);
    if (beat === undefined || beat.identity === identity) return;
    if (beat.sequence <= (this.#seen.get(beat.identity) ?? 0)) return;
    this.#seen.set(beat.identity, beat.sequence);
    const own = transition();
    const { news } = beat;
    if ("template" in news) {
      if (own !== undefined) ready(news.template);
      return;
    }
    this.#heardMs = clock.nowMs();
    if (own !== undefined && news.transition > own) overtaken();
  }
}

/** A datagram: the text of a beat and its digest. */
export function printBeat(beat: Beat, key: string): Buffer {
  const { identity, news, sequence } = beat;
  const words =
    "template" in news
      ? [STANDS_BY, sequence, news.template, identity]
      : [FORWARDS, sequence, news.transition, identity];
  const text = Buffer.from(words.join(" "), "utf8");
  return Buffer.concat([digestOf(text, key), text]);
}

/** The beat of a datagram; undefined for anything that is none of ours. */
export function parseBeat(datagram: Buffer, key: string): Beat | undefined {
  if (datagram.length <= DIGEST_BYTES || datagram.length > DATAGRAM_BYTES_MAX) return undefined;
  const text = datagram.subarray(DIGEST_BYTES);
  if (!timingSafeEqual(datagram.subarray(0, DIGEST_BYTES), digestOf(text, key))) return undefined;
  const [magic, digits, word = "", identity = ""] = text.toString("utf8").split(" ");
  if (identity === "") return undefined;
  const sequence = Number(digits);
  if (magic === FORWARDS) return { identity, sequence, news: { transition: Number(word) } };
  return magic === STANDS_BY ? { identity, sequence, news: { template: word } } : undefined;
}

function digestOf(text: Buffer, key: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
