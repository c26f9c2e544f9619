/**
 * A stand-in for the addon's lane: the same rows and verdicts, sockets and a tap that are queues, and
 * in place of the cipher a keyed checksum over the open text. It secures nothing and is for
 * simulations only. One invariant: what was not sealed with the key, byte for byte, does not open.
 */
import type { KeyTable } from "../../sidecar/cipher/key-slots.ts";
import { DESCRIPTOR_WORDS, PathWord, Ready, Verdict, Word } from "../../sidecar/native/layout.ts";
import type { KeyWish, Lane, LaneMemory, LaneOpen } from "../../sidecar/native/native.ts";
import type { Datagram, Place, Sealed } from "./network.ts";

const EOPNOTSUPP = 95;
const EAGAIN = -11;
const EBADF = 9;
const ENOKEY = 126;
const SHORT_HEADER = 8;
const EPOCH_HEADER = 12;
const TAG_BYTES = 16;
const SOCKETS_MAX = 8;

/** A datagram as the lane hands it to the kernel. */
export interface Leaving {
  readonly bytes: Uint8Array;
  /** Address 0: the kernel chooses. */
  readonly source: Place;
  readonly target: Place;
  readonly sealed: Sealed | undefined;
  /** Row of the path table. */
  readonly path: number;
}

/** The machine that a lane runs on. */
export interface LaneHost {
  /** Words of an address in front of its last one. */
  readonly network: readonly [number, number, number];
  /** 0 or errno. */
  send(handle: number, leaving: Leaving): number;
  received(handle: number): Datagram | undefined;
  hasReceived(handle: number): boolean;
  interfaceOf(handle: number): number;
  frameRead(): Uint8Array | undefined;
  frameWritten(bytes: Uint8Array): void;
  hasFrames(): boolean;
  readonly keys: StandInKeys;
}

interface Key {
  readonly generation: number;
  readonly isEpoch: boolean;
  /** Tells one key from another. */
  readonly name: number;
}

/** The addon's key table. */
export class StandInKeys implements KeyTable {
  readonly #keys = new Map<number, Key>();

  readonly keyInstall = (wish: KeyWish): number => {
    const name = checksum(wish.implicitIv, 0, wish.implicitIv.length, checksum(wish.key, 0, 32, 1));
    this.#keys.set(wish.slot, {
      generation: wish.generation,
      isEpoch: wish.format === "epoch",
      name,
    });
    return 0;
  };

  readonly keyRemove = (slot: number): number => (this.#keys.delete(slot) ? 0 : 2);

  find(slot: number, generation: number): Key | undefined {
    const key = this.#keys.get(slot);
    return key?.generation === generation ? key : undefined;
  }

  get count(): number {
    return this.#keys.size;
  }
}

/** Makes the opener that a data plane asks for. */
export function standInLane(host: LaneHost, made: (lane: StandInLane) => void): LaneOpen {
  return (memory) => {
    const lane = new StandInLane(host, memory);
    made(lane);
    return lane;
  };
}

/** The lane. */
export class StandInLane implements Lane {
  readonly #host: LaneHost;
  readonly #memory: LaneMemory;
  readonly #view: DataView;
  readonly #sockets: number[] = new Array<number>(SOCKETS_MAX).fill(0);

  constructor(host: LaneHost, memory: LaneMemory) {
    this.#host = host;
    this.#memory = memory;
    this.#view = new DataView(memory.slab.buffer);
  }

  readonly attachControl = (): number => 0;
  readonly attachWatch = (): number => 0;
  readonly attachTap = (): number => 0;
  readonly detachTap = (): number => 0;
  readonly streamKeep = (): number => 0;
  readonly streamClose = (): number => 0;
  readonly streamSweep = (): number => 0;
  readonly dontFragment = (): number => EOPNOTSUPP;

  attachSocket(handle: number): number {
    const index = this.#sockets.indexOf(0);
    if (index >= 0) this.#sockets[index] = handle;
    return index;
  }

  detachSocket(index: number): number {
    this.#sockets[index] = 0;
    return 0;
  }

  get attachedCount(): number {
    return this.#sockets.filter((handle) => handle !== 0).length;
  }

  /** What is ready; nothing waits in virtual time. */
  wait(): number {
    let ready = this.#host.hasFrames() ? 1 << Ready.tapShift : 0;
    this.#sockets.forEach((handle, index) => {
      if (handle !== 0 && this.#host.hasReceived(handle)) ready |= 1 << (index + Ready.socketShift);
    });
    return ready;
  }

  /** Nobody says anything by ICMP. */
  udpErrors(): number {
    return 0;
  }

  udpReceive(socket: number, first: number, count: number): number {
    const { slab, received, arrivals } = this.#memory;
    const handle = this.#sockets[socket] ?? 0;
    let taken = 0;
    for (; taken < count; taken++) {
      const datagram = this.#host.received(handle);
      if (datagram === undefined) break;
      const row = (first + taken) * DESCRIPTOR_WORDS;
      const room = received[row + Word.length] as number;
      const { bytes, source, target } = datagram;
      slab.set(bytes.subarray(0, room), received[row + Word.start]);
      received[row + Word.length] = Math.min(bytes.length, room);
      if (bytes.length > room) received[row + Word.verdict] = Verdict.malformed;
      arrivals.fill(0, row, row + DESCRIPTOR_WORDS);
      arrivals.set([...this.#host.network, source.address], row + PathWord.remoteIp);
      arrivals[row + PathWord.remotePort] = source.port;
      arrivals.set([...this.#host.network, target.address], row + PathWord.localIp);
      arrivals[row + PathWord.interfaceIndex] = this.#host.interfaceOf(handle);
      arrivals[row + PathWord.socket] = socket;
    }
    return taken === 0 ? EAGAIN : taken;
  }

  openBatch(first: number, count: number): number {
    const { received } = this.#memory;
    let opened = 0;
    for (let index = first; index < first + count; index++) {
      const row = index * DESCRIPTOR_WORDS;
      if (received[row + Word.verdict] !== Verdict.open) continue;
      received[row + Word.verdict] = this.#open(row);
      if (received[row + Word.verdict] === Verdict.opened) opened += 1;
    }
    return opened;
  }

  send(count: number): number {
    let sent = 0;
    for (let order = 0; order < count; order++) {
      const row = order * DESCRIPTOR_WORDS;
      const errno = this.#sendRow(row);
      this.#memory.orders[row + Word.verdict] = errno === 0 ? Verdict.done : -errno;
      if (errno === 0) sent += 1;
    }
    return sent;
  }

  tapRead(_tap: number, first: number, count: number): number {
    const { slab, frames } = this.#memory;
    let taken = 0;
    for (; taken < count; taken++) {
      const frame = this.#host.frameRead();
      if (frame === undefined) break;
      const row = (first + taken) * DESCRIPTOR_WORDS;
      slab.set(frame, frames[row + Word.start]);
      frames[row + Word.length] = frame.length;
    }
    return taken === 0 ? EAGAIN : taken;
  }

  tapWrite(count: number): number {
    const { slab, writes } = this.#memory;
    for (let index = 0; index < count; index++) {
      const row = index * DESCRIPTOR_WORDS;
      const start = writes[row + Word.start] as number;
      this.#host.frameWritten(slab.slice(start, start + (writes[row + Word.length] as number)));
      writes[row + Word.verdict] = Verdict.done;
    }
    return count;
  }

  #open(row: number): number {
    const { slab, received } = this.#memory;
    const slot = received[row + Word.key] as number;
    const key = this.#host.keys.find(slot, received[row + Word.generation] as number);
    if (key === undefined) return Verdict.keyStale;
    const start = received[row + Word.start] as number;
    const length = received[row + Word.length] as number;
    const headerBytes = key.isEpoch ? EPOCH_HEADER : SHORT_HEADER;
    const textBytes = length - headerBytes - TAG_BYTES;
    if (textBytes < 0) return Verdict.malformed;
    const textStart = start + headerBytes + (key.isEpoch ? 0 : TAG_BYTES);
    const tagStart = key.isEpoch ? textStart + textBytes : start + headerBytes;
    const seed = checksum(slab, start, start + headerBytes, key.name);
    const tag = checksum(slab, textStart, textStart + textBytes, seed);
    for (let word = 0; word < 4; word++) {
      const isSame = this.#view.getInt32(tagStart + word * 4) === Math.imul(tag, 2 * word + 1);
      if (!isSame) return Verdict.authenticationFailed;
    }
    received[row + Word.start] = textStart;
    received[row + Word.length] = textBytes;
    return Verdict.opened;
  }

  #sendRow(row: number): number {
    const { slab, orders, paths } = this.#memory;
    const path = orders[row + Word.path] as number;
    const at = path * DESCRIPTOR_WORDS;
    const handle = this.#sockets[paths[at + PathWord.socket] as number] ?? 0;
    if (handle === 0) return EBADF;
    const start = orders[row + Word.start] as number;
    const text = slab.subarray(start, start + (orders[row + Word.length] as number));
    const source = { address: paths[at + PathWord.localIp + 3] as number, port: 0 };
    const target = {
      address: paths[at + PathWord.remoteIp + 3] as number,
      port: paths[at + PathWord.remotePort] as number,
    };
    const way = { source, target, path };
    if ((orders[row + Word.key] as number) < 0) {
      return this.#host.send(handle, { ...way, bytes: Uint8Array.from(text), sealed: undefined });
    }
    const slot = orders[row + Word.key] as number;
    const key = this.#host.keys.find(slot, orders[row + Word.generation] as number);
    if (key === undefined) return ENOKEY;
    const idHigh = orders[row + Word.idHigh] as number;
    const idLow = orders[row + Word.idLow] as number;
    const opcode = orders[row + Word.opcode] as number;
    const bytes = seal(key, { opcode, idHigh, idLow }, text);
    const copy = orders[row + Word.copy] as number;
    if (copy !== 0) slab.set(bytes, copy);
    const sealed = { key: key.name, idHigh, idLow, frame: frameNumber(text) };
    return this.#host.send(handle, { ...way, bytes, sealed });
  }
}

interface Header {
  readonly opcode: number;
  readonly idHigh: number;
  readonly idLow: number;
}

function seal(key: Key, header: Header, text: Uint8Array): Uint8Array {
  const headerBytes = key.isEpoch ? EPOCH_HEADER : SHORT_HEADER;
  const bytes = new Uint8Array(headerBytes + TAG_BYTES + text.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, header.opcode);
  if (key.isEpoch) view.setInt32(4, header.idHigh);
  view.setInt32(headerBytes - 4, header.idLow);
  const textStart = headerBytes + (key.isEpoch ? 0 : TAG_BYTES);
  bytes.set(text, textStart);
  const tagStart = key.isEpoch ? textStart + text.length : headerBytes;
  const seed = checksum(bytes, 0, headerBytes, key.name);
  const tag = checksum(bytes, textStart, textStart + text.length, seed);
  for (let word = 0; word < 4; word++) {
    view.setInt32(tagStart + word * 4, Math.imul(tag, 2 * word + 1));
  }
  return bytes;
}

/** First bytes of a simulation's own frames, behind their headers, and then their number. */
export const FRAME_MARK = 0x5e1f_4a3c;
const ETHERNET_BYTES = 14;
/** Of those that are TCP segments. */
export const TCP_HEADERS_BYTES: number = ETHERNET_BYTES + 20 + 20;
const IPV4 = 0x0800;

/** The number of one of our frames; -1 for any other text. */
export function frameNumber(text: Uint8Array): number {
  const view = new DataView(text.buffer, text.byteOffset, text.length);
  const isTcp = text.length >= ETHERNET_BYTES && view.getUint16(ETHERNET_BYTES - 2) === IPV4;
  const at = isTcp ? TCP_HEADERS_BYTES : ETHERNET_BYTES;
  if (text.length < at + 8) return -1;
  return view.getInt32(at) === FRAME_MARK ? view.getInt32(at + 4) : -1;
}

/** A checksum of bytes (FNV-1a and a finish); every byte and the seed count. */
function checksum(bytes: Uint8Array, start: number, limit: number, seed: number): number {
  let value = Math.imul(seed ^ 0x811c_9dc5, 0x0100_0193) ^ (limit - start);
  for (let at = start; at < limit; at++) {
    value = Math.imul(value ^ (bytes[at] as number), 0x0100_0193);
  }
  value = Math.imul(value ^ (value >>> 15), 0x2c1b_3c6d);
  return value ^ (value >>> 13);
}
