/**
 * Questions about single groups and the queue of queries to be sent. One invariant: both are
 * bounded; a question that finds no room is not asked, and its membership ends by age instead.
 * After a leave we ask twice, 400 ms apart, and forget after 900 ms: within a second.
 */

import type { GroupTable } from "./group-table.ts";

/** Every port. */
export const ALL_PORTS = -1;
/** Sources that fit a query of ours. */
const QUERY_SOURCES_MAX = 16;
const QUERIES_MAX = 256;
const QUESTIONS_MAX = 256;
const REPEAT_MS = 400;
/** When an unanswered question's membership ends. */
export const QUESTION_MS = 900;
/** Time that hosts are given to answer a question. */
const QUESTION_RESPONSE_MS = 300;

/** A query to be sent. */
export interface Query {
  port: number;
  vlan: number;
  family: 4 | 6;
  responseMs: number;
  version: 2 | 3;
  readonly group: Int32Array;
  readonly sources: Int32Array;
  sourceCount: number;
}

/** What a question is about. */
export interface QuestionPlace {
  readonly port: number;
  readonly vlan: number;
  readonly family: 4 | 6;
  readonly version: 2 | 3;
}

interface Question {
  isOpen: boolean;
  isRepeated: boolean;
  member: number;
  asks: number;
  dueMs: number;
  repeatMs: number;
  place: QuestionPlace;
  readonly group: Int32Array;
}

/** The questions and queries of one switch. */
export class GroupQuestions {
  readonly #table: GroupTable;
  readonly #queries: readonly Query[] = Array.from({ length: QUERIES_MAX }, createQuery);
  readonly #questions: readonly Question[] = Array.from({ length: QUESTIONS_MAX }, createQuestion);
  #head = 0;
  #queryCount = 0;
  #openCount = 0;

  constructor(table: GroupTable) {
    this.#table = table;
  }

  get queryCount(): number {
    return this.#queryCount;
  }

  /** The next query to be sent; valid until the next call of anything here. */
  takeQuery(): Query | undefined {
    if (this.#queryCount === 0) return undefined;
    const query = this.#queries[this.#head];
    this.#head = (this.#head + 1) % QUERIES_MAX;
    this.#queryCount -= 1;
    return query;
  }

  /** Asks about every group; false: no room. */
  general(place: QuestionPlace, responseMs: number): boolean {
    const query = this.#add(place, responseMs);
    query?.group.fill(0);
    return query !== undefined;
  }

  /** Asks twice about one membership, which ends unless somebody answers. */
  ask(
    member: number,
    asks: number,
    place: QuestionPlace,
    about: { group: Int32Array; nowMs: number },
  ): void {
    const { group, nowMs } = about;
    // Hosts repeat their leaves: the first one counts, or the end would move away each time.
    if (this.#openCount > 0 && this.#isAsked(member, asks)) return;
    const question = this.#questions.find((one) => !one.isOpen);
    if (question === undefined) return;
    question.isOpen = true;
    question.isRepeated = false;
    question.member = member;
    question.asks = asks;
    question.dueMs = (nowMs + QUESTION_MS) | 0;
    question.repeatMs = (nowMs + REPEAT_MS) | 0;
    question.place = place;
    question.group.set(group);
    this.#openCount += 1;
    this.#table.lower(member, asks, question.dueMs);
    this.#send(question);
  }

  /** Repeats what is still open. */
  tick(nowMs: number): void {
    if (this.#openCount === 0) return;
    for (const question of this.#questions) {
      if (!question.isOpen) continue;
      const { member, asks, dueMs } = question;
      if (((nowMs - dueMs) | 0) >= 0) {
        question.isOpen = false;
        this.#openCount -= 1;
      } else if (!question.isRepeated && ((nowMs - question.repeatMs) | 0) >= 0) {
        question.isRepeated = true;
        if (this.#table.isWaiting(member, asks, dueMs)) this.#send(question);
      }
    }
  }

  #isAsked(member: number, asks: number): boolean {
    return this.#questions.some((one) => {
      const isSame = one.isOpen && one.member === member && (one.asks & asks) === asks;
      return isSame && this.#table.isWaiting(member, one.asks, one.dueMs);
    });
  }

  #send(question: Question): void {
    const query = this.#add(question.place, QUESTION_RESPONSE_MS);
    if (query === undefined) return;
    query.group.set(question.group);
    const isWhole = question.asks !== 2;
    query.sourceCount = isWhole ? 0 : this.#table.askedSources(question.member, query.sources);
  }

  #add(place: QuestionPlace, responseMs: number): Query | undefined {
    if (this.#queryCount === QUERIES_MAX) return undefined;
    const query = this.#queries[(this.#head + this.#queryCount) % QUERIES_MAX] as Query;
    this.#queryCount += 1;
    query.port = place.port;
    query.vlan = place.vlan;
    query.family = place.family;
    query.version = place.version;
    query.responseMs = responseMs;
    query.sourceCount = 0;
    return query;
  }
}

function createQuery(): Query {
  return {
    port: ALL_PORTS,
    vlan: 0,
    family: 4,
    responseMs: 0,
    version: 3,
    group: new Int32Array(4),
    sources: new Int32Array(QUERY_SOURCES_MAX * 4),
    sourceCount: 0,
  };
}

function createQuestion(): Question {
  const place = { port: ALL_PORTS, vlan: 0, family: 4, version: 3 } as const;
  const words = new Int32Array(4);
  return {
    isOpen: false,
    isRepeated: false,
    member: 0,
    asks: 0,
    dueMs: 0,
    repeatMs: 0,
    place,
    group: words,
  };
}
