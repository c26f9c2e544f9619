/**
 * What hosts behind a port say of their memberships, carried over into the group table; the same
 * for the snooping of a switch and the proxy of a router. One invariant: a report changes the
 * memberships of the port it came by and of no other, and what finds no room is counted.
 */

import { Counter, type Counters } from "../counters.ts";
import {
  ADDRESS_WORDS,
  GroupKind,
  type GroupMessage,
  RecordKind,
  readAddress,
} from "../wire/group-message.ts";
import { NO_ROW } from "./group-layout.ts";
import type { GroupQuestions, QuestionPlace } from "./group-questions.ts";
import { JOIN_PORT_FULL } from "./group-rows.ts";
import { Ask, type GroupTable } from "./group-table.ts";
import type { Querier } from "./querier.ts";

/** Sources of one record that are looked at; a record with more asks for every source. */
const RECORD_SOURCES_MAX = 64;

export interface GroupReportsOptions {
  readonly table: GroupTable;
  readonly questions: GroupQuestions;
  readonly membershipMs: number;
  /** How many stations are behind a port: one means that a leave needs nobody else's word. */
  readonly stationsBehind: (port: number) => number;
  /** Behind each port is one host: what it leaves ends without a question. */
  readonly leavesAtOnce?: true;
  readonly counters: Pick<Counters, "add">;
}

/** Where a report was heard. */
export interface ReportPlace {
  readonly querier: Querier;
  readonly port: number;
}

/** The reports of one switch or router. */
export class GroupReports {
  readonly #options: GroupReportsOptions;
  readonly #group = new Int32Array(ADDRESS_WORDS);
  readonly #sources = { words: new Int32Array(RECORD_SOURCES_MAX * ADDRESS_WORDS), count: 0 };

  constructor(options: GroupReportsOptions) {
    this.#options = options;
  }

  /** Takes a message that was read from `view` and is no query. */
  take(view: DataView, message: GroupMessage, place: ReportPlace, nowMs: number): void {
    if (message.kind === GroupKind.records) this.#takeRecords(view, message, place, nowMs);
    else {
      readAddress(view, message.groupAt, message.family, this.#group);
      this.#sources.count = 0;
      const kind = message.kind === GroupKind.join ? RecordKind.isExclude : RecordKind.toInclude;
      this.#apply(kind, place, nowMs);
    }
  }

  /** As if the port had left the group: whoever is still there answers the question. */
  leave(group: Int32Array, place: ReportPlace, nowMs: number): void {
    this.#group.set(group);
    this.#sources.count = 0;
    this.#apply(RecordKind.toInclude, place, nowMs);
  }

  #takeRecords(view: DataView, message: GroupMessage, place: ReportPlace, nowMs: number): void {
    let at = message.listAt;
    for (let count = 0; count < message.listCount; count++) {
      const kind = this.#readRecord(view, message, at);
      readAddress(view, at + 4, message.family, this.#group);
      if (kind !== 0) this.#apply(kind, place, nowMs);
      at += message.recordBytes(view, at);
    }
  }

  /** Takes a record's sources over; returns its kind, or 0 for one that is not known. */
  #readRecord(view: DataView, { family, addressBytes }: GroupMessage, at: number): number {
    const kind = view.getUint8(at);
    const count = view.getUint16(at + 2);
    const isExclude = kind === RecordKind.isExclude || kind === RecordKind.toExclude;
    this.#sources.count = 0;
    if (kind < RecordKind.isInclude || kind > RecordKind.block) return 0;
    if (count > RECORD_SOURCES_MAX) {
      if (isExclude) return kind;
      return kind === RecordKind.block ? 0 : RecordKind.isExclude;
    }
    for (let index = 0; index < count; index++) {
      const words = this.#sources.words.subarray(index * ADDRESS_WORDS);
      readAddress(view, at + 4 + addressBytes * (1 + index), family, words);
    }
    this.#sources.count = count;
    return kind;
  }

  #apply(kind: number, { querier, port }: ReportPlace, nowMs: number): void {
    const { table, stationsBehind, counters, membershipMs } = this.#options;
    if (!isTracked(this.#group, querier.family)) return;
    const isJoin =
      kind === RecordKind.isExclude ||
      kind === RecordKind.toExclude ||
      (this.#sources.count > 0 && kind !== RecordKind.block);
    let member: number;
    if (isJoin) member = table.member(querier.vlan, this.#group, port, nowMs);
    else {
      const group = table.find(querier.vlan, this.#group);
      member = group < 0 ? NO_ROW : table.findMember(group, port);
      if (member < 0) return;
    }
    if (member < 0) {
      const isPort = member === JOIN_PORT_FULL;
      counters.add(isPort ? Counter.switchGroupPortFull : Counter.switchGroupTableFull, 1);
      // Rather too much than nothing: the port gets every group, and only that port.
      querier.addRouter(port, nowMs, membershipMs);
      return;
    }
    const asks = table.report(member, kind, this.#sources, nowMs);
    if (asks === Ask.nothing) return;
    if (this.#options.leavesAtOnce === true) {
      table.lower(member, asks, nowMs);
      return;
    }
    // Where others ask, they ask about this leave too, unless the port is a single host's.
    if (!querier.isAsking && stationsBehind(port) > 1) return;
    const place = { ...placeOf(querier, port), version: 3 } as const;
    this.#options.questions.ask(member, asks, place, { group: this.#group, nowMs });
  }
}

/** Where a question of a querier goes. */
export function placeOf(querier: Querier, port: number): QuestionPlace {
  const { vlan, family, version } = querier;
  return { port, vlan, family, version };
}

/** Link-local groups are flooded and never kept; others must be groups at all. */
function isTracked(group: Int32Array, family: 4 | 6): boolean {
  if (family === 4) {
    const address = group[3] as number;
    return address >>> 28 === 14 && (address & 0xffff_ff00) !== (0xe000_0000 | 0);
  }
  const top = (group[0] as number) >>> 16;
  return top >>> 8 === 0xff && (top & 15) > 2;
}
