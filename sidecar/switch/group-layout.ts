/**
 * How the group table lies in memory, for the thread that writes it and the one that shows it.
 * One invariant: rows refer to each other by number, and `NO_ROW` ends every list.
 */

import { ADDRESS_WORDS } from "../wire/group-message.ts";

/** No such row. */
export const NO_ROW = -1;

/** Words of a group's row. */
export const Group = {
  key: 0,
  address: 1,
  member: 5,
  memberCount: 6,
  since: 7,
  data: 8,
  changed: 9,
} as const;
/** Words of a membership's row. */
export const Member = {
  group: 0,
  port: 1,
  next: 2,
  since: 3,
  isExclude: 4,
  expires: 5,
  source: 6,
} as const;
/** Words of a source's row. */
export const Source = { address: 0, next: 4, expires: 5, flags: 6 } as const;
export const GROUP_WORDS = 12;
export const MEMBER_WORDS = 8;
export const SOURCE_WORDS = 8;
const HEADER_WORDS = 16;
/** Words of the header. */
export const Header = { version: 0, groups: 1, members: 2, sources: 3 } as const;
/** Set in the key of a row that is in use; the rest is the VLAN id. */
export const USED: number = 1 << 29;
/** Flags of a source: its timer runs; it was asked for and waits for an answer. */
export const RUNNING = 1;
export const ASKED = 2;

/** The parts of one table. */
export interface GroupParts {
  readonly frames: Float64Array;
  readonly header: Int32Array;
  readonly groups: Int32Array;
  readonly members: Int32Array;
  readonly sources: Int32Array;
}

/** How many rows a table has. */
export interface GroupSizes {
  readonly groupsMax: number;
  readonly membersMax: number;
  readonly sourcesMax: number;
}

/** Makes the memory of a table. */
export function groupMemory({ groupsMax, membersMax, sourcesMax }: GroupSizes): SharedArrayBuffer {
  const words =
    HEADER_WORDS + groupsMax * GROUP_WORDS + membersMax * MEMBER_WORDS + sourcesMax * SOURCE_WORDS;
  return new SharedArrayBuffer(groupsMax * 8 + words * 4);
}

/** The header stands first, then the frame counts on whole eight bytes, then the rows. */
export function groupParts(memory: SharedArrayBuffer | ArrayBuffer, sizes: GroupSizes): GroupParts {
  let at = HEADER_WORDS * 4 + sizes.groupsMax * 8;
  const words = (count: number): Int32Array => {
    const part = new Int32Array(memory, at, count);
    at += count * 4;
    return part;
  };
  return {
    frames: new Float64Array(memory, HEADER_WORDS * 4, sizes.groupsMax),
    header: new Int32Array(memory, 0, HEADER_WORDS),
    groups: words(sizes.groupsMax * GROUP_WORDS),
    members: words(sizes.membersMax * MEMBER_WORDS),
    sources: words(sizes.sourcesMax * SOURCE_WORDS),
  };
}

/** One membership as status shows it. */
export interface GroupMember {
  readonly port: number;
  readonly sinceMs: number;
  /** Everything but `sources`; else only these. */
  readonly isExclude: boolean;
  /** Words of addresses, four each. */
  readonly sources: readonly Int32Array[];
}

/** One group as status shows it. */
export interface GroupRow {
  readonly vlan: number;
  /** Words of the address; see `ADDRESS_WORDS`. */
  readonly address: Int32Array;
  readonly sinceMs: number;
  /** Data frames seen since somebody first joined. */
  readonly frames: number;
  readonly dataMs: number;
  readonly members: readonly GroupMember[];
}

const READ_ATTEMPTS_MAX = 8;

/** Every group, read from another thread's table; undefined when it never held still. */
export function readGroups(memory: SharedArrayBuffer, nowMs: number): GroupRow[] | undefined {
  const header = new Int32Array(memory, 0, HEADER_WORDS);
  const copy = new Uint8Array(memory.byteLength);
  for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
    const version = Atomics.load(header, Header.version);
    if ((version & 1) !== 0) continue;
    copy.set(new Uint8Array(memory));
    if (Atomics.load(header, Header.version) !== version) continue;
    const [, groupsMax = 0, membersMax = 0, sourcesMax = 0] = header;
    return groupsIn(groupParts(copy.buffer, { groupsMax, membersMax, sourcesMax }), nowMs);
  }
  return undefined;
}

function groupsIn(parts: GroupParts, nowMs: number): GroupRow[] {
  const rows: GroupRow[] = [];
  for (let at = 0; at < parts.groups.length; at += GROUP_WORDS) {
    const key = parts.groups[at + Group.key] as number;
    if (key === 0) continue;
    rows.push({
      vlan: key & 0xfff,
      address: parts.groups.slice(at + Group.address, at + Group.address + ADDRESS_WORDS),
      sinceMs: parts.groups[at + Group.since] as number,
      frames: parts.frames[at / GROUP_WORDS] as number,
      dataMs: parts.groups[at + Group.data] as number,
      members: membersIn(parts, parts.groups[at + Group.member] as number, nowMs),
    });
  }
  return rows;
}

function membersIn(parts: GroupParts, first: number, nowMs: number): GroupMember[] {
  const { members } = parts;
  const list: GroupMember[] = [];
  for (let member = first; member >= 0; ) {
    const at = member * MEMBER_WORDS;
    const expires = members[at + Member.expires] as number;
    const isExclude = members[at + Member.isExclude] === 1 && ((expires - nowMs) | 0) > 0;
    const sources = sourcesIn(parts, members[at + Member.source] as number, isExclude);
    if (isExclude || sources.length > 0) {
      const sinceMs = members[at + Member.since] as number;
      list.push({ port: members[at + Member.port] as number, sinceMs, isExclude, sources });
    }
    member = members[at + Member.next] as number;
  }
  return list;
}

function sourcesIn(parts: GroupParts, first: number, isExclude: boolean): Int32Array[] {
  const list: Int32Array[] = [];
  for (let source = first; source >= 0; ) {
    const row = source * SOURCE_WORDS;
    const isRunning = ((parts.sources[row + Source.flags] as number) & RUNNING) !== 0;
    if (isRunning !== isExclude) list.push(parts.sources.slice(row, row + ADDRESS_WORDS));
    source = parts.sources[row + Source.next] as number;
  }
  return list;
}
