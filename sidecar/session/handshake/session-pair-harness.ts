/**
 * A dialling and a listening end over Node's TLS and a network in virtual time: loss, doubling,
 * delay, all from one seed. One invariant: time moves only when no TLS engine has work left.
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import type { SecurityConfig } from "../../control/tunnel-config.ts";
import { ClientRole, type ClientSettings } from "./client-role.ts";
import { ControlSession, type ControlVerdict } from "./control-session.ts";
import { createControlWrap } from "./control-wrap.ts";
import { DATA_CIPHERS } from "./data-ciphers.ts";
import type { DataKeys } from "./data-keys.ts";
import { FIRST_PACKET_ID_AFTER_GREETING, Greeter } from "./greeter.ts";
import { nodeTlsEngines } from "./node-tls-engine.ts";
import { Proto } from "./peer-info.ts";
import { pushedTo } from "./push-options.ts";
import { ServerRole, type ServerSettings } from "./server-role.ts";
import type { Agreement, EndCause, SessionEvents } from "./session-outcome.ts";
import type { TlsEngineFactory } from "./tls-engine.ts";
import { singleWrap } from "./wrap-finder.ts";

/** Turns of the event loop without anything new after which TLS is taken to be at rest. */
const QUIET_TURNS = 4;
const START_SECONDS = 1_700_000_000;
const ADDRESS = Buffer.alloc(20, 7);

/** How a pair is made. */
export interface PairOptions {
  readonly client: SecurityConfig;
  readonly server: SecurityConfig;
  readonly clientSettings?: Partial<ClientSettings>;
  readonly serverSettings?: Partial<ServerSettings>;
  /** Put between the client and its TLS. */
  readonly alterClientTls?: (factory: TlsEngineFactory) => TlsEngineFactory;
  /** Share of datagrams lost, 0 to 1. */
  readonly loss?: number;
  readonly seed?: number;
}

/** What one end told its program, in order. */
export class EndLog implements SessionEvents {
  readonly events: string[] = [];
  readonly keys: Map<number, DataKeys> = new Map();
  agreement: Agreement | undefined;
  cause: EndCause | undefined;
  reason = "";
  readonly #onSendWith: (keyId: number) => void;

  constructor(onSendWith: (keyId: number) => void) {
    this.#onSendWith = onSendWith;
  }

  readonly installKeys = (keyId: number, keys: DataKeys): void => {
    this.keys.set(keyId, keys);
    this.events.push(`install ${keyId}`);
  };
  readonly installEpochs = (keyId: number): void => {
    this.events.push(`epochs ${keyId}`);
  };
  readonly sendWith = (keyId: number): void => {
    assert(this.keys.has(keyId), "keys are installed before they are sent with");
    this.#onSendWith(keyId);
    this.events.push(`send ${keyId}`);
  };
  readonly retireKey = (keyId: number): void => {
    this.events.push(`retire ${keyId}`);
  };
  readonly established = (agreement: Agreement): void => {
    this.agreement = agreement;
    this.events.push("established");
  };
  readonly updated = (agreement: Agreement): void => {
    this.agreement = agreement;
    this.events.push("updated");
  };
  readonly renegotiated = (): void => {
    this.events.push("renegotiated");
  };
  readonly notice = (message: string): void => {
    this.events.push(`notice ${message}`);
  };
  readonly ended = (cause: EndCause, message: string): void => {
    this.cause ??= cause;
    if (this.reason === "") this.reason = message;
  };

  /** Times that it began to send with a key, key 0 included. */
  get switches(): number {
    return this.events.filter((event) => event.startsWith("send ")).length;
  }
}

interface Flight {
  readonly arrivalMs: number;
  readonly isToServer: boolean;
  readonly datagram: Buffer;
}

const open = new Set<SessionPair>();

/** Closes what a failed test left: half-open TLS keeps a process alive. Call it after each test. */
export function closePairs(): void {
  for (const pair of open) pair.close();
}

/** A client, a greeter, and the server's session once the greeter made one. */
export class SessionPair {
  readonly clientLog: EndLog;
  readonly serverLog: EndLog;
  readonly client: ControlSession;
  server: ControlSession | undefined;
  /** Every verdict that was not "accepted", and what the greeter dropped. */
  readonly refused: string[] = [];
  nowMs = 1000;
  loss: number;
  /** Every datagram that was sent, for fuzzing and replays. */
  readonly sent: { readonly isToServer: boolean; readonly datagram: Buffer }[] = [];
  readonly #options: PairOptions;
  readonly #greeter: Greeter;
  readonly #flights: Flight[] = [];
  #seed: number;
  #activity = 0;

  constructor(options: PairOptions) {
    this.#options = options;
    this.loss = options.loss ?? 0;
    this.#seed = options.seed ?? 1;
    this.clientLog = new EndLog((keyId) => this.#checkOtherHas(this.serverLog, keyId));
    this.serverLog = new EndLog((keyId) => {
      // With its first key a server may speak before its PUSH_REPLY was read.
      if (keyId !== 0) this.#checkOtherHas(this.clientLog, keyId);
    });
    this.#greeter = new Greeter(Buffer.alloc(32, 3), singleWrap(this.#wrapOf("server")));
    this.client = this.#session("client", { sessionId: Buffer.from("c11e47c11e47c11e", "hex") });
    const settings = {
      version: "test",
      ciphers: DATA_CIPHERS,
      mtu: "Auto" as const,
      mtuBytesDefault: 1500,
      isIpv6: false,
      ...options.clientSettings,
    };
    open.add(this);
    this.client.start(new ClientRole(this.client, settings, this.clientLog), this.nowMs);
  }

  get isUp(): boolean {
    return this.clientLog.switches > 0 && this.serverLog.switches > 0;
  }

  get hasEnded(): boolean {
    return this.clientLog.cause !== undefined;
  }

  /** Runs until `until` holds; false when it does not within `limitMs`. */
  async run(until: () => boolean, limitMs = 120_000): Promise<boolean> {
    const deadlineMs = this.nowMs + limitMs;
    for (;;) {
      await this.#rest();
      if (until()) return true;
      const dueMs = Math.min(
        this.client.nextDueMs,
        this.server?.nextDueMs ?? Infinity,
        ...this.#flights.map((flight) => flight.arrivalMs),
      );
      if (dueMs > deadlineMs) {
        this.nowMs = deadlineMs;
        return false;
      }
      this.nowMs = Math.max(this.nowMs, dueMs);
      this.#arrive();
    }
  }

  /** Lets so much time pass. */
  async pass(spanMs: number): Promise<void> {
    await this.run(() => false, spanMs);
  }

  /** Loses what is under way. */
  drop(): void {
    this.#flights.length = 0;
  }

  /** Hands a datagram to one end as if the network had; its verdict. */
  inject(isToServer: boolean, datagram: Buffer): ControlVerdict | "greeted" {
    if (!isToServer) return this.client.receive(datagram, this.nowMs);
    if (this.server !== undefined) return this.server.receive(datagram, this.nowMs);
    this.#greet(datagram);
    return "greeted";
  }

  close(): void {
    this.client.close();
    this.server?.close();
    this.#flights.length = 0;
    open.delete(this);
  }

  #checkOtherHas(other: EndLog, keyId: number): void {
    const at = other.events.lastIndexOf(`install ${keyId}`);
    const gone = other.events.lastIndexOf(`retire ${keyId}`);
    assert(at >= 0 && at > gone, `the other end has no key ${keyId} yet`);
  }

  #wrapOf(end: "client" | "server") {
    const { wrap } = this.#options[end];
    assert(wrap.kind !== "TlsCryptV2Server", "one wrapping for all");
    return createControlWrap(wrap, end);
  }

  #session(
    end: "client" | "server",
    ids: { readonly sessionId: Buffer; readonly remoteSessionId?: Buffer },
  ): ControlSession {
    const createTls = nodeTlsEngines(this.#options[end], Date.now);
    const alter = this.#options.alterClientTls;
    const isToServer = end === "client";
    return new ControlSession({
      ...ids,
      wrap: this.#wrapOf(end),
      startSeconds: this.#wallSeconds(),
      firstPacketId: isToServer ? 1 : FIRST_PACKET_ID_AFTER_GREETING,
      host: {
        createTls: isToServer && alter !== undefined ? alter(createTls) : createTls,
        send: (datagram) => this.#send(isToServer, datagram),
        wake: () => {
          this.#activity += 1;
        },
      },
    });
  }

  #wallSeconds(): number {
    return START_SECONDS + Math.floor(this.nowMs / 1000);
  }

  /** Steps both ends until neither TLS nor session has anything to do now. */
  async #rest(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      const before = this.#activity;
      this.client.step(this.nowMs);
      this.server?.step(this.nowMs);
      await setImmediate();
      if (this.#activity !== before) quiet = -1;
    }
    // A program closes what has ended; a server lingers so that its reason is heard.
    if (this.clientLog.cause !== undefined) this.client.close();
  }

  #send(isToServer: boolean, datagram: Buffer): void {
    this.#activity += 1;
    this.sent.push({ isToServer, datagram });
    const copies = this.#random() < this.loss ? 0 : this.#random() < this.loss / 2 ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delayMs = 5 + Math.floor(this.#random() * (this.loss > 0 ? 200 : 5));
      this.#flights.push({ arrivalMs: this.nowMs + delayMs, isToServer, datagram });
    }
  }

  #arrive(): void {
    const due = this.#flights.filter((flight) => flight.arrivalMs <= this.nowMs);
    for (const flight of due) {
      this.#flights.splice(this.#flights.indexOf(flight), 1);
      const verdict = this.inject(flight.isToServer, flight.datagram);
      if (verdict !== "accepted" && verdict !== "greeted") this.refused.push(verdict);
    }
  }

  #greet(datagram: Buffer): void {
    const greeting = this.#greeter.greet(datagram, ADDRESS, this.#wallSeconds());
    if (greeting.kind === "drop") this.refused.push(greeting.reason);
    if (greeting.kind === "reply") this.#send(false, greeting.datagram);
    if (greeting.kind !== "accept") return;
    const { sessionId, remoteSessionId } = greeting;
    const server = this.#session("server", { sessionId, remoteSessionId });
    this.server = server;
    const role = new ServerRole(server, this.#serverSettings(), this.serverLog);
    server.start(role, this.nowMs);
    server.receive(datagram, this.nowMs);
  }

  #serverSettings(): ServerSettings {
    return {
      ciphers: DATA_CIPHERS,
      mtuBytes: 1500,
      isIpv6: false,
      peerId: 5,
      refusalOf: (name) => (name === "box" ? undefined : `no peer is named ${name}`),
      pushFor: (_name, { cipher, peerInfo, hasDynamicWrap }) =>
        pushedTo({
          peerId: 5,
          cipher,
          hasKeyExport: (peerInfo.proto & Proto.tlsKeyExport) !== 0,
          hasProtocolFlags: (peerInfo.proto & Proto.exitNotify) !== 0,
          hasProbes: false,
          hasDynamicWrap,
          mtuBytes: 1500,
          pingSeconds: 10,
          pingRestartSeconds: 60,
        }),
      ...this.#options.serverSettings,
    };
  }

  /** The next number of the seed's sequence (mulberry32). */
  #random(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** Rewrites the client's announcements on their way into TLS, to the same length. */
export function rewriting(
  from: string,
  to: string,
): (factory: TlsEngineFactory) => TlsEngineFactory {
  assert.equal(from.length, to.length);
  return (factory) => (role, handlers) => {
    const engine = factory(role, handlers);
    const write = (bytes: Buffer): void => {
      const text = bytes.toString("latin1").replace(from, to);
      engine.write(Buffer.from(text, "latin1"));
    };
    return {
      receive: (bytes) => engine.receive(bytes),
      write,
      exportKeyingMaterial: (bytes, label) => engine.exportKeyingMaterial(bytes, label),
      destroy: () => engine.destroy(),
    };
  };
}
