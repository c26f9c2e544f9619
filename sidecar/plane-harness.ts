/**
 * A data plane over real sockets of the loopback, with its peers played by hand: packets are sealed
 * and opened by node:crypto. One invariant: every peer's keys are as `splitKeyMaterial` would
 * cut them, and each harness has key slots of its own.
 */
import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { SharedRing, sharedRingMemory } from "./buffer/shared-ring.ts";
import { decodeNotice, type Notice, NoticeRecord } from "./control/orders.ts";
import { Counters, countersSnapshot, TrafficTable } from "./counters.ts";
import { PORTS_MAX } from "./limits.ts";
import { Harness } from "./native/lane-harness.ts";
import { DESCRIPTOR_WORDS, PathWord } from "./native/layout.ts";
import { handleClose, keyInstall, keyRemove, laneOpen, udpOpen } from "./native/native.ts";
import { PathCounts } from "./path-counts.ts";
import { createPlane, type Plane } from "./plane.ts";
import { receive } from "./receive.ts";
import { ReplayWindow } from "./replay/replay-window.ts";
import { DataSession } from "./session/data-session.ts";
import { PATHS_MAX } from "./session/path-set.ts";
import type { ParitySettings } from "./session/path-settings.ts";
import { Forwarding } from "./switch/forwarding.ts";
import { createOwnStation } from "./switch/own-station.ts";
import { addressWords, pathTo } from "./uplink/address-words.ts";
import { probingOf } from "./uplink-board.ts";

const DATA_V2 = 9;
const TAG_BYTES = 16;
const FIRST_SLOT = 3000;
/** A listening socket, and room for what a test does not want read. */
const BUFFER_BYTES = 1 << 20;
/** Longest that a datagram over the loopback is waited for. */
const WAIT_MS = 2000;

let nextSlot = FIRST_SLOT;
/** Each plane lives a minute after the one before, so that rates start afresh. */
let nextNowMs = 0;

/** One direction's key. */
export interface PacketKey {
  readonly key: Buffer;
  readonly implicitIv: Buffer;
  readonly slot: number;
}

/** A peer as it is at its own end. */
export interface Peer {
  readonly session: DataSession;
  readonly index: number;
  /** What it seals with and what it opens with, by key id 0. */
  readonly toPlane: PacketKey;
  readonly fromPlane: PacketKey;
}

/** How a plane is made. */
export interface PlaneWish {
  readonly isDialling?: boolean;
  readonly isStream?: boolean;
  readonly ringBytes?: number;
  readonly frameBytesMax?: number;
  /** Policy Fec with these blocks. */
  readonly parity?: ParitySettings;
  /** Peers understand plans and parity. */
  readonly hasParity?: boolean;
  readonly dscpFrom?: Plane["dscpFrom"];
  readonly fragmentBytes?: number;
}

/** A plane, its socket, and the far ends of its paths. */
export class PlaneHarness {
  readonly plane: Plane;
  /** Sends what peers send, by hand. */
  readonly far: Harness = new Harness();
  readonly port: number;
  readonly socket: number;
  readonly #handle: number;
  readonly #slots: number[] = [];
  readonly #hasParity: boolean;
  readonly #replay = { packets: 64, seconds: 15 };

  constructor(wish: PlaneWish = {}) {
    const counters = new Counters();
    const ringBytes = wish.ringBytes ?? 65_536;
    const { parity } = wish;
    const probing = probingOf(undefined);
    this.#hasParity = wish.hasParity ?? parity !== undefined;
    this.plane = createPlane(laneOpen, {
      isDialling: wish.isDialling ?? false,
      isStream: wish.isStream ?? false,
      forwarding: new Forwarding({ portsMax: PORTS_MAX, counters }),
      router: undefined,
      stations: undefined,
      counters,
      traffic: new TrafficTable(PORTS_MAX),
      pathCounts: new PathCounts(),
      lastHeard: new Int32Array(PORTS_MAX),
      toMain: new SharedRing(sharedRingMemory(ringBytes)),
      strangers: new SharedRing(sharedRingMemory(ringBytes)),
      replay: this.#replay,
      mss: undefined,
      probing: parity === undefined ? probing : { ...probing, policy: "Fec", parity },
      dscpFrom: wish.dscpFrom ?? "nothing",
      own: createOwnStation(1),
      address4: undefined,
      frameBytesMax: wish.frameBytesMax ?? 1518,
      fragmentBytes: wish.fragmentBytes,
      mssFixBytes: 0,
      uplinkCount: parity === undefined ? 0 : 1,
    });
    nextNowMs += 60_000;
    this.plane.nowMs = nextNowMs;
    this.plane.switching.openPort(0);
    const opened = udpOpen({
      address: "127.0.0.1",
      port: 0,
      family: 4,
      receiveBufferBytes: BUFFER_BYTES,
      sendBufferBytes: BUFFER_BYTES,
    });
    assert.equal(opened.errno, 0, opened.operation);
    this.#handle = opened.handle;
    this.port = opened.port;
    this.socket = this.plane.lane.attachSocket(opened.handle);
    assert(this.socket >= 0);
  }

  /** Opens a far end; `index` names it in the far lane. */
  farSocket(address = "127.0.0.1"): { readonly index: number; readonly port: number } {
    return this.far.open({ address });
  }

  /** A session whose peer is at this far end, with key 0 for both directions. */
  peer(index: number, at: { readonly port: number }): Peer {
    const session = new DataSession({
      index,
      peerId: index,
      pingIntervalMs: 0,
      timeoutMs: 0,
      hasProbes: this.#hasParity,
      hasParity: this.#hasParity,
      nowMs: this.plane.nowMs,
    });
    session.paths.open(0, 0, this.plane.nowMs);
    const path = pathTo({ address: "127.0.0.1", port: at.port });
    path.set(addressWords("127.0.0.1"), PathWord.localIp);
    path[PathWord.socket] = this.socket;
    this.plane.paths.set(path, index * PATHS_MAX * DESCRIPTOR_WORDS);
    this.plane.sessions.put(session, this.plane.isDialling ? index : -1);
    this.plane.switching.openPort(index);
    const toPlane = this.#key();
    const fromPlane = this.#key();
    const open = { slot: toPlane.slot, generation: 1 };
    const seal = { slot: fromPlane.slot, generation: 1 };
    session.installKey(0, { open, seal, window: new ReplayWindow(this.#replay) });
    session.sendWith(0);
    return { session, index, toPlane, fromPlane };
  }

  /** Sends a datagram from a far end to the plane. */
  sendFrom(at: { readonly index: number }, datagram: Uint8Array): void {
    this.far.setPath(0, { remote: "127.0.0.1", port: this.port, socket: at.index });
    this.far.place(this.far.orders, 0, datagram);
    assert.equal(this.far.lane.send(1), 1);
  }

  /** Lets the plane take in what was sent to it; how many datagrams there were. */
  turn(): number {
    assert.notEqual(this.plane.lane.wait(WAIT_MS), 0, "nothing arrived");
    return receive(this.plane, this.socket);
  }

  /** What the counters gained in `action`, zeros left out. */
  gained(action: () => void): Record<string, number> {
    const before = countersSnapshot([this.plane.counters]);
    action();
    const after = countersSnapshot([this.plane.counters]);
    const gains = Object.entries(after).map(
      ([name, value]) => [name, value - (before[name] ?? 0)] as const,
    );
    return Object.fromEntries(gains.filter(([, gain]) => gain !== 0));
  }

  /** Sends datagrams from one far end and takes them in; what the counters gained. */
  deliver(at: { readonly index: number }, ...datagrams: Uint8Array[]): Record<string, number> {
    return this.gained(() => {
      for (const datagram of datagrams) this.sendFrom(at, datagram);
      for (let count = 0; count < datagrams.length; ) count += Math.max(0, this.turn());
    });
  }

  /** Notices to the main thread since the last call. */
  notices(): Notice[] {
    const notices: Notice[] = [];
    for (let record = this.plane.toMain.take(); record; record = this.plane.toMain.take()) {
      if (record.kind === NoticeRecord.json) notices.push(decodeNotice(record.payload));
    }
    return notices;
  }

  /** Datagrams that arrive at a far end. */
  farReceive(at: { readonly index: number }, count: number): Buffer[] {
    const got: Buffer[] = [];
    while (got.length < count) {
      const rows = Math.min(count - got.length, 128);
      this.far.receive(at.index, rows);
      for (let row = 0; row < rows; row++) {
        got.push(Buffer.from(this.far.bytes(this.far.received, row)));
      }
    }
    return got;
  }

  pathRow(index: number): Int32Array {
    const first = index * PATHS_MAX * DESCRIPTOR_WORDS;
    return this.plane.paths.slice(first, first + DESCRIPTOR_WORDS);
  }

  close(): void {
    for (const slot of this.#slots) keyRemove(slot);
    this.plane.lane.detachSocket(this.socket);
    handleClose(this.#handle);
  }

  #key(): PacketKey {
    const slot = nextSlot;
    nextSlot += 1;
    this.#slots.push(slot);
    const key = { key: randomBytes(32), implicitIv: randomBytes(8), slot };
    const wish = { ...key, generation: 1, cipher: "AES-256-GCM", format: "short" } as const;
    assert.equal(keyInstall(wish), 0);
    return key;
  }
}

/** A data packet, by node:crypto. */
export function sealPacket(
  peer: Pick<Peer, "toPlane" | "index">,
  id: number,
  text: Uint8Array,
  keyId = 0,
): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(((DATA_V2 << 27) | (keyId << 24) | peer.index) >>> 0, 0);
  header.writeUInt32BE(id, 4);
  const { key, implicitIv } = peer.toPlane;
  const nonce = Buffer.concat([header.subarray(4), implicitIv]);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(header);
  const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
  return Buffer.concat([header, cipher.getAuthTag(), sealed]);
}

/** What the plane sent to a peer; throws when it is not authentic. */
export function openPacket(peer: Peer, packet: Buffer): { id: number; text: Buffer } {
  const header = packet.subarray(0, 8);
  assert.equal(header.readUInt32BE(0), ((DATA_V2 << 27) | peer.index) >>> 0);
  const { key, implicitIv } = peer.fromPlane;
  const nonce = Buffer.concat([header.subarray(4), implicitIv]);
  const decipher = createDecipheriv("aes-256-gcm", key, nonce).setAAD(header);
  decipher.setAuthTag(packet.subarray(8, 8 + TAG_BYTES));
  const text = Buffer.concat([decipher.update(packet.subarray(8 + TAG_BYTES)), decipher.final()]);
  return { id: header.readUInt32BE(4), text };
}

/** An Ethernet frame to everybody. */
export function broadcastFrame(mark: number, payloadBytes = 46): Buffer {
  const frame = Buffer.alloc(14 + payloadBytes, mark);
  frame.fill(0xff, 0, 6);
  Buffer.from([2, 0, 0, 0, 0, mark]).copy(frame, 6);
  frame.writeUInt16BE(0x88b5, 12);
  return frame;
}
