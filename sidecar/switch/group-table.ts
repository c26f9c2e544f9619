/**
 * Who has joined which multicast group, per VLAN and port, with sources. One invariant: what is
 * past due counts for nothing at once, and `sweep` clears it away later. State and transitions
 * are those of a router's group record (RFC 3376, 6.2 to 6.4; RFC 3810, 7), kept for each port.
 * Time is the wrapping milliseconds of `clock.ts`.
 */

import { ADDRESS_WORDS, RecordKind } from "../wire/group-message.ts";
import {
  ASKED,
  GROUP_WORDS,
  Group,
  MEMBER_WORDS,
  Member,
  NO_ROW,
  RUNNING,
  SOURCE_WORDS,
  Source,
} from "./group-layout.ts";
import { GroupRows } from "./group-rows.ts";

/** What a report leaves to be asked before something may be forgotten. */
export const Ask = { nothing: 0, group: 1, sources: 2 } as const;

/** Addresses in a row, four words each. */
export interface AddressList {
  readonly words: Int32Array;
  readonly count: number;
}

/** The groups of one switch. */
export class GroupTable extends GroupRows {
  #sweepMember = 0;
  #sweepGroup = 0;

  /** Notes a data frame and writes the ports that asked for it; returns how many there are. */
  collect(group: number, source: Int32Array, nowMs: number, into: Int32Array): number {
    // HOT PATH
    this.groups[group * GROUP_WORDS + Group.data] = nowMs;
    this.frames[group] = (this.frames[group] as number) + 1;
    let count = 0;
    let member = this.groups[group * GROUP_WORDS + Group.member] as number;
    while (member >= 0) {
      const at = member * MEMBER_WORDS;
      if (this.#accepts(at, source, nowMs)) {
        into[count] = this.members[at + Member.port] as number;
        count += 1;
      }
      member = this.members[at + Member.next] as number;
    }
    return count;
  }

  /** Group of a membership if it is in use and behind this port, else NO_ROW. */
  groupOf(member: number, port: number): number {
    const at = member * MEMBER_WORDS;
    if (!this.isUsed(at) || this.members[at + Member.port] !== port) return NO_ROW;
    return this.members[at + Member.group] as number;
  }

  /** Writes a group's address; returns its VLAN. */
  readGroup(group: number, into: Int32Array): number {
    const at = group * GROUP_WORDS + Group.address;
    for (let word = 0; word < ADDRESS_WORDS; word++) into[word] = this.groups[at + word] as number;
    return (this.groups[group * GROUP_WORDS + Group.key] as number) & 0xfff;
  }

  /** Carries a record of a report out on a membership; returns what is to be asked (`Ask`). */
  report(member: number, kind: number, sources: AddressList, nowMs: number): number {
    const at = member * MEMBER_WORDS;
    this.begin();
    const wasExclude = this.#isExclude(at, nowMs);
    this.members[at + Member.isExclude] = wasExclude ? 1 : 0;
    let asks: number = Ask.nothing;
    if (kind === RecordKind.isExclude || kind === RecordKind.toExclude) {
      this.#exclude(at, wasExclude, sources, nowMs);
      if (kind === RecordKind.toExclude) asks = this.#askRunning(at, nowMs);
    } else if (kind === RecordKind.block) {
      asks = this.#block(at, wasExclude, sources, nowMs);
    } else {
      if (kind === RecordKind.toInclude) {
        asks = this.#askRunning(at, nowMs) | (wasExclude ? Ask.group : Ask.nothing);
      }
      if (!this.#allow(at, sources, nowMs)) {
        // More sources than we keep: rather too much than too little.
        this.members[at + Member.isExclude] = 1;
        this.members[at + Member.expires] = (nowMs + this.options.membershipMs) | 0;
        asks = Ask.nothing;
      }
    }
    if (asks === Ask.sources && !this.#hasAsked(at)) asks = Ask.nothing;
    this.end();
    return asks;
  }

  /** What was asked for ends at `dueMs` unless somebody answers. */
  lower(member: number, asks: number, dueMs: number): void {
    const at = member * MEMBER_WORDS;
    // A question asked earlier ends earlier (RFC 3376, 6.6.3: timers are lowered, never raised).
    if ((asks & Ask.group) !== 0 && isLater(this.members[at + Member.expires] as number, dueMs)) {
      this.members[at + Member.expires] = dueMs;
    }
    if ((asks & Ask.sources) === 0) return;
    for (let source = this.first(at); source >= 0; source = this.next(source)) {
      const row = source * SOURCE_WORDS;
      const isAsked = ((this.sources[row + Source.flags] as number) & ASKED) !== 0;
      if (isAsked && isLater(this.sources[row + Source.expires] as number, dueMs)) {
        this.sources[row + Source.expires] = dueMs;
      }
    }
  }

  /** Whether the question is still open: nobody has answered since `lower` set this moment. */
  isWaiting(member: number, asks: number, dueMs: number): boolean {
    const at = member * MEMBER_WORDS;
    if ((this.members[at + Member.port] as number) < 0) return false;
    if ((asks & Ask.group) !== 0) return this.members[at + Member.expires] === dueMs;
    return this.#hasAsked(at);
  }

  /** Words of the sources asked for, at most as many as fit; returns how many. */
  askedSources(member: number, into: Int32Array): number {
    const at = member * MEMBER_WORDS;
    let count = 0;
    for (let source = this.first(at); source >= 0; source = this.next(source)) {
      const row = source * SOURCE_WORDS;
      if (((this.sources[row + Source.flags] as number) & ASKED) === 0) continue;
      if ((count + 1) * ADDRESS_WORDS > into.length) break;
      for (let word = 0; word < ADDRESS_WORDS; word++) {
        into[count * ADDRESS_WORDS + word] = this.sources[row + Source.address + word] as number;
      }
      count += 1;
    }
    return count;
  }

  /** Ends the membership of a group no later than `dueMs`: another querier asked (RFC 3376, 6.6.1). */
  expireBy(vlan: number, address: Int32Array, dueMs: number): void {
    const group = this.find(vlan, address);
    if (group < 0) return;
    let member = this.groups[group * GROUP_WORDS + Group.member] as number;
    while (member >= 0) {
      const at = member * MEMBER_WORDS;
      if (isLater(this.members[at + Member.expires] as number, dueMs)) {
        this.members[at + Member.expires] = dueMs;
      }
      member = this.members[at + Member.next] as number;
    }
  }

  /** Clears away what is past due among the next rows; returns how many memberships ended. */
  sweep(nowMs: number, rowsMax: number): number {
    let ended = 0;
    for (let count = 0; count < rowsMax; count++) {
      const member = this.#sweepMember;
      this.#sweepMember = (member + 1) % this.options.membersMax;
      const at = member * MEMBER_WORDS;
      if ((this.members[at + Member.port] as number) < 0 || !this.isUsed(at)) continue;
      this.#sweepSources(at, nowMs);
      if (this.#isExclude(at, nowMs) || this.first(at) >= 0) continue;
      this.removeMember(member, nowMs);
      ended += 1;
    }
    for (let count = 0; count < rowsMax; count++) {
      const group = this.#sweepGroup;
      this.#sweepGroup = (group + 1) % this.options.groupsMax;
      if (this.isForgettable(group, nowMs)) this.removeGroup(group);
    }
    return ended;
  }

  /** Whether the membership wants everything but what it excludes. */
  #isExclude(at: number, nowMs: number): boolean {
    // HOT PATH
    if (this.members[at + Member.isExclude] === 0) return false;
    return (((this.members[at + Member.expires] as number) - nowMs) | 0) > 0;
  }

  #accepts(at: number, source: Int32Array, nowMs: number): boolean {
    // HOT PATH
    const row = this.findSource(at, source);
    if (row < 0) return this.#isExclude(at, nowMs);
    return this.#isRunning(row, nowMs);
  }

  #isRunning(row: number, nowMs: number): boolean {
    // HOT PATH
    if (((this.sources[row + Source.flags] as number) & RUNNING) === 0) return false;
    return (((this.sources[row + Source.expires] as number) - nowMs) | 0) > 0;
  }

  /** IS_IN, TO_IN, ALLOW: these sources, for the membership's time. False: no room for all. */
  #allow(at: number, sources: AddressList, nowMs: number): boolean {
    let isComplete = true;
    for (let index = 0; index < sources.count; index++) {
      const row = this.ensureSource(at, wordsAt(sources.words, index));
      if (row < 0) isComplete = false;
      else this.#run(row, (nowMs + this.options.membershipMs) | 0);
    }
    return isComplete;
  }

  /** IS_EX, TO_EX: everything but these sources. */
  #exclude(at: number, wasExclude: boolean, sources: AddressList, nowMs: number): void {
    const expires = (nowMs + this.options.membershipMs) | 0;
    for (let source = this.first(at); source >= 0; ) {
      const following = this.next(source);
      const row = source * SOURCE_WORDS;
      // What the report does not exclude is wanted like everything else: no row says so.
      if (!contains(sources, this.sources, row)) this.removeSource(at, source);
      source = following;
    }
    for (let index = 0; index < sources.count; index++) {
      const words = wordsAt(sources.words, index);
      if (this.findSource(at, words) >= 0) continue;
      const row = this.ensureSource(at, words);
      if (row < 0) break;
      // Another host behind the port may want it: only a first exclusion takes effect at once.
      if (wasExclude) this.#run(row, expires);
      else this.sources[row + Source.flags] = 0;
    }
    this.members[at + Member.isExclude] = 1;
    this.members[at + Member.expires] = expires;
  }

  /** BLOCK: these sources no more, once nobody else asks for them. */
  #block(at: number, isExclude: boolean, sources: AddressList, nowMs: number): number {
    let asks: number = Ask.nothing;
    for (let index = 0; index < sources.count; index++) {
      const words = wordsAt(sources.words, index);
      let row = this.findSource(at, words);
      if (row < 0 && isExclude) {
        row = this.ensureSource(at, words);
        if (row >= 0) this.#run(row, this.members[at + Member.expires] as number);
      }
      if (row < 0 || !this.#isRunning(row, nowMs)) continue;
      this.sources[row + Source.flags] = RUNNING | ASKED;
      asks = Ask.sources;
    }
    return asks;
  }

  /** Marks every running source to be asked for; a record that names it again takes the mark off. */
  #askRunning(at: number, nowMs: number): number {
    let asks: number = Ask.nothing;
    for (let source = this.first(at); source >= 0; source = this.next(source)) {
      const row = source * SOURCE_WORDS;
      if (!this.#isRunning(row, nowMs)) continue;
      this.sources[row + Source.flags] = RUNNING | ASKED;
      asks = Ask.sources;
    }
    return asks;
  }

  /** Drops sources whose time is over: in exclude mode they stay, as excluded (6.3). */
  #sweepSources(at: number, nowMs: number): void {
    const isExclude = this.#isExclude(at, nowMs);
    for (let source = this.first(at); source >= 0; ) {
      const following = this.next(source);
      const row = source * SOURCE_WORDS;
      if (!this.#isRunning(row, nowMs)) {
        if (isExclude) this.sources[row + Source.flags] = 0;
        else {
          this.begin();
          this.removeSource(at, source);
          this.end();
        }
      }
      source = following;
    }
  }

  #hasAsked(at: number): boolean {
    for (let source = this.first(at); source >= 0; source = this.next(source)) {
      const flags = this.sources[source * SOURCE_WORDS + Source.flags] as number;
      if ((flags & ASKED) !== 0) return true;
    }
    return false;
  }

  #run(row: number, expires: number): void {
    this.sources[row + Source.flags] = RUNNING;
    this.sources[row + Source.expires] = expires;
  }
}

/** Of two moments, whether the first is the later one; both wrap. */
function isLater(oneMs: number, otherMs: number): boolean {
  return ((oneMs - otherMs) | 0) > 0;
}

function wordsAt(words: Int32Array, index: number): Int32Array {
  return words.subarray(index * ADDRESS_WORDS, (index + 1) * ADDRESS_WORDS);
}

function contains(list: AddressList, rows: Int32Array, row: number): boolean {
  for (let at = 0; at < list.count * ADDRESS_WORDS; at += ADDRESS_WORDS) {
    if (
      list.words[at] === rows[row] &&
      list.words[at + 1] === rows[row + 1] &&
      list.words[at + 2] === rows[row + 2] &&
      list.words[at + 3] === rows[row + 3]
    ) {
      return true;
    }
  }
  return false;
}
