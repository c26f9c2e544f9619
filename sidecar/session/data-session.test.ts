import assert from "node:assert/strict";
import { test } from "node:test";
import packetIds from "../../test/vectors/packet-ids.json" with { type: "json" };
import { DataSession, KEY_IDS } from "./data-session.ts";
import { NO_ID } from "./key-usage.ts";

const window = { mayAccept: () => 0, accept: () => 0, expectLate: () => {} };

function session(peerId = 0x123456): DataSession {
  return new DataSession({
    index: 3,
    peerId,
    pingIntervalMs: 0,
    timeoutMs: 0,
    hasProbes: false,
    nowMs: 0,
  });
}

function install(target: DataSession, keyId: number): void {
  const open = { slot: 2 * keyId, generation: 100 + keyId };
  const seal = { slot: 2 * keyId + 1, generation: 200 + keyId };
  target.installKey(keyId, { open, seal, window });
}

/** A session whose next packet id is `id`. */
function sessionAt(id: number): DataSession {
  const target = session();
  install(target, 0);
  target.sendWith(0, id);
  return target;
}

/** Has used up so many blocks of its key: packets of 2^30 bytes, and one for the rest. */
function sessionAfter(blocks: number): DataSession {
  const target = sessionAt(1);
  const hugeBytes = 2 ** 30;
  const hugeBlocks = hugeBytes / 16 + 1;
  for (let left = blocks; left > 0; left -= hugeBlocks) {
    target.takeId(left > hugeBlocks ? hugeBytes : (left - 1) * 16);
  }
  return target;
}

test("ids run from 1 and each is given once", () => {
  const target = session();
  install(target, 0);
  target.sendWith(0);
  assert.deepEqual(
    [1, 2, 3].map(() => target.takeId(100)),
    [1, 2, 3],
  );
});

test("the first and the last short packet id are stock's, and nothing comes behind", () => {
  const { short, shortLast } = packetIds;
  assert.equal(sessionAt(1).takeId(1), short.id);
  const target = sessionAt(shortLast);
  assert.deepEqual([target.takeId(1), target.takeId(1)], [shortLast, NO_ID]);
});

test("ids are given up to 2^32-1, then never again", () => {
  const target = sessionAt(0xffff_fffe);
  const ids = [1, 2, 3, 4, 5].map(() => target.takeId(1));
  assert.deepEqual(ids, [0xffff_fffe, 0xffff_ffff, NO_ID, NO_ID, NO_ID]);
});

test("a key that was asked for too early is asked for again", () => {
  const target = sessionAt(0xf000_0000);
  assert(target.needsNewKey());
  assert(!target.needsNewKey());
  assert(target.needsNewKeyStill());
  assert(!target.needsNewKey());
  target.sendWith(0);
  assert(!target.needsNewKeyStill());
});

test("ids are unsigned across 2^31", () => {
  const target = sessionAt(0x7fff_ffff);
  assert.deepEqual(
    [1, 2].map(() => target.takeId(1)),
    [0x7fff_ffff, 0x8000_0000],
  );
});

test("a new key is asked for once, 2^28 ids before the end", () => {
  const before = 2 ** 32 - 2 ** 28 - 1;
  const target = sessionAt(before);
  assert(!target.needsNewKey());
  target.takeId(1);
  assert(target.needsNewKey());
  assert(!target.needsNewKey(), "once");
  target.takeId(1);
  assert(!target.needsNewKey(), "once for this key");
  target.sendWith(0);
  assert(!target.needsNewKey(), "a new key has all its ids");
});

test("a new key is asked for at 7/8 of the cipher's 2^36 blocks, one of them per packet", () => {
  const blocksMax = 2 ** 36 * (7 / 8);
  for (const [bytes, blocks] of [
    [0, 1],
    [1, 2],
    [15, 2],
    [16, 2],
    [17, 3],
    [32, 3],
    [33, 4],
  ] as const) {
    for (const [short, isNeeded] of [
      [0, true],
      [1, false],
    ] as const) {
      const target = sessionAfter(blocksMax - blocks - short);
      assert(!target.needsNewKey());
      target.takeId(bytes);
      assert.equal(target.needsNewKey(), isNeeded, `${bytes} bytes, ${short} block before`);
    }
  }
});

test("packets are sealed with a key from its sendWith on, under its key id and the peer-id", () => {
  const target = session(0xffabcdef);
  install(target, 0);
  assert.equal(target.sealSlot, -1, "installed is not sent with");
  for (let keyId = 0; keyId < KEY_IDS; keyId++) {
    install(target, keyId);
    target.sendWith(keyId);
    assert.deepEqual([target.sealSlot, target.sealGeneration], [2 * keyId + 1, 200 + keyId]);
    // P_DATA_V2 is 9; the peer-id has 24 bits.
    const word = ((9 << 27) | (keyId << 24) | 0xabcdef) >>> 0;
    assert.equal(target.opcodeWord >>> 0, word);
    assert.equal(target.takeId(1), 1);
  }
});

test("every installed key is received with, until it is retired", () => {
  const target = session();
  install(target, 0);
  install(target, 1);
  target.sendWith(0);
  const [first, second, third] = [0, 1, 2].map((keyId) => target.placeOf(keyId, 0));
  assert(first !== undefined && second !== undefined && third !== undefined);
  const slots = (): unknown[] => [first, second, third].map((place) => target.openSlots[place]);
  assert.deepEqual(slots(), [0, 2, -1]);
  assert.deepEqual([target.openGenerations[first], target.openGenerations[second]], [100, 101]);
  target.sendWith(1);
  target.retireKey(0);
  assert.deepEqual(slots(), [-1, 2, -1]);
  assert.deepEqual([target.windows[first], target.windows[second]], [undefined, window]);
  assert.equal(target.sealSlot, 3, "the key in use stays");
});

test("retiring the key that is sent with leaves none, and retiring nothing changes nothing", () => {
  const target = session();
  install(target, 2);
  target.sendWith(2);
  target.retireKey(5);
  assert.equal(target.sealSlot, 5);
  target.retireKey(2);
  assert.equal(target.sealSlot, -1);
  target.retireKey(2);
  assert.equal(target.sealSlot, -1);
});

function epochs(target: DataSession, keyId: number): void {
  target.installEpochs(keyId);
  for (let epoch = 1; epoch <= 5; epoch++) {
    target.receiveEpoch(keyId, { epoch, open: { slot: 10 + epoch, generation: epoch }, window });
  }
  target.sendEpoch(keyId, 1, { slot: 21, generation: 1 });
  target.sendEpoch(keyId, 2, { slot: 22, generation: 2 });
}

test("each epoch has a place, found by the id's high word", () => {
  const target = session();
  epochs(target, 3);
  for (let epoch = 1; epoch <= 5; epoch++) {
    const place = target.placeOf(3, (epoch << 16) | 0xffff);
    assert.equal(target.openSlots[place], 10 + epoch);
    assert.equal(target.openEpochs[place], epoch);
  }
  // Eight epochs on lies the same place: the packet is refused, for the place holds another epoch.
  assert.notEqual(target.openEpochs[target.placeOf(3, 9 << 16)], 9);
  target.retireKey(3);
  assert.equal(target.windows[target.placeOf(3, 1 << 16)], undefined);
});

test("sending goes on in the next epoch, from packet id 1, and to each epoch once", () => {
  const target = session();
  epochs(target, 0);
  target.sendWith(0);
  assert.equal(target.sealEpochWord, 1 << 16);
  assert.equal(target.takeId(100), 1);
  assert.equal(target.takeId(100), 2);
  assert.equal(target.advanceEpoch(0), 2);
  assert.deepEqual([target.sealSlot, target.sealEpochWord], [22, 2 << 16]);
  assert.equal(target.takeId(100), 1);
  assert.equal(target.advanceEpoch(0), 0, "the third is not here yet");
  target.sendEpoch(0, 2, { slot: 22, generation: 2 });
  assert.equal(target.advanceEpoch(0), 0, "the second was gone to");
  assert.equal(target.takeId(100), 2);
});

test("an epoch's ids go beyond 32 bits, a plain key's do not", () => {
  const target = session();
  epochs(target, 0);
  target.sendWith(0, 2 ** 32);
  assert.equal(target.takeId(100), 2 ** 32);
  install(target, 1);
  target.sendWith(1, 2 ** 32);
  assert.equal(target.takeId(100), NO_ID);
});

test("the first authentic packet starts sending once, and an order to send starts no id again", () => {
  const target = session();
  install(target, 0);
  target.hearFirst(0);
  assert.equal(target.sealSlot, target.sealSlots[0]);
  assert.equal(target.takeId(1), 1);
  assert.equal(target.beginSending(0), false);
  target.hearFirst(0);
  assert.equal(target.takeId(1), 2);
  install(target, 1);
  assert.equal(target.beginSending(1), true);
  assert.equal(target.takeId(1), 1);
  target.retireKey(1);
  assert.equal(target.sealSlot, -1);
  target.hearFirst(0);
  assert.equal(target.sealSlot, -1, "a key that was sent with before is not begun again");
});

test("a packet under a key that cannot be sent with starts nothing", () => {
  const target = session();
  target.hearFirst(3);
  assert.equal(target.sealSlot, -1);
});
