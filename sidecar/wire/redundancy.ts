/**
 * What two ends of ours tell each other about redundancy, inside authenticated data packets and told
 * from a frame by 16 bytes of magic as a probe is: parity over sealed packets, and the plan by which
 * the dialling end wants both ends to use the paths. One invariant: what `readParity` says yes to
 * names between 1 and 64 packets, in growing order, and a shard that lies inside the message.
 *
 * Parity, big endian: magic (16), version (1), type (1), packets in this block (1), packets in a full
 * one (1), index of this parity (1), parity of a full block (1), key id (1), spare (1), id of the
 * first packet (8), steps from each id to the next (1 each), then the shard. A packet's own shard
 * is its length (2) and its sealed bytes; behind the shorter ones of a block zeros are thought.
 *
 * Plan: magic (16), version (1), type (1), policy (1), copies (1), packets and parity of a block (1, 1),
 * milliseconds until a short block is closed (2), flags (1), spare (1), milliseconds for
 * reordering (2), classes by DSCP (8), weight of this path (2), its loss towards us in permille (2), what
 * it carries towards us at least in kbit/s (4), which an older end does not send.
 */

/** Packets and parity of one block at most: the addon's limits (`native/layout.ts`), which tests compare. */
export const PARITY_DATA_MAX = 64;
export const PARITY_MAX = 32;

/** First bytes of every message; random, drawn once for the format. */
const MAGIC: Buffer = Buffer.from("c41d70a8e95b4cf2a3061fd98e27b534", "hex");
const VERSION = 1;
/** Bytes in front of the steps of a parity message. */
export const PARITY_HEADER_BYTES = 32;
/** Bytes of a plan, and of one by an older end. */
export const PLAN_BYTES = 44;
const PLAN_BYTES_MIN = 40;
/** Bytes of a shard in front of its packet: the packet's length. */
export const SHARD_LENGTH_BYTES = 2;
/** More than a parity message has around its shard. */
export const PARITY_AROUND_BYTES: number = PARITY_HEADER_BYTES + PARITY_DATA_MAX;
/** The largest step from one id to the next. */
export const PARITY_STEP_MAX = 255;
const KEY_IDS = 8;

/** What a message is. */
export const RedundancyType = { parity: 1, plan: 2 } as const;

const Offset = {
  version: 16,
  type: 17,
  // Of parity.
  dataCount: 18,
  dataMax: 19,
  index: 20,
  parityMax: 21,
  keyId: 22,
  firstHigh: 24,
  firstLow: 28,
  // Of a plan.
  policy: 18,
  copies: 19,
  planData: 20,
  planParity: 21,
  delayMs: 22,
  flags: 24,
  reorderMs: 26,
  classesHigh: 28,
  classesLow: 32,
  weight: 36,
  lossPermille: 38,
  capacityKbit: 40,
} as const;

const MAGIC_WORDS: Int32Array = Int32Array.of(
  MAGIC.readInt32BE(0),
  MAGIC.readInt32BE(4),
  MAGIC.readInt32BE(8),
  MAGIC.readInt32BE(12),
);

/** The type of the message in `length` bytes at `start`; 0: none that is understood here. */
export function redundancyType(view: DataView, start: number, length: number): number {
  // HOT PATH
  if (length < PARITY_HEADER_BYTES || view.getInt32(start) !== MAGIC_WORDS[0]) return 0;
  for (let word = 1; word < MAGIC_WORDS.length; word++) {
    if (view.getInt32(start + word * 4) !== MAGIC_WORDS[word]) return 0;
  }
  return view.getUint8(start + Offset.version) === VERSION ? view.getUint8(start + Offset.type) : 0;
}

/** A parity message's fields; one object is read into again and again. */
export class ParityFields {
  /** Packets that this block covers. */
  dataCount = 0;
  /** Packets and parity of a full block: the code's shape. */
  dataMax = 0;
  parityMax = 0;
  index = 0;
  keyId = 0;
  /** Packet id of the first packet, as words. */
  firstHigh = 0;
  firstLow = 0;
  /** How far behind the first id each packet's is; the first is 0. */
  readonly offsets: Int32Array = new Int32Array(PARITY_DATA_MAX);
  /** Where the shard is, and its bytes. */
  shardStart = 0;
  shardBytes = 0;
}

/** Reads a message of type parity; false when its numbers contradict each other. */
export function readParity(
  view: DataView,
  start: number,
  length: number,
  into: ParityFields,
): boolean {
  into.dataCount = view.getUint8(start + Offset.dataCount);
  into.dataMax = view.getUint8(start + Offset.dataMax);
  into.parityMax = view.getUint8(start + Offset.parityMax);
  into.index = view.getUint8(start + Offset.index);
  into.keyId = view.getUint8(start + Offset.keyId);
  into.firstHigh = view.getInt32(start + Offset.firstHigh);
  into.firstLow = view.getInt32(start + Offset.firstLow);
  if (into.dataMax > PARITY_DATA_MAX || into.parityMax > PARITY_MAX) return false;
  if (into.dataCount === 0 || into.dataCount > into.dataMax) return false;
  if (into.index >= into.parityMax || into.keyId >= KEY_IDS) return false;
  const steps = into.dataCount - 1;
  into.shardStart = start + PARITY_HEADER_BYTES + steps;
  into.shardBytes = length - PARITY_HEADER_BYTES - steps;
  if (into.shardBytes <= SHARD_LENGTH_BYTES) return false;
  into.offsets[0] = 0;
  for (let at = 0; at < steps; at++) {
    const step = view.getUint8(start + PARITY_HEADER_BYTES + at);
    if (step === 0) return false;
    into.offsets[at + 1] = (into.offsets[at] as number) + step;
  }
  return true;
}

/** Writes all of a parity message but its shard; where the shard goes. */
export function writeParity(view: DataView, start: number, from: ParityFields): number {
  writeHead(view, start, RedundancyType.parity);
  view.setUint8(start + Offset.dataCount, from.dataCount);
  view.setUint8(start + Offset.dataMax, from.dataMax);
  view.setUint8(start + Offset.index, from.index);
  view.setUint8(start + Offset.parityMax, from.parityMax);
  view.setUint8(start + Offset.keyId, from.keyId);
  view.setUint8(start + Offset.keyId + 1, 0);
  view.setInt32(start + Offset.firstHigh, from.firstHigh);
  view.setInt32(start + Offset.firstLow, from.firstLow);
  const steps = from.dataCount - 1;
  for (let at = 0; at < steps; at++) {
    const step = (from.offsets[at + 1] as number) - (from.offsets[at] as number);
    view.setUint8(start + PARITY_HEADER_BYTES + at, step);
  }
  return start + PARITY_HEADER_BYTES + steps;
}

/** How the paths are used, as numbers of the wire. */
export const PlanPolicy = { failover: 0, duplicate: 1, fec: 2, balance: 3 } as const;

/** Flags of a plan: parity follows the measured loss; the path was seen full, it carries no more. */
const ADAPTIVE = 1;
const FULL = 2;
/** A path's loss that nobody has measured yet. */
export const LOSS_UNKNOWN = 0xffff;

/** What the dialling end wants both ends to do, and what it knows of the path that tells it. */
export interface Plan {
  readonly policy: number;
  readonly copies: number;
  readonly dataPackets: number;
  readonly parityPackets: number;
  readonly maxDelayMs: number;
  readonly isAdaptive: boolean;
  /** 0: packets are handed on as they come. */
  readonly reorderMs: number;
  /** Bit n: DSCP n is copied. Everything: both words all ones. */
  readonly classesHigh: number;
  readonly classesLow: number;
  readonly weight: number;
  /** LOSS_UNKNOWN, or packets of a thousand that are lost on the way to the dialling end. */
  readonly lossPermille: number;
  /** 0: unknown. */
  readonly capacityKbit: number;
  readonly isFull: boolean;
}

/** Reads a message of type plan; undefined when a number is out of its range. */
export function readPlan(view: DataView, start: number, length: number): Plan | undefined {
  if (length < PLAN_BYTES_MIN) return undefined;
  const plan: Plan = {
    policy: view.getUint8(start + Offset.policy),
    copies: view.getUint8(start + Offset.copies),
    dataPackets: view.getUint8(start + Offset.planData),
    parityPackets: view.getUint8(start + Offset.planParity),
    maxDelayMs: view.getUint16(start + Offset.delayMs),
    isAdaptive: (view.getUint8(start + Offset.flags) & ADAPTIVE) !== 0,
    reorderMs: view.getUint16(start + Offset.reorderMs),
    classesHigh: view.getInt32(start + Offset.classesHigh),
    classesLow: view.getInt32(start + Offset.classesLow),
    weight: view.getUint16(start + Offset.weight),
    lossPermille: view.getUint16(start + Offset.lossPermille),
    capacityKbit: length < PLAN_BYTES ? 0 : view.getUint32(start + Offset.capacityKbit),
    isFull: (view.getUint8(start + Offset.flags) & FULL) !== 0,
  };
  const isGood =
    plan.policy <= PlanPolicy.balance &&
    plan.copies > 0 &&
    isWithin(plan.dataPackets, PARITY_DATA_MAX) &&
    isWithin(plan.parityPackets, PARITY_MAX) &&
    plan.maxDelayMs > 0 &&
    plan.weight > 0;
  return isGood ? plan : undefined;
}

/** Writes a plan, `PLAN_BYTES` long. */
export function writePlan(view: DataView, start: number, plan: Plan): void {
  writeHead(view, start, RedundancyType.plan);
  view.setUint8(start + Offset.policy, plan.policy);
  view.setUint8(start + Offset.copies, plan.copies);
  view.setUint8(start + Offset.planData, plan.dataPackets);
  view.setUint8(start + Offset.planParity, plan.parityPackets);
  view.setUint16(start + Offset.delayMs, plan.maxDelayMs);
  const flags = (plan.isAdaptive ? ADAPTIVE : 0) | (plan.isFull ? FULL : 0);
  view.setUint8(start + Offset.flags, flags);
  view.setUint8(start + Offset.flags + 1, 0);
  view.setUint16(start + Offset.reorderMs, plan.reorderMs);
  view.setInt32(start + Offset.classesHigh, plan.classesHigh);
  view.setInt32(start + Offset.classesLow, plan.classesLow);
  view.setUint16(start + Offset.weight, plan.weight);
  view.setUint16(start + Offset.lossPermille, plan.lossPermille);
  view.setUint32(start + Offset.capacityKbit, plan.capacityKbit);
}

function writeHead(view: DataView, start: number, type: number): void {
  for (let word = 0; word < MAGIC_WORDS.length; word++) {
    view.setInt32(start + word * 4, MAGIC_WORDS[word] as number);
  }
  view.setUint8(start + Offset.version, VERSION);
  view.setUint8(start + Offset.type, type);
}

function isWithin(value: number, max: number): boolean {
  return value >= 1 && value <= max;
}
