/**
 * How much the sending key of a session has been used, and when it is to be changed: by packet ids,
 * by the AEAD's own limit (q + s <= 2^36 - 1 for AES-GCM, of which 2.7 takes 7/8; openvpn-interop),
 * and by what the user set, as OpenVPN's reneg-bytes and reneg-pkts. One invariant: only the data
 * path's thread writes a row; any thread may read it.
 */

/** Limits that the user set, of both directions together; Infinity for none. */
export interface KeyLimits {
  readonly packets: number;
  readonly bytes: number;
}

/** A sending key and its use, as status shows it. */
export interface KeyUse {
  readonly keyId: number;
  /** Absent without epochs. */
  readonly epoch?: number;
  /** Under this key id, both directions. */
  readonly packets: number;
  readonly bytes: number;
  /** Packets that looked like this key's and did not verify. */
  readonly failed: number;
  /** Of the nearest limit. */
  readonly usedPercent: number;
}

/** Doubles in a row. */
const USAGE_WORDS = 8;
/** What `takeId` gives when the sending key's ids are used up. */
export const NO_ID = 0;
/** Nothing but the cipher limits a key. */
const NO_LIMITS: KeyLimits = { packets: Infinity, bytes: Infinity };

const Use = {
  nextId: 0,
  sealedBlocks: 1,
  openedBlocks: 2,
  failed: 3,
  packets: 4,
  bytes: 5,
  keyId: 6,
  epoch: 7,
} as const;

/** A new key is asked for here: 2^28 ids before the end, minutes at any rate. */
const ID_SOON_EXHAUSTED = 0xf000_0000;
/** 7/8 of the AES-GCM limit of 2^36 blocks and packets: 2.7's own margin. */
const BLOCKS_MAX = 2 ** 36 * (7 / 8);
/** Half of the forgeries that an AEAD key may be tried with. */
const FAILED_MAX = 2 ** 35;
/** Epoch counters have 48 bits. */
const COUNTER_LIMIT = 2 ** 48;

/** The use of one session's sending key. */
export class KeyUsage {
  readonly #row: Float64Array;
  readonly #limits: KeyLimits;

  constructor(row: Float64Array = new Float64Array(USAGE_WORDS), limits: KeyLimits = NO_LIMITS) {
    this.#row = row;
    this.#limits = limits;
    row.fill(0);
  }

  /** Another key id is sent with from now on. */
  begin(keyId: number, epoch: number, firstId: number): void {
    this.#row.fill(0);
    this.#row[Use.nextId] = firstId;
    this.#row[Use.keyId] = keyId;
    this.#row[Use.epoch] = epoch;
  }

  /** The same key id in its next epoch: the cipher's limit begins anew, the user's does not. */
  beginEpoch(epoch: number): void {
    this.#row[Use.nextId] = 1;
    this.#row[Use.sealedBlocks] = 0;
    this.#row[Use.epoch] = epoch;
  }

  /** The next packet id for a frame of so many bytes, or NO_ID. */
  takeId(bytes: number): number {
    // HOT PATH
    const row = this.#row;
    const id = row[Use.nextId] as number;
    if (id > 0xffff_ffff && (row[Use.epoch] === 0 || id >= COUNTER_LIMIT)) return NO_ID;
    row[Use.nextId] = id + 1;
    row[Use.sealedBlocks] = (row[Use.sealedBlocks] as number) + ((bytes + 15) >>> 4) + 1;
    row[Use.packets] = (row[Use.packets] as number) + 1;
    row[Use.bytes] = (row[Use.bytes] as number) + bytes;
    return id;
  }

  /** An authentic packet of so many bytes arrived under this key id. */
  opened(keyId: number, bytes: number): void {
    // HOT PATH
    const row = this.#row;
    if (row[Use.keyId] !== keyId) return;
    row[Use.openedBlocks] = (row[Use.openedBlocks] as number) + ((bytes + 15) >>> 4) + 1;
    row[Use.packets] = (row[Use.packets] as number) + 1;
    row[Use.bytes] = (row[Use.bytes] as number) + bytes;
  }

  /** A packet under this key id did not verify. */
  failed(keyId: number): void {
    if (this.#row[Use.keyId] === keyId)
      this.#row[Use.failed] = (this.#row[Use.failed] as number) + 1;
  }

  /** The epoch is at the cipher's limit. */
  get isEpochUsed(): boolean {
    // HOT PATH
    return (this.#row[Use.sealedBlocks] as number) >= BLOCKS_MAX;
  }

  /** The key is at a limit: without epochs the cipher's as well. */
  get isUsed(): boolean {
    // HOT PATH
    const row = this.#row;
    if ((row[Use.packets] as number) >= this.#limits.packets) return true;
    if ((row[Use.bytes] as number) >= this.#limits.bytes) return true;
    if ((row[Use.sealedBlocks] as number) >= BLOCKS_MAX) return true;
    if (row[Use.epoch] !== 0) return false;
    if ((row[Use.nextId] as number) >= ID_SOON_EXHAUSTED) return true;
    return (
      (row[Use.openedBlocks] as number) >= BLOCKS_MAX || (row[Use.failed] as number) >= FAILED_MAX
    );
  }
}

/** The rows of all sessions of a tunnel, in memory that both threads see. */
export class UsageTable {
  readonly memory: SharedArrayBuffer;
  readonly limits: KeyLimits;

  /** Over the memory of another thread's table, or over its own for so many rows. */
  constructor(source: number | SharedArrayBuffer, limits: KeyLimits) {
    const rowBytes = USAGE_WORDS * 8;
    this.memory = typeof source === "number" ? new SharedArrayBuffer(source * rowBytes) : source;
    this.limits = limits;
  }

  /** A new session's row, all zero. Writer only. */
  begin(index: number): KeyUsage {
    return new KeyUsage(this.#row(index), this.limits);
  }

  use(index: number): KeyUse {
    return keyUseOf(this.#row(index), this.limits);
  }

  #row(index: number): Float64Array {
    return new Float64Array(this.memory, index * USAGE_WORDS * 8, USAGE_WORDS);
  }
}

/** A row in words for people. */
function keyUseOf(row: Float64Array, limits: KeyLimits): KeyUse {
  const word = (index: number): number => row[index] ?? 0;
  const [packets, bytes, epoch] = [word(Use.packets), word(Use.bytes), word(Use.epoch)];
  const shares = [
    packets / limits.packets,
    bytes / limits.bytes,
    word(Use.sealedBlocks) / BLOCKS_MAX,
    ...(epoch === 0
      ? [
          word(Use.nextId) / ID_SOON_EXHAUSTED,
          word(Use.openedBlocks) / BLOCKS_MAX,
          word(Use.failed) / FAILED_MAX,
        ]
      : []),
  ];
  return {
    keyId: word(Use.keyId),
    ...(epoch === 0 ? {} : { epoch }),
    packets,
    bytes,
    failed: word(Use.failed),
    usedPercent: Math.round(Math.max(...shares) * 10_000) / 100,
  };
}
