/**
 * One seed's run: a dialling and a listening end, their network, and what must hold at every step.
 * Invariant: nothing here reads a clock or a random source; the same seed runs the same way.
 */
import assert from "node:assert/strict";
import type { ControlWrapConfig } from "../../sidecar/control/tunnel-config.ts";
import { ClientRole } from "../../sidecar/session/handshake/client-role.ts";
import { ControlSession } from "../../sidecar/session/handshake/control-session.ts";
import {
  type ControlWrap,
  createControlWrap,
} from "../../sidecar/session/handshake/control-wrap.ts";
import type { DataKeys } from "../../sidecar/session/handshake/data-keys.ts";
import {
  FIRST_PACKET_ID_AFTER_GREETING,
  Greeter,
} from "../../sidecar/session/handshake/greeter.ts";
import { pushedTo } from "../../sidecar/session/handshake/push-options.ts";
import { ServerRole } from "../../sidecar/session/handshake/server-role.ts";
import type { SessionEvents } from "../../sidecar/session/handshake/session-outcome.ts";
import { singleWrap } from "../../sidecar/session/handshake/wrap-finder.ts";
import { standInTls } from "../support/stand-in-tls.ts";

/** What a run came to. */
export interface SimulationOutcome {
  readonly renewals: number;
  readonly lost: number;
}

const LOSS_MAX = 0.3;
const DOUBLED = 0.05;
const DELAY_MS_MAX = 120;
const DATA_EVERY_MS = 250;
/** Virtual length of a run; each renewal is started at a seeded time of the first part. */
const RUN_MS = 240_000;
const RENEWALS_UNTIL_MS = 150_000;
const RENEWALS_MAX = 4;
const START_SECONDS = 1_700_000_000;
const ADDRESS = Buffer.alloc(20, 1);

type End = "client" | "server";

interface Timed {
  readonly atMs: number;
  readonly order: number;
  readonly task: () => void;
}

/** What one end knows of its data keys. */
interface Keys {
  readonly installed: Map<number, string>;
  sending: number;
}

/** The run. */
export class SessionSimulation {
  readonly #tasks: Timed[] = [];
  readonly #deferred: (() => void)[] = [];
  readonly #ends: Partial<Record<End, ControlSession>> = {};
  readonly #keys: Record<End, Keys> = {
    client: { installed: new Map(), sending: -1 },
    server: { installed: new Map(), sending: -1 },
  };
  readonly #wraps: Record<End, ControlWrap>;
  readonly #greeter: Greeter;
  readonly #loss: number;
  #seed: number;
  #nowMs = 0;
  #order = 0;
  #renewals = 0;
  #lost = 0;
  #delivered = 0;

  constructor(seed: number) {
    this.#seed = seed;
    const key = Buffer.alloc(256, 1 + (seed % 200));
    const config: ControlWrapConfig =
      this.#random() < 0.5 ? { kind: "TlsCrypt", key } : { kind: "None" };
    this.#wraps = {
      client: createControlWrap(config, "client"),
      server: createControlWrap(config, "server"),
    };
    this.#greeter = new Greeter(Buffer.alloc(32, 5), singleWrap(this.#wraps.server));
    this.#loss = this.#random() * LOSS_MAX;
  }

  run(): SimulationOutcome {
    this.#startClient();
    for (let count = Math.ceil(this.#random() * RENEWALS_MAX); count > 0; count--) {
      this.#planRenewal(5000 + this.#random() * RENEWALS_UNTIL_MS);
    }
    for (let atMs = DATA_EVERY_MS; atMs < RUN_MS; atMs += DATA_EVERY_MS) {
      this.#at(atMs, () => this.#exchangeData());
    }
    while (this.#tasks.length > 0 && this.#nowMs <= RUN_MS) this.#turn();
    this.#checkEnd();
    return { renewals: this.#renewals, lost: this.#lost };
  }

  #turn(): void {
    const next = this.#tasks.reduce((least, task) => {
      const isEarlier =
        task.atMs < least.atMs || (task.atMs === least.atMs && task.order < least.order);
      return isEarlier ? task : least;
    });
    this.#tasks.splice(this.#tasks.indexOf(next), 1);
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    next.task();
    this.#settle();
  }

  /** Empties the engines' queue and lets both ends do what is due. */
  #settle(): void {
    for (let rounds = 0; rounds < 1000; rounds++) {
      while (this.#deferred.length > 0) this.#deferred.shift()?.();
      for (const end of ["client", "server"] as const) this.#ends[end]?.step(this.#nowMs);
      if (this.#deferred.length === 0) break;
    }
    const dueMs = Math.min(
      this.#ends.client?.nextDueMs ?? Infinity,
      this.#ends.server?.nextDueMs ?? Infinity,
    );
    if (dueMs === Infinity) return;
    const isPlanned = this.#tasks.some(({ atMs }) => atMs <= Math.max(dueMs, this.#nowMs + 1));
    if (!isPlanned) this.#at(Math.max(dueMs, this.#nowMs + 1), () => undefined);
  }

  #startClient(): void {
    const session = this.#session("client", {
      sessionId: this.#bytes(8),
      firstPacketId: 1,
    });
    const settings = {
      version: "0",
      ciphers: ["AES-256-GCM"],
      mtu: "Auto",
      mtuBytesDefault: 1500,
      isIpv6: false,
    } as const;
    this.#ends.client = session;
    session.start(new ClientRole(session, settings, this.#events("client")), this.#nowMs);
    this.#settle();
  }

  #accept(sessionId: Buffer, remoteSessionId: Buffer): ControlSession {
    const firstPacketId = FIRST_PACKET_ID_AFTER_GREETING;
    const session = this.#session("server", { sessionId, remoteSessionId, firstPacketId });
    const role = new ServerRole(
      session,
      {
        ciphers: ["AES-256-GCM"],
        mtuBytes: 1500,
        isIpv6: false,
        peerId: 1,
        refusalOf: (name) => (name === "box" ? undefined : "unknown"),
        pushFor: (_name, { cipher, hasDynamicWrap }) =>
          pushedTo({
            peerId: 1,
            cipher,
            hasKeyExport: true,
            hasProtocolFlags: true,
            hasProbes: false,
            hasDynamicWrap,
            pingSeconds: 1,
            pingRestartSeconds: 5,
          }),
      },
      this.#events("server"),
    );
    this.#ends.server = session;
    session.start(role, this.#nowMs);
    return session;
  }

  #session(
    end: End,
    ids: {
      readonly sessionId: Buffer;
      readonly remoteSessionId?: Buffer;
      readonly firstPacketId: number;
    },
  ): ControlSession {
    return new ControlSession({
      ...ids,
      wrap: this.#wraps[end],
      startSeconds: this.#wallSeconds(),
      host: {
        createTls: standInTls({
          random: () => this.#random(),
          defer: (task) => this.#deferred.push(task),
          names: { client: "box", server: "gateway" },
        }),
        send: (datagram) => this.#transmit(end, datagram),
        wake: () => undefined,
      },
    });
  }

  #events(end: End): SessionEvents {
    const keys = this.#keys[end];
    return {
      installKeys: (keyId, material) => keys.installed.set(keyId, nameOf(material)),
      installEpochs: () => assert.fail("epochs were not offered"),
      sendWith: (keyId) => {
        assert(keys.installed.has(keyId), `${end} sends with key ${keyId} that it has`);
        keys.sending = keyId;
      },
      retireKey: (keyId) => {
        assert.notEqual(keyId, keys.sending, `${end} retires the key that it sends with`);
        keys.installed.delete(keyId);
      },
      established: () => undefined,
      updated: () => undefined,
      renegotiated: () => {
        this.#renewals += 1;
      },
      notice: () => undefined,
      ended: (cause, message) => assert.fail(`${end}: ${cause}: ${message}`),
    };
  }

  #transmit(from: End, datagram: Buffer): void {
    const copies = this.#random() < DOUBLED ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#random() < this.#loss) {
        this.#lost += 1;
        continue;
      }
      const delayMs = 1 + this.#random() * DELAY_MS_MAX;
      this.#at(this.#nowMs + delayMs, () => this.#arrive(from, datagram));
    }
  }

  #arrive(from: End, datagram: Buffer): void {
    if (from === "server") {
      this.#ends.client?.receive(Buffer.from(datagram), this.#nowMs);
      return;
    }
    if (this.#ends.server === undefined) {
      const seconds = this.#wallSeconds();
      const greeting = this.#greeter.greet(Buffer.from(datagram), ADDRESS, seconds);
      if (greeting.kind === "reply") this.#transmit("server", greeting.datagram);
      if (greeting.kind !== "accept") return;
      this.#accept(greeting.sessionId, greeting.remoteSessionId);
    }
    this.#ends.server?.receive(Buffer.from(datagram), this.#nowMs);
  }

  /** A data packet each way: when it arrives, the other end must have the key it was sealed with. */
  #exchangeData(): void {
    for (const [from, to] of [
      ["client", "server"],
      ["server", "client"],
    ] as const) {
      const keyId = this.#keys[from].sending;
      const name = this.#keys[from].installed.get(keyId);
      // Until PUSH_REPLY is there the client cannot have any key: that is the start, not a change.
      if (name === undefined || this.#keys.client.sending < 0) continue;
      this.#at(this.#nowMs + 1 + this.#random() * DELAY_MS_MAX, () => {
        assert.equal(this.#keys[to].installed.get(keyId), name, `${to} has ${from}'s key ${keyId}`);
        this.#delivered += 1;
      });
    }
  }

  #planRenewal(atMs: number): void {
    const starter = this.#random();
    this.#at(atMs, () => {
      if (starter < 0.6) this.#ends.client?.renegotiate(this.#nowMs);
      if (starter > 0.4) this.#ends.server?.renegotiate(this.#nowMs);
    });
  }

  #checkEnd(): void {
    const { client, server } = this.#keys;
    assert(this.#delivered > 0, "the session came up");
    assert.equal(client.sending, server.sending, "both ends send with the same key in the end");
    const names = [client, server].map((keys) => keys.installed.get(keys.sending));
    assert.equal(names[0], names[1], "and it is the same key");
  }

  #wallSeconds(): number {
    return START_SECONDS + Math.floor(this.#nowMs / 1000);
  }

  #at(atMs: number, task: () => void): void {
    this.#tasks.push({ atMs, order: this.#order, task });
    this.#order += 1;
  }

  #bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.#random() * 256));
  }

  /** The next number of the seed's sequence (mulberry32). */
  #random(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let value = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** The same for both ends of one key: what one sends with, the other receives with. */
function nameOf(keys: DataKeys): string {
  return [keys.send.key, keys.receive.key]
    .map((key) => key.toString("hex"))
    .sort()
    .join(" ");
}
