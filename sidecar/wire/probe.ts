/**
 * Probes: our own message inside authenticated data packets, told from a frame by 16 bytes of
 * magic as OpenVPN's ping is. One invariant: a probe of another version is no probe.
 *
 * Layout, big endian: magic (16), version (1), type (1), path (1), flags (1), sequence (4),
 * time of the dialling end in ms (4), probes received by its sender on this path (4), interval in ms (2),
 * time of the listening end in ms (2), 0 where it is not told. A reply to a probe that asks for them has
 * counts behind that: bytes of data packets that arrived by this path (4) and that left by it (4).
 */

/** First bytes of every probe; random, drawn once for the format. */
const PROBE_MAGIC: Buffer = Buffer.from("9f0c6b1de35a4f27b8d4417c20e96a83", "hex");
/** Bytes of a probe and of a reply. */
export const PROBE_BYTES = 36;
/** The same with counts. */
export const COUNTED_BYTES = 44;
const PROBE_VERSION = 1;

/**
 * What a probe is. The dialling end probes, the listening end replies. On a path that is new to
 * it the listening end sends a challenge, and the dialling end answers with the same sequence. A probe of
 * size and its answer are padded; `sequence` is the datagram's length, `received` the longest found.
 */
export const ProbeType = {
  probe: 1,
  reply: 2,
  challenge: 3,
  answer: 4,
  size: 5,
  sizeAnswer: 6,
} as const;

/**
 * What the dialling end does with a path, told with each probe so that answers go the same way; `counts`:
 * it understands counts, so the reply may have them.
 */
export const ProbeFlag = { active: 1, duplicate: 2, spread: 4, counts: 8 } as const;

const Offset = {
  version: 16,
  type: 17,
  path: 18,
  flags: 19,
  sequence: 20,
  timeMs: 24,
  received: 28,
  intervalMs: 32,
  clockMs: 34,
  arrivedBytes: 36,
  sentBytes: 40,
} as const;

const MAGIC_WORDS: Int32Array = Int32Array.of(
  PROBE_MAGIC.readInt32BE(0),
  PROBE_MAGIC.readInt32BE(4),
  PROBE_MAGIC.readInt32BE(8),
  PROBE_MAGIC.readInt32BE(12),
);

/** Whether `length` bytes at `start` are a probe or a reply that is understood here. */
export function isProbe(view: DataView, start: number, length: number): boolean {
  // HOT PATH
  if (length < PROBE_BYTES || view.getInt32(start) !== MAGIC_WORDS[0]) return false;
  for (let word = 1; word < MAGIC_WORDS.length; word++) {
    if (view.getInt32(start + word * 4) !== MAGIC_WORDS[word]) return false;
  }
  const type = view.getUint8(start + Offset.type);
  const isSized = type === ProbeType.size || type === ProbeType.sizeAnswer;
  const isCounted = length === COUNTED_BYTES && type === ProbeType.reply;
  const isPlain = length === PROBE_BYTES && type >= ProbeType.probe && type <= ProbeType.answer;
  const isKnownType = isPlain || isCounted || (isSized && length > PROBE_BYTES);
  return isKnownType && view.getUint8(start + Offset.version) === PROBE_VERSION;
}

/** The fields of a probe that `isProbe` recognised. */
export interface Probe {
  readonly type: number;
  /** Number of the path at the dialling end. */
  readonly path: number;
  readonly flags: number;
  /** Unsigned 32 bits. */
  readonly sequence: number;
  /** Wrapping milliseconds of the dialling end's clock. */
  readonly timeMs: number;
  /** Probes (in a probe: replies) that its sender received on this path so far, 32 bits. */
  readonly received: number;
  readonly intervalMs: number;
  /** In a reply: the low 16 bits of the listening end's clock, which is any; 0: not told. */
  readonly clockMs: number;
}

/** Reads the fields; `isProbe` has said yes. */
export function readProbe(view: DataView, start: number): Probe {
  return {
    type: view.getUint8(start + Offset.type),
    path: view.getUint8(start + Offset.path),
    flags: view.getUint8(start + Offset.flags),
    sequence: view.getUint32(start + Offset.sequence),
    timeMs: view.getInt32(start + Offset.timeMs),
    received: view.getUint32(start + Offset.received),
    intervalMs: view.getUint16(start + Offset.intervalMs),
    clockMs: view.getUint16(start + Offset.clockMs),
  };
}

/** Writes a probe or a reply, `PROBE_BYTES` long. */
export function writeProbe(view: DataView, start: number, probe: Probe): void {
  for (let word = 0; word < MAGIC_WORDS.length; word++) {
    view.setInt32(start + word * 4, MAGIC_WORDS[word] as number);
  }
  view.setUint8(start + Offset.version, PROBE_VERSION);
  view.setUint8(start + Offset.type, probe.type);
  view.setUint8(start + Offset.path, probe.path);
  view.setUint8(start + Offset.flags, probe.flags);
  view.setUint32(start + Offset.sequence, probe.sequence);
  view.setInt32(start + Offset.timeMs, probe.timeMs);
  view.setUint32(start + Offset.received, probe.received);
  view.setUint16(start + Offset.intervalMs, probe.intervalMs);
  view.setUint16(start + Offset.clockMs, probe.clockMs);
}

/** What went by a path so far, 32 bits each. */
export interface ProbeCounts {
  readonly arrivedBytes: number;
  readonly sentBytes: number;
}

/** The counts of a reply that is `COUNTED_BYTES` long. */
export function readCounts(view: DataView, start: number): ProbeCounts {
  return {
    arrivedBytes: view.getUint32(start + Offset.arrivedBytes),
    sentBytes: view.getUint32(start + Offset.sentBytes),
  };
}

/** Writes counts behind a probe's fields. */
export function writeCounts(view: DataView, start: number, counts: ProbeCounts): void {
  view.setUint32(start + Offset.arrivedBytes, counts.arrivedBytes);
  view.setUint32(start + Offset.sentBytes, counts.sentBytes);
}
