/**
 * The rows of the group table: groups found by VLAN and address, memberships of ports in a list
 * for each group, sources in a list for each membership. One invariant: the table is bounded, and
 * a membership that does not fit is refused to its own port only.
 */

import assert from "node:assert/strict";
import { ADDRESS_WORDS } from "../wire/group-message.ts";
import {
  GROUP_WORDS,
  Group,
  groupMemory,
  groupParts,
  Header,
  MEMBER_WORDS,
  Member,
  NO_ROW,
  SOURCE_WORDS,
  Source,
  USED,
} from "./group-layout.ts";

/** The port has its share of memberships. */
export const JOIN_PORT_FULL = -2;
/** The table is full. */
export const JOIN_TABLE_FULL = -3;

/** Limits and times of a table. */
export interface GroupTableOptions {
  readonly portsMax: number;
  readonly groupsMax: number;
  readonly membersMax: number;
  readonly sourcesMax: number;
  readonly tapMembersMax: number;
  readonly peerMembersMax: number;
  readonly sourcesPerMemberMax: number;
  /** A membership ends this long after its last report (RFC 3376, 8.4: 260 s). */
  readonly membershipMs: number;
  readonly seed: number;
}

/** The rows of one switch's groups. Offsets are called `at` and `row`, numbers what they number. */
export class GroupRows {
  /** For `readGroups` in another thread. */
  readonly memory: SharedArrayBuffer;
  readonly options: GroupTableOptions;
  readonly header: Int32Array;
  readonly groups: Int32Array;
  readonly members: Int32Array;
  readonly sources: Int32Array;
  /** Data frames that a group let through or kept back, beside the group's row. */
  readonly frames: Float64Array;
  /** Open addressing: group row + 1, or 0. */
  readonly #index: Int32Array;
  readonly #mask: number;
  readonly #portCounts: Int32Array;
  #freeGroup = 0;
  #freeMember = 0;
  #freeSource = 0;
  #groupCount = 0;
  #memberCount = 0;
  #evictGroup = 0;

  constructor(options: GroupTableOptions) {
    const { groupsMax, membersMax, sourcesMax } = options;
    assert(options.membershipMs > 0 && options.membershipMs < 2 ** 30, "ages fit int32 arithmetic");
    this.options = options;
    this.memory = groupMemory(options);
    const parts = groupParts(this.memory, options);
    this.frames = parts.frames;
    this.header = parts.header;
    this.groups = parts.groups;
    this.members = parts.members;
    this.sources = parts.sources;
    this.header[Header.groups] = groupsMax;
    this.header[Header.members] = membersMax;
    this.header[Header.sources] = sourcesMax;
    const indexRows = 2 ** Math.ceil(Math.log2(2 * groupsMax));
    this.#index = new Int32Array(indexRows);
    this.#mask = indexRows - 1;
    this.#portCounts = new Int32Array(options.portsMax);
    chain(this.groups, GROUP_WORDS, Group.member);
    chain(this.members, MEMBER_WORDS, Member.next);
    chain(this.sources, SOURCE_WORDS, Source.next);
  }

  get groupCount(): number {
    return this.#groupCount;
  }

  get memberCount(): number {
    return this.#memberCount;
  }

  /** Memberships behind a port. */
  portMemberCount(port: number): number {
    return this.#portCounts[port] ?? 0;
  }

  /** Row of the group in a VLAN, or NO_ROW. */
  find(vlan: number, address: Int32Array): number {
    // HOT PATH
    const place = this.place(vlan | USED, address);
    return (this.#index[place] as number) - 1;
  }

  /** Row of a port's membership, or NO_ROW. */
  findMember(group: number, port: number): number {
    let member = this.groups[group * GROUP_WORDS + Group.member] as number;
    while (member >= 0 && this.members[member * MEMBER_WORDS + Member.port] !== port) {
      member = this.members[member * MEMBER_WORDS + Member.next] as number;
    }
    return member;
  }

  /**
   * The membership of a port, made if need be with nothing asked for; or JOIN_PORT_FULL,
   * JOIN_TABLE_FULL.
   */
  member(vlan: number, address: Int32Array, port: number, nowMs: number): number {
    let group = this.find(vlan, address);
    if (group >= 0) {
      const known = this.findMember(group, port);
      if (known >= 0) return known;
    }
    const { tapMembersMax, peerMembersMax } = this.options;
    const portMax = port === 0 ? tapMembersMax : peerMembersMax;
    if ((this.#portCounts[port] as number) >= portMax) return JOIN_PORT_FULL;
    if (this.#freeMember < 0) return JOIN_TABLE_FULL;
    if (group < 0) {
      if (this.#freeGroup < 0) this.evict();
      if (this.#freeGroup < 0) return JOIN_TABLE_FULL;
      group = this.addGroup(vlan, address, nowMs);
    }
    return this.addMember(group, port, nowMs);
  }

  /** Ends every membership behind a port. */
  forgetPort(port: number, nowMs: number): void {
    if (this.portMemberCount(port) === 0) return;
    for (let member = 0; member < this.options.membersMax; member++) {
      const at = member * MEMBER_WORDS;
      if (this.isUsed(at) && this.members[at + Member.port] === port) {
        this.removeMember(member, nowMs);
      }
    }
    assert(this.#portCounts[port] === 0, "the port has no membership left");
  }

  /** Whether a membership row is in use; `at` is its offset. */
  isUsed(at: number): boolean {
    return (this.members[at + Member.group] as number) >= 0;
  }

  /** First source of the membership at an offset. */
  first(at: number): number {
    return this.members[at + Member.source] as number;
  }

  /** The source behind a source. */
  next(source: number): number {
    return this.sources[source * SOURCE_WORDS + Source.next] as number;
  }

  /** Offset of a source's row, or NO_ROW. */
  findSource(at: number, words: Int32Array): number {
    // HOT PATH
    const sources = this.sources;
    let source = this.members[at + Member.source] as number;
    while (source >= 0) {
      const row = source * SOURCE_WORDS;
      if (
        sources[row + 3] === words[3] &&
        sources[row + 2] === words[2] &&
        sources[row + 1] === words[1] &&
        sources[row] === words[0]
      ) {
        return row;
      }
      source = sources[row + Source.next] as number;
    }
    return NO_ROW;
  }

  /** Offset of a source, made if need be and neither running nor asked for; NO_ROW: no room. */
  ensureSource(at: number, words: Int32Array): number {
    const known = this.findSource(at, words);
    if (known >= 0) return known;
    const source = this.#freeSource;
    if (source < 0 || this.#countSources(at) >= this.options.sourcesPerMemberMax) return NO_ROW;
    const row = source * SOURCE_WORDS;
    this.#freeSource = this.sources[row + Source.next] as number;
    this.sources.set(words, row + Source.address);
    this.sources[row + Source.next] = this.first(at);
    this.sources[row + Source.flags] = 0;
    this.members[at + Member.source] = source;
    return row;
  }

  #countSources(at: number): number {
    let count = 0;
    for (let source = this.first(at); source >= 0; source = this.next(source)) count += 1;
    return count;
  }

  /** Takes a source out of a membership. */
  removeSource(at: number, source: number): void {
    const row = source * SOURCE_WORDS;
    const following = this.sources[row + Source.next] as number;
    if (this.first(at) === source) this.members[at + Member.source] = following;
    else {
      let before = this.first(at);
      while (this.next(before) !== source) before = this.next(before);
      this.sources[before * SOURCE_WORDS + Source.next] = following;
    }
    this.sources[row + Source.next] = this.#freeSource;
    this.#freeSource = source;
  }

  addGroup(vlan: number, address: Int32Array, nowMs: number): number {
    this.begin();
    const group = this.#freeGroup;
    const at = group * GROUP_WORDS;
    this.#freeGroup = this.groups[at + Group.member] as number;
    this.groups[at + Group.key] = vlan | USED;
    this.groups.set(address, at + Group.address);
    this.groups[at + Group.member] = NO_ROW;
    this.groups[at + Group.memberCount] = 0;
    this.groups[at + Group.since] = nowMs;
    this.groups[at + Group.data] = nowMs;
    this.groups[at + Group.changed] = nowMs;
    this.frames[group] = 0;
    this.#index[this.place(vlan | USED, address)] = group + 1;
    this.#groupCount += 1;
    this.end();
    return group;
  }

  addMember(group: number, port: number, nowMs: number): number {
    this.begin();
    const member = this.#freeMember;
    const at = member * MEMBER_WORDS;
    const groupAt = group * GROUP_WORDS;
    this.#freeMember = this.members[at + Member.next] as number;
    this.members[at + Member.group] = group;
    this.members[at + Member.port] = port;
    this.members[at + Member.next] = this.groups[groupAt + Group.member] as number;
    this.members[at + Member.since] = nowMs;
    this.members[at + Member.isExclude] = 0;
    this.members[at + Member.expires] = nowMs;
    this.members[at + Member.source] = NO_ROW;
    this.groups[groupAt + Group.member] = member;
    this.groups[groupAt + Group.memberCount] =
      (this.groups[groupAt + Group.memberCount] as number) + 1;
    this.#portCounts[port] = (this.#portCounts[port] as number) + 1;
    this.#memberCount += 1;
    this.end();
    return member;
  }

  /** Ends a membership. */
  removeMember(member: number, nowMs: number): void {
    this.begin();
    const at = member * MEMBER_WORDS;
    while (this.first(at) >= 0) this.removeSource(at, this.first(at));
    const groupAt = (this.members[at + Member.group] as number) * GROUP_WORDS;
    const following = this.members[at + Member.next] as number;
    let before = this.groups[groupAt + Group.member] as number;
    if (before === member) this.groups[groupAt + Group.member] = following;
    else {
      while (this.members[before * MEMBER_WORDS + Member.next] !== member) {
        before = this.members[before * MEMBER_WORDS + Member.next] as number;
      }
      this.members[before * MEMBER_WORDS + Member.next] = following;
    }
    this.groups[groupAt + Group.memberCount] =
      (this.groups[groupAt + Group.memberCount] as number) - 1;
    this.groups[groupAt + Group.changed] = nowMs;
    const port = this.members[at + Member.port] as number;
    this.#portCounts[port] = (this.#portCounts[port] as number) - 1;
    this.#memberCount -= 1;
    this.members[at + Member.group] = NO_ROW;
    this.members[at + Member.port] = NO_ROW;
    this.members[at + Member.next] = this.#freeMember;
    this.#freeMember = member;
    this.end();
  }

  /** A group that all have left is remembered while its data goes on, so that it goes nowhere. */
  isForgettable(group: number, nowMs: number): boolean {
    const at = group * GROUP_WORDS;
    const groups = this.groups;
    if (groups[at + Group.key] === 0 || (groups[at + Group.member] as number) >= 0) return false;
    const quietMs = (nowMs - (groups[at + Group.data] as number)) | 0;
    const leftMs = (nowMs - (groups[at + Group.changed] as number)) | 0;
    return Math.min(quietMs, leftMs) >= this.options.membershipMs;
  }

  /** Makes room: a group that nobody is in gives way to one that somebody joins. */
  evict(): void {
    for (let count = 0; count < this.options.groupsMax; count++) {
      const group = this.#evictGroup;
      this.#evictGroup = (group + 1) % this.options.groupsMax;
      if ((this.groups[group * GROUP_WORDS + Group.member] as number) >= 0) continue;
      this.removeGroup(group);
      return;
    }
  }

  /** Frees the row of a group that nobody is in. */
  removeGroup(group: number): void {
    this.begin();
    const at = group * GROUP_WORDS;
    const key = this.groups[at + Group.key] as number;
    this.#unindex(this.place(key, this.groups.subarray(at + 1, at + 1 + ADDRESS_WORDS)));
    this.groups[at + Group.key] = 0;
    this.groups[at + Group.member] = this.#freeGroup;
    this.#freeGroup = group;
    this.#groupCount -= 1;
    this.end();
  }

  /** Place in the index of the group, or the empty one where it belongs. */
  place(key: number, address: Int32Array): number {
    // HOT PATH
    const groups = this.groups;
    let place = this.#home(key, address, 0);
    for (;;) {
      const entry = this.#index[place] as number;
      if (entry === 0) return place;
      const at = (entry - 1) * GROUP_WORDS;
      if (
        groups[at + 4] === address[3] &&
        groups[at + Group.key] === key &&
        groups[at + 3] === address[2] &&
        groups[at + 2] === address[1] &&
        groups[at + 1] === address[0]
      ) {
        return place;
      }
      place = (place + 1) & this.#mask;
    }
  }

  #home(key: number, words: Int32Array, from: number): number {
    // HOT PATH
    let hash = this.options.seed ^ key;
    for (let word = 0; word < ADDRESS_WORDS; word++) {
      hash = Math.imul(hash ^ (words[from + word] as number), 0x9e37_79b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0x85eb_ca77);
    return (hash ^ (hash >>> 13)) & this.#mask;
  }

  /** Empties a place of the index and closes the gap for searches that have to pass it. */
  #unindex(place: number): void {
    let gap = place;
    let next = (gap + 1) & this.#mask;
    for (;;) {
      const entry = this.#index[next] as number;
      if (entry === 0) break;
      const at = (entry - 1) * GROUP_WORDS;
      const home = this.#home(this.groups[at] as number, this.groups, at + Group.address);
      if (((next - home) & this.#mask) >= ((next - gap) & this.#mask)) {
        this.#index[gap] = entry;
        gap = next;
      }
      next = (next + 1) & this.#mask;
    }
    this.#index[gap] = 0;
  }

  /** Readers in other threads wait from here on. */
  begin(): void {
    Atomics.add(this.header, Header.version, 1);
  }

  /** The rows hold together again. */
  end(): void {
    Atomics.add(this.header, Header.version, 1);
  }
}

/** Links all rows into a list of free ones. */
function chain(rows: Int32Array, words: number, next: number): void {
  const count = rows.length / words;
  for (let row = 0; row < count; row++) {
    rows[row * words + next] = row + 1 === count ? NO_ROW : row + 1;
    if (words === MEMBER_WORDS && next === Member.next) {
      rows[row * words + Member.group] = NO_ROW;
      rows[row * words + Member.port] = NO_ROW;
    }
  }
}
