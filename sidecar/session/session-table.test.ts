import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DataSession } from "./data-session.ts";
import { SessionTable } from "./session-table.ts";

const SESSIONS = 8;

function session(index: number): DataSession {
  return new DataSession({
    index,
    peerId: index,
    pingIntervalMs: 0,
    timeoutMs: 0,
    hasProbes: false,
    nowMs: 0,
  });
}

test("a listening end finds each session by its number, as a map would", () => {
  const step = fc.record({ isPut: fc.boolean(), index: fc.integer({ min: 1, max: SESSIONS }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const table = new SessionTable(SESSIONS);
      const model = new Map<number, DataSession>();
      for (const { isPut, index } of steps) {
        if (isPut) {
          const added = session(index);
          table.put(added, -1);
          model.set(index, added);
        } else {
          table.remove(index);
          model.delete(index);
        }
        assert.equal(table.count, model.size);
        for (let at = 0; at <= SESSIONS + 1; at++) {
          assert.equal(table.at(at), model.get(at));
          assert.equal(table.byPeerId(at), model.get(at));
        }
      }
    }),
  );
});

test("peer-ids without a session, up to the last of 24 bits, lead nowhere", () => {
  const table = new SessionTable(SESSIONS);
  for (let index = 1; index <= SESSIONS; index++) table.put(session(index), -1);
  for (const peerId of [0, SESSIONS + 1, 65535, 0xff_ffff]) {
    assert.equal(table.byPeerId(peerId), undefined);
  }
});

test("a dialling end's session answers to the server's peer-id and to no other", () => {
  const table = new SessionTable(SESSIONS);
  const dialled = session(1);
  for (const peerId of [0, 7, 0xff_ffff]) {
    table.put(dialled, peerId);
    assert.equal(table.count, 1);
    for (const other of [0, 1, 7, 8, 0xff_fffe, 0xff_ffff]) {
      assert.equal(table.byPeerId(other), other === peerId ? dialled : undefined);
    }
  }
  table.remove(1);
  assert.equal(table.byPeerId(0xff_ffff), undefined);
});

test("one of two peers answers to the peer-id of its newest session only", () => {
  const table = new SessionTable(SESSIONS);
  const [older, newer] = [session(3), session(4)];
  table.put(older, 0xab_cdef);
  assert.equal(table.byPeerId(0xab_cdef), older);
  table.put(newer, 0x12_3456);
  table.remove(3);
  assert.equal(table.byPeerId(0x12_3456), newer);
  for (const other of [0xab_cdef, 3, 4]) assert.equal(table.byPeerId(other), undefined);
});

test("removing what is not there changes nothing, a number out of range is refused", () => {
  const table = new SessionTable(SESSIONS);
  table.remove(3);
  assert.equal(table.count, 0);
  for (const index of [0, SESSIONS + 1]) assert.throws(() => table.put(session(index), -1));
});
