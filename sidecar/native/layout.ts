/**
 * The memory that TypeScript and the addon both see, word by word. One invariant: the numbers
 * here and in `src/layout.rs` are the same; `layout.test.ts` compares them through the addon.
 *
 * The slab is one SharedArrayBuffer of equal slots (it cannot be detached or shrunk, so the
 * addon may keep its address). Descriptors are rows of 32-bit words beside it.
 */

/** Words in one row of every descriptor table. */
export const DESCRIPTOR_WORDS = 16;

/**
 * A descriptor of bytes in the slab: a received datagram, a frame read from the tap, an order to
 * send, an order to write. Offsets are absolute in the slab, lengths are bytes.
 */
export const Word = {
  /** First byte, absolute in the slab. Before a read: where the addon may write. */
  start: 0,
  /** Bytes. Before a read: how many the addon may write. */
  length: 1,
  /** Key slot for opening or sealing; -1 for none (an order is then sent as it is). */
  key: 2,
  /** Generation of the key slot; another generation in the table is a stale key. */
  generation: 3,
  /** In: what to do. Out: what became of it (a `Verdict`, or a negative errno). */
  verdict: 4,
  /** Packet id, low 32 bits. */
  idLow: 5,
  /** Packet id, high 32 bits; 0 without epoch keys. */
  idHigh: 6,
  /** First header word of a data packet: opcode (5 bits), key id (3), peer-id (24). */
  opcode: 7,
  /** Row of the path table an order leaves by. */
  path: 8,
  /** Index of the tap device that a frame came from or goes to. */
  port: 9,
  /** Of an order: where in the slab the sealed packet is put as well; 0 for nowhere. */
  copy: 9,
  /** Bytes of one segment of a super-frame or GSO datagram; 0 when there is only one. */
  segmentBytes: 10,
  /** Segments in a super-frame or GSO datagram. */
  segmentCount: 11,
  /** virtio checksum start and offset, as (start << 16) | offset; 0 for none. */
  checksum: 12,
  /** Bytes of headers in front of the first segment's payload. */
  headerBytes: 13,
  /** Traffic class byte (DSCP and ECN) of the outer packet; -1 leaves the socket's default. */
  trafficClass: 14,
  /** Segmentation of the frame, as (virtio flags << 8) | virtio gso type; 0 for a whole frame. */
  offload: 15,
} as const;

/** What a descriptor asks for (`open`), or what the addon made of it (the rest; errno are < 0). */
export const Verdict = {
  none: 0,
  open: 1,
  opened: 2,
  authenticationFailed: 3,
  keyStale: 4,
  malformed: 5,
  done: 6,
  /**
   * A TCP connection is over: `PathWord` says which, `Word.idLow` the errno, 0 for a plain end,
   * `Word.idHigh` whether it was a session's or dialled.
   */
  ended: 7,
} as const;

/**
 * A row of the path table, and of the arrival table that a receive fills in: both ends of a UDP
 * path. IPv4 is kept v4-mapped. Four words hold an address, most significant first.
 */
export const PathWord = {
  remoteIp: 0,
  remotePort: 4,
  /** IPv6 scope id of the remote address. */
  remoteScope: 5,
  /** All zero lets the kernel choose. */
  localIp: 6,
  /** 0 lets the kernel choose. */
  interfaceIndex: 10,
  /** Index of the lane's socket. */
  socket: 11,
} as const;

/**
 * Bits of what `wait` returns: the control eventfd, then sockets, then taps, then the netlink
 * watch (links, addresses or routes changed), then sockets that ICMP says something about.
 */
export const Ready = {
  control: 1,
  socketShift: 1,
  tapShift: 9,
  changes: 131_072,
  errorsShift: 18,
} as const;

/** Sockets one lane can hold, and taps likewise. */
export const LANE_SOCKETS_MAX = 8;
/** Taps one lane can hold. */
export const LANE_TAPS_MAX = 8;

/** Key slots of the process, shared by all its threads. */
export const KEY_SLOTS = 4096;
/** Datagrams one system call carries at most; `udpReceive` returns no more than this. */
export const BATCH_MAX = 256;

/** Data packets of one parity block at most. */
export const PARITY_DATA_MAX = 64;
/** Parity packets of one block at most. */
export const PARITY_MAX = 32;
/** TCP connections of one listening or dialling socket of a lane. */
export const CONNECTIONS_MAX = 1536;
/** Those among them that no session has: the oldest gives way to the next. */
export const UNPROVEN_MAX = 256;

/** Bytes that stay free in front of what a read writes into a slot, for headers put there later. */
export const HEADROOM_BYTES = 128;
