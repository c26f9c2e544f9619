import assert from "node:assert/strict";
import { type CipherGCMTypes, createCipheriv, randomBytes } from "node:crypto";
import { constants } from "node:os";
import { after, test } from "node:test";
import { CANARY, Harness, ROWS, SLOT_BYTES } from "./lane-harness.ts";
import { Verdict } from "./layout.ts";
import { type Cipher, type KeyWish, keyInstall, keyRemove } from "./native.ts";

const OPCODE = 0x48000007;
const ID_LOW = 0xfffffffe | 0;
const ID_HIGH = 0x00030001;
const SLOT = 100;

const ciphers: Record<Cipher, number> = {
  "AES-256-GCM": 32,
  "AES-128-GCM": 16,
  "CHACHA20-POLY1305": 32,
};
const formats = ["short", "epoch"] as const;
const lengths = [0, 1, 15, 16, 17, 63, 64, 65, 1400, SLOT_BYTES - 28];

const harness = new Harness();
const socket = harness.open({ address: "127.0.0.1" });
harness.setPath(0, { remote: "127.0.0.1", port: socket.port, socket: socket.index });
after(() => keyRemove(SLOT));

function wishFor(cipher: Cipher, format: "short" | "epoch"): KeyWish {
  return {
    slot: SLOT,
    generation: 3,
    cipher,
    key: randomBytes(ciphers[cipher]),
    implicitIv: randomBytes(format === "short" ? 8 : 12),
    format,
  };
}

/** The name in node:crypto; ChaCha20-Poly1305 takes the same calls as GCM. */
function nodeName(cipher: Cipher): CipherGCMTypes {
  return cipher.toLowerCase() as CipherGCMTypes;
}

function headerOf(format: "short" | "epoch"): Buffer {
  const header = Buffer.alloc(format === "short" ? 8 : 12);
  header.writeInt32BE(OPCODE, 0);
  if (format === "epoch") header.writeInt32BE(ID_HIGH, 4);
  header.writeInt32BE(ID_LOW, header.length - 4);
  return header;
}

function nonceOf(wish: KeyWish, header: Buffer): Buffer {
  if (wish.format === "short") return Buffer.concat([header.subarray(4), wish.implicitIv]);
  return Buffer.from(wish.implicitIv.map((byte, at) => byte ^ (header[4 + at] ?? 0)));
}

/** The packet as the specification has it, by node:crypto. */
function sealByNode(wish: KeyWish, text: Uint8Array): Buffer {
  const header = headerOf(wish.format);
  const cipher = createCipheriv(nodeName(wish.cipher), wish.key, nonceOf(wish, header), {
    authTagLength: 16,
  });
  cipher.setAAD(header);
  const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
  const tag = cipher.getAuthTag();
  return Buffer.concat(wish.format === "short" ? [header, tag, sealed] : [header, sealed, tag]);
}

function order(row: number, text: Uint8Array): void {
  harness.place(harness.orders, row, text);
  harness.set(harness.orders, row, {
    key: SLOT,
    generation: 3,
    opcode: OPCODE,
    idLow: ID_LOW,
    idHigh: ID_HIGH,
  });
}

for (const cipher of Object.keys(ciphers) as Cipher[]) {
  for (const format of formats) {
    test(`${cipher} in the ${format} format is sealed as node:crypto seals it`, () => {
      const wish = wishFor(cipher, format);
      assert.equal(keyInstall(wish), 0);
      for (const length of lengths) {
        const text = randomBytes(length);
        order(0, text);
        assert.equal(harness.lane.send(1), 1);
        assert.equal(harness.word(harness.orders, 0, "verdict"), Verdict.done);
        harness.receive(socket.index, 1);
        assert.deepEqual(
          Buffer.from(harness.bytes(harness.received, 0)),
          sealByNode(wish, text),
          `${length} bytes`,
        );
      }
    });

    test(`${cipher} in the ${format} format opens what node:crypto sealed, in place`, () => {
      const wish = wishFor(cipher, format);
      assert.equal(keyInstall(wish), 0);
      for (const [row, length] of lengths.entries()) {
        harness.slab.fill(CANARY, row * SLOT_BYTES, (row + 1) * SLOT_BYTES);
        harness.place(harness.received, row, sealByNode(wish, Buffer.alloc(length, row)));
        harness.set(harness.received, row, { key: SLOT, generation: 3, verdict: Verdict.open });
      }
      assert.equal(harness.lane.openBatch(0, lengths.length), lengths.length);
      for (const [row, length] of lengths.entries()) {
        assert.equal(harness.word(harness.received, row, "verdict"), Verdict.opened);
        assert.deepEqual(
          Buffer.from(harness.bytes(harness.received, row)),
          Buffer.alloc(length, row),
        );
        const last = (row + 1) * SLOT_BYTES - 1;
        if (length < 1400) assert.equal(harness.slab[last], CANARY);
      }
    });
  }
}

test("what is changed, too short, or of another key is refused by its own verdict", () => {
  const wish = wishFor("AES-256-GCM", "short");
  assert.equal(keyInstall(wish), 0);
  const packet = sealByNode(wish, Buffer.from("a frame"));
  const rows = [packet, packet, packet, packet, packet.subarray(0, 23), packet];
  for (const [row, bytes] of rows.entries()) {
    harness.place(harness.received, row, bytes);
    harness.set(harness.received, row, { key: SLOT, generation: 3, verdict: Verdict.open });
  }
  harness.slab[SLOT_BYTES + packet.length - 1] = (packet[packet.length - 1] ?? 0) ^ 1;
  harness.set(harness.received, 2, { generation: 2 });
  harness.set(harness.received, 3, { key: SLOT + 1 });
  harness.set(harness.received, 5, { verdict: Verdict.none });
  assert.equal(harness.lane.openBatch(0, rows.length), 1);
  const verdicts = rows.map((_, row) => harness.word(harness.received, row, "verdict"));
  assert.deepEqual(verdicts, [
    Verdict.opened,
    Verdict.authenticationFailed,
    Verdict.keyStale,
    Verdict.keyStale,
    Verdict.malformed,
    Verdict.none,
  ]);
});

test("a removed key neither opens nor seals", () => {
  assert.equal(keyInstall(wishFor("AES-128-GCM", "epoch")), 0);
  assert.equal(keyRemove(SLOT), 0);
  assert.equal(keyRemove(SLOT), constants.errno.ENOENT);
  order(0, Buffer.from("x"));
  assert.equal(harness.lane.send(1), 0);
  assert.equal(harness.word(harness.orders, 0, "verdict"), -126);
});

test("keys that do not go with cipher, format or table are refused", () => {
  const wish = wishFor("AES-256-GCM", "short");
  const { EINVAL } = constants.errno;
  assert.equal(keyInstall({ ...wish, key: randomBytes(16) }), EINVAL);
  assert.equal(keyInstall({ ...wish, implicitIv: randomBytes(12) }), EINVAL);
  assert.equal(keyInstall({ ...wish, slot: 4096 }), EINVAL);
  assert.equal(keyInstall({ ...wish, slot: -1 }), EINVAL);
  assert.equal(keyInstall({ ...wish, cipher: "BF-CBC" as Cipher }), EINVAL);
  assert.equal(keyInstall({ ...wish, slot: 4095 }), 0);
  assert.equal(keyRemove(4095), 0);
});

test("a full table of orders is sealed and sent, and opens again", () => {
  const wish = wishFor("AES-256-GCM", "short");
  assert.equal(keyInstall(wish), 0);
  for (let row = 0; row < ROWS; row++) {
    order(row, Buffer.alloc(1000, row));
    harness.set(harness.orders, row, { idLow: row + 1 });
  }
  assert.equal(harness.lane.send(ROWS), ROWS);
  harness.receive(socket.index, ROWS);
  for (let row = 0; row < ROWS; row++) {
    harness.set(harness.received, row, { key: SLOT, generation: 3, verdict: Verdict.open });
  }
  assert.equal(harness.lane.openBatch(0, ROWS), ROWS);
  for (let row = 0; row < ROWS; row++) {
    const packet = Buffer.from(harness.bytes(harness.received, row));
    assert.ok(packet.equals(Buffer.alloc(1000, row)), `row ${row}`);
  }
});

test("a packet over several paths is the same bytes on each", () => {
  const wish = wishFor("AES-256-GCM", "short");
  assert.equal(keyInstall(wish), 0);
  const other = harness.open({ address: "127.0.0.2" });
  harness.setPath(1, { remote: "127.0.0.1", port: socket.port, socket: other.index });
  const text = randomBytes(300);
  order(0, text);
  order(1, text);
  harness.set(harness.orders, 1, { start: 0, path: 1 });
  assert.equal(harness.lane.send(2), 2);
  harness.receive(socket.index, 2);
  const sealed = sealByNode(wish, text);
  assert.deepEqual(Buffer.from(harness.bytes(harness.received, 0)), sealed);
  assert.deepEqual(Buffer.from(harness.bytes(harness.received, 1)), sealed);
  assert.equal(harness.lane.detachSocket(other.index), 0);
});
