import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RecordKind } from "../wire/group-message.ts";
import { readGroups } from "./group-layout.ts";
import { type GroupTableOptions, JOIN_PORT_FULL, JOIN_TABLE_FULL } from "./group-rows.ts";
import { type AddressList, Ask, GroupTable } from "./group-table.ts";

const LAST_MS = 1000;
const ASK_MS = 90;
const OPTIONS: GroupTableOptions = {
  portsMax: 6,
  groupsMax: 8,
  membersMax: 24,
  sourcesMax: 200,
  tapMembersMax: 8,
  peerMembersMax: 8,
  sourcesPerMemberMax: 32,
  membershipMs: LAST_MS,
  seed: 7,
};

function address(number: number): Int32Array {
  return Int32Array.of(0, 0, 0xffff, 0xef00_0000 | number);
}

function list(numbers: readonly number[]): AddressList {
  return {
    words: Int32Array.from(numbers.flatMap((one) => [...address(one)])),
    count: numbers.length,
  };
}

/** The same rules in the words of RFC 3376, 6.4, with no thought of speed. */
class Model {
  readonly #members = new Map<
    string,
    { isExclude: boolean; expires: number; sources: Map<number, number> }
  >();

  /** A source's time; 0 in exclude mode: kept back. Returns whether something was asked. */
  report(key: string, kind: number, b: readonly number[], nowMs: number): void {
    const isJoin =
      kind === RecordKind.isExclude ||
      kind === RecordKind.toExclude ||
      (b.length > 0 && kind !== RecordKind.block);
    let one = this.#members.get(key);
    if (one === undefined) {
      if (!isJoin) return;
      one = { isExclude: false, expires: nowMs, sources: new Map() };
      this.#members.set(key, one);
    }
    const { sources } = one;
    if (one.isExclude && one.expires <= nowMs) one.isExclude = false;
    const isRunning = (source: number): boolean => (sources.get(source) ?? 0) > nowMs;
    const ask = (asked: readonly number[]): void => {
      for (const source of asked) {
        if (isRunning(source)) {
          sources.set(source, Math.min(sources.get(source) ?? 0, nowMs + ASK_MS));
        }
      }
    };
    if (kind === RecordKind.isExclude || kind === RecordKind.toExclude) {
      for (const source of [...sources.keys()]) if (!b.includes(source)) sources.delete(source);
      for (const source of b)
        if (!sources.has(source)) sources.set(source, one.isExclude ? nowMs + LAST_MS : 0);
      one.isExclude = true;
      one.expires = nowMs + LAST_MS;
      if (kind === RecordKind.toExclude) ask([...sources.keys()]);
    } else if (kind === RecordKind.block) {
      if (one.isExclude)
        for (const source of b) if (!sources.has(source)) sources.set(source, one.expires);
      ask(b);
    } else {
      const wasExclude = one.isExclude;
      const others = [...sources.keys()].filter((source) => !b.includes(source));
      for (const source of b) sources.set(source, nowMs + LAST_MS);
      if (kind !== RecordKind.toInclude) return;
      ask(others);
      if (wasExclude) one.expires = Math.min(one.expires, nowMs + ASK_MS);
    }
  }

  accepts(key: string, source: number, nowMs: number): boolean {
    const one = this.#members.get(key);
    if (one === undefined) return false;
    const expires = one.sources.get(source);
    if (expires !== undefined) return expires > nowMs;
    return one.isExclude && one.expires > nowMs;
  }

  forgetPort(port: number): void {
    for (const key of [...this.#members.keys()])
      if (key.endsWith(`/${port}`)) this.#members.delete(key);
  }
}

function targets(
  table: GroupTable,
  vlan: number,
  group: number,
  when: { source: number; nowMs: number },
): number[] {
  const { source, nowMs } = when;
  const into = new Int32Array(OPTIONS.portsMax);
  const row = table.find(vlan, address(group));
  if (row < 0) return [];
  return [...into.subarray(0, table.collect(row, address(source), nowMs, into))].sort();
}

test("any course of reports, questions, time and ports gives what the model of the RFC gives", () => {
  const report = fc.record({
    kind: fc.integer({ min: 1, max: 6 }),
    vlan: fc.nat(1),
    group: fc.nat(2),
    port: fc.nat(3),
    sources: fc.uniqueArray(fc.nat(3), { maxLength: 3 }),
  });
  const step = fc.oneof(
    { weight: 6, arbitrary: report },
    {
      weight: 3,
      arbitrary: fc.record({
        passMs: fc.constantFrom(1, ASK_MS - 1, ASK_MS, 500, LAST_MS - 1, LAST_MS),
      }),
    },
    { weight: 1, arbitrary: fc.record({ closed: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ sweep: fc.nat(40) }) },
  );
  fc.assert(
    fc.property(
      fc.constantFrom(0, 0x7fff_fe00),
      fc.array(step, { maxLength: 60 }),
      (startMs, steps) => {
        const table = new GroupTable(OPTIONS);
        const model = new Model();
        let passed = 1;
        const now = (): number => (startMs + passed) | 0;
        for (const one of steps) {
          if ("passMs" in one) passed += one.passMs;
          else if ("closed" in one) {
            table.forgetPort(one.closed, now());
            model.forgetPort(one.closed);
          } else if ("sweep" in one) table.sweep(now(), one.sweep);
          else {
            const { kind, vlan, group, port, sources } = one;
            const isJoin = kind === 2 || kind === 4 || (sources.length > 0 && kind !== 6);
            const row = table.find(vlan, address(group));
            const member = isJoin
              ? table.member(vlan, address(group), port, now())
              : row < 0
                ? -1
                : table.findMember(row, port);
            if (member >= 0) {
              const asks = table.report(member, kind, list(sources), now());
              if (asks !== Ask.nothing) table.lower(member, asks, (now() + ASK_MS) | 0);
            }
            model.report(`${vlan}/${group}/${port}`, kind, sources, passed);
          }
          for (const vlan of [0, 1]) {
            for (let group = 0; group < 3; group++) {
              for (let source = 0; source < 4; source++) {
                const expected = [0, 1, 2, 3].filter((port) =>
                  model.accepts(`${vlan}/${group}/${port}`, source, passed),
                );
                assert.deepEqual(
                  targets(table, vlan, group, { source: source, nowMs: now() }),
                  expected,
                );
              }
            }
          }
        }
      },
    ),
    { numRuns: 400 },
  );
});

test("a source whose time is over is not brought back by the next question", () => {
  const table = new GroupTable(OPTIONS);
  const report = (kind: number, sources: readonly number[], nowMs: number): void => {
    const member = table.member(0, address(1), 1, nowMs);
    const asks = table.report(member, kind, list(sources), nowMs);
    if (asks !== Ask.nothing) table.lower(member, asks, nowMs + ASK_MS);
  };
  report(RecordKind.isInclude, [1], 0);
  report(RecordKind.toInclude, [0], 0);
  assert.deepEqual(targets(table, 0, 1, { source: 1, nowMs: ASK_MS - 1 }), [1]);
  report(RecordKind.toInclude, [], ASK_MS + 1);
  assert.deepEqual(targets(table, 0, 1, { source: 1, nowMs: ASK_MS + 2 }), []);
  assert.deepEqual(targets(table, 0, 1, { source: 0, nowMs: ASK_MS + 2 }), [1]);
});

const any = list([]);

function join(table: GroupTable, group: number, port: number, nowMs = 0): number {
  const member = table.member(0, address(group), port, nowMs);
  if (member >= 0) table.report(member, RecordKind.isExclude, any, nowMs);
  return member;
}

test("a port with its share is refused, and nobody else loses anything", () => {
  const table = new GroupTable({ ...OPTIONS, groupsMax: 64, membersMax: 64 });
  join(table, 1, 2);
  for (let group = 1; group <= 8; group++) assert.ok(join(table, group, 1) >= 0);
  assert.equal(join(table, 9, 1), JOIN_PORT_FULL);
  assert.ok(join(table, 1, 1) >= 0);
  assert.ok(join(table, 9, 2) >= 0);
  assert.deepEqual(targets(table, 0, 1, { source: 1, nowMs: 1 }), [1, 2]);
});

test("a full table refuses, until a group that all have left gives way", () => {
  const table = new GroupTable(OPTIONS);
  for (let group = 1; group <= 8; group++) assert.ok(join(table, group, 1) >= 0);
  assert.equal(join(table, 9, 2), JOIN_TABLE_FULL);
  table.forgetPort(1, 5);
  assert.equal(table.groupCount, 8);
  assert.ok(join(table, 9, 2) >= 0);
  assert.equal(table.groupCount, 8);
  assert.deepEqual(targets(table, 0, 9, { source: 1, nowMs: 1 }), [2]);
});

test("a group that all have left is remembered while its data goes on", () => {
  const table = new GroupTable(OPTIONS);
  join(table, 1, 1);
  table.forgetPort(1, 100);
  for (const nowMs of [500, 1000, 1500]) {
    assert.deepEqual(targets(table, 0, 1, { source: 1, nowMs: nowMs }), []);
    table.sweep(nowMs, 64);
    assert.equal(table.groupCount, 1);
  }
  table.sweep(2500, 64);
  assert.equal(table.groupCount, 0);
});

test("a membership with more sources than are kept asks for every source", () => {
  const table = new GroupTable(OPTIONS);
  const member = table.member(0, address(1), 1, 0);
  const numbers = Array.from({ length: 33 }, (_, index) => index);
  table.report(member, RecordKind.allow, list(numbers), 0);
  assert.deepEqual(targets(table, 0, 1, { source: 99, nowMs: 1 }), [1]);
});

test("status sees groups, members and sources", () => {
  const table = new GroupTable(OPTIONS);
  join(table, 1, 1, 5);
  const member = table.member(3, address(2), 0, 6);
  table.report(member, RecordKind.allow, list([7]), 6);
  targets(table, 0, 1, { source: 1, nowMs: 9 });
  const rows = readGroups(table.memory, 10) ?? assert.fail("it held still");
  assert.deepEqual(
    rows.map(({ vlan, address: words, frames, dataMs, members }) => ({
      vlan,
      words,
      frames,
      dataMs,
      members,
    })),
    [
      {
        vlan: 0,
        words: address(1),
        frames: 1,
        dataMs: 9,
        members: [{ port: 1, sinceMs: 5, isExclude: true, sources: [] }],
      },
      {
        vlan: 3,
        words: address(2),
        frames: 0,
        dataMs: 6,
        members: [{ port: 0, sinceMs: 6, isExclude: false, sources: [address(7)] }],
      },
    ],
  );
});
