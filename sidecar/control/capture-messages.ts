/**
 * What a capture's reader and the program that captures say to each other over the capture socket:
 * one line of JSON from the reader, then messages from the program, each a length, a kind and its
 * bytes. One invariant: a reader can ask for frames and for nothing else.
 */

/** What a reader asks for: one line of JSON. */
export interface CaptureRequest {
  /** `namespace/name`. */
  readonly tunnel: string;
  /** Frames from and to this peer only; "tap" is this end's own interface. */
  readonly peer?: string;
  /** Frames from and to this MAC address only. */
  readonly station?: string;
  /** Frames to this multicast group, and IGMP and MLD. */
  readonly group?: string;
  /** Bytes of each frame that are kept. */
  readonly snapBytes: number;
}

/** What the program says first, and again when peers come and go. */
export interface CaptureNames {
  /** Why there is no capture; nothing follows. */
  readonly problem?: string;
  /** Names of the peers by switch port. */
  readonly names: readonly { readonly port: number; readonly name: string }[];
}

/** What it says last, and once a second until then. */
export interface CaptureTally {
  /** Frames that the capture missed because the reader was too slow. */
  readonly missed: number;
}

/** Kinds of messages. */
export const CaptureMessage = { names: 1, frame: 2, tally: 3 } as const;

/** Bytes in front of each message: its length, without these, and its kind. */
const MESSAGE_HEADER_BYTES = 8;

/** The longest request, and the longest message: a jumbo frame, or 1,025 names. */
export const REQUEST_BYTES_MAX = 1024;
const MESSAGE_BYTES_MAX: number = 256 * 1024;

/** Port of frames that the switch makes itself. */
export const SWITCH_PORT = -2;

/** Bytes in front of a frame. */
export const FRAME_HEADER_BYTES = 24;

/** Offsets in those bytes, all little-endian. */
const Field = { wallMs: 0, port: 8, targets: 12, target: 16, bytes: 20 } as const;

/** A frame as it was at the switch. */
export interface CapturedFrame {
  /** Milliseconds since 1970, with their fraction. */
  readonly wallMs: number;
  /** The port at which it was seen. */
  readonly port: number;
  /** Ports that it went to; 0: it left by `port`; below: a `ForwardVerdict`, it was dropped. */
  readonly targets: number;
  /** The first of them. */
  readonly target: number;
  /** Its length; `frame` may be shorter. */
  readonly bytes: number;
  readonly frame: Uint8Array;
}

/** Writes the bytes in front of a frame. */
export function writeFrameHeader(view: DataView, about: Omit<CapturedFrame, "frame">): void {
  view.setFloat64(Field.wallMs, about.wallMs, true);
  view.setInt32(Field.port, about.port, true);
  view.setInt32(Field.targets, about.targets, true);
  view.setInt32(Field.target, about.target, true);
  view.setUint32(Field.bytes, about.bytes, true);
}

/** Reads a frame message; undefined for one that is too short. */
export function readFrame(payload: Uint8Array): CapturedFrame | undefined {
  if (payload.length < FRAME_HEADER_BYTES) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return {
    wallMs: view.getFloat64(Field.wallMs, true),
    port: view.getInt32(Field.port, true),
    targets: view.getInt32(Field.targets, true),
    target: view.getInt32(Field.target, true),
    bytes: view.getUint32(Field.bytes, true),
    frame: payload.subarray(FRAME_HEADER_BYTES),
  };
}

/** A message with its header. */
export function captureMessage(kind: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(MESSAGE_HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload.length, true);
  view.setUint32(4, kind, true);
  bytes.set(payload, MESSAGE_HEADER_BYTES);
  return bytes;
}

/** Cuts a stream into messages. */
export class MessageReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The whole messages in what has arrived so far; undefined: this is no such stream. */
  take(
    chunk: Buffer,
  ): readonly { readonly kind: number; readonly payload: Uint8Array }[] | undefined {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: { kind: number; payload: Uint8Array }[] = [];
    let at = 0;
    while (this.#rest.length - at >= MESSAGE_HEADER_BYTES) {
      const length = this.#rest.readUInt32LE(at);
      if (length > MESSAGE_BYTES_MAX) return undefined;
      const limit = at + MESSAGE_HEADER_BYTES + length;
      if (limit > this.#rest.length) break;
      const payload = this.#rest.subarray(at + MESSAGE_HEADER_BYTES, limit);
      messages.push({ kind: this.#rest.readUInt32LE(at + 4), payload });
      at = limit;
    }
    this.#rest = this.#rest.subarray(at);
    return messages;
  }
}
