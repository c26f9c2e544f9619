import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  KEY_METHOD_BYTES_MAX,
  type KeyMethodMessage,
  parseKeyMethod,
  serialiseKeyMethod,
} from "./key-method.ts";

const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array));
const text = fc.oneof(
  fc.constant(""),
  fc.string({ maxLength: 60, unit: "grapheme" }).map((raw) => raw.replaceAll("\0", "")),
);
const strings = { options: text, username: text, password: text, peerInfo: text };
const randoms = { random1: bytes(32), random2: bytes(32) };
/** As an object literal: fast-check makes records without a prototype. */
const plain = <T extends object>(record: T): T => ({ ...record });
const ends: Record<"client" | "server", fc.Arbitrary<KeyMethodMessage>> = {
  client: fc.record({ preMaster: bytes(48), ...randoms, ...strings }).map(plain),
  server: fc.record({ ...randoms, ...strings }).map(plain),
};

const message = {
  random1: Buffer.alloc(32, 1),
  random2: Buffer.alloc(32, 2),
  options: "V4,dev-type tap",
  username: "",
  password: "",
  peerInfo: "",
};

for (const from of ["client", "server"] as const) {
  test(`what a ${from} serialises is read back, and what follows is left alone`, () => {
    fc.assert(
      fc.property(ends[from], fc.uint8Array({ maxLength: 9 }), (sent, rest) => {
        const wire = serialiseKeyMethod(sent);
        const read = parseKeyMethod(Buffer.concat([wire, rest]), from);
        assert.deepEqual(read, { message: sent, bytesRead: wire.length });
      }),
      { numRuns: 300 },
    );
  });

  test(`a ${from}'s message is refused as soon as its first five bytes are wrong`, () => {
    const wire = serialiseKeyMethod({ ...message, preMaster: Buffer.alloc(48, 3) });
    for (const at of [0, 1, 2, 3, 4]) {
      const bad = Buffer.from(wire);
      bad[at] = at === 4 ? 0x21 : 1;
      assert.equal(parseKeyMethod(bad, from), "malformed");
    }
    // The high half of the method byte holds flags.
    const flagged = Buffer.from(wire);
    flagged[4] = 0xf2;
    assert.notEqual(parseKeyMethod(flagged, from), "malformed");
  });

  test(`random bytes as a ${from}'s message never throw`, () => {
    const prefix = Buffer.of(0, 0, 0, 0, 2);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400, size: "max" }),
        fc.boolean(),
        (array, isPrefixed) => {
          parseKeyMethod(isPrefixed ? Buffer.concat([prefix, array]) : Buffer.from(array), from);
        },
      ),
      { numRuns: 1000 },
    );
  });
}

test("a client's message is incomplete at every length but its own", () => {
  fc.assert(
    fc.property(ends.client, (sent) => {
      const wire = serialiseKeyMethod(sent);
      for (let length = 0; length < wire.length; length++) {
        assert.equal(parseKeyMethod(wire.subarray(0, length), "client"), "incomplete", `${length}`);
      }
    }),
    { numRuns: 50 },
  );
});

test("a server's message may end behind its options, and inside nothing", () => {
  fc.assert(
    fc.property(ends.server, (sent) => {
      const wire = serialiseKeyMethod(sent);
      const optional = [sent.options, sent.username, sent.password].map(
        (_, index, all) =>
          69 +
          all
            .slice(0, index + 1)
            .reduce((sum, one) => sum + 2 + (one === "" ? 0 : Buffer.byteLength(one) + 1), 0),
      );
      for (let length = 0; length < wire.length; length++) {
        const read = parseKeyMethod(wire.subarray(0, length), "server");
        if (!optional.includes(length)) assert.equal(read, "incomplete", `${length}`);
        else assert(typeof read === "object" && read.message.options === sent.options);
      }
    }),
    { numRuns: 50 },
  );
});

test("the layout is the one of the specification", () => {
  const wire = serialiseKeyMethod({ ...message, preMaster: Buffer.alloc(48, 3) });
  assert.deepEqual(
    wire.toString("hex"),
    [
      "0000000002",
      "03".repeat(48),
      "01".repeat(32),
      "02".repeat(32),
      "0010",
      Buffer.from("V4,dev-type tap\0").toString("hex"),
      "0000".repeat(3),
    ].join(""),
  );
  assert.equal(serialiseKeyMethod(message).length, wire.length - 48);
});

test("a string that does not end in NUL is malformed", () => {
  const wire = serialiseKeyMethod(message);
  wire[69 + 2 + 15] = 0x41;
  assert.equal(parseKeyMethod(wire, "server"), "malformed");
});

test("more bytes than any message has are malformed before the message is complete", () => {
  const endless = Buffer.concat([
    serialiseKeyMethod(message).subarray(0, 69),
    Buffer.of(0xff, 0xff),
    Buffer.alloc(KEY_METHOD_BYTES_MAX),
  ]);
  assert.equal(parseKeyMethod(endless.subarray(0, KEY_METHOD_BYTES_MAX), "server"), "incomplete");
  assert.equal(
    parseKeyMethod(endless.subarray(0, KEY_METHOD_BYTES_MAX + 1), "server"),
    "malformed",
  );
});

test("what was read does not change with the buffer that it was read from", () => {
  const wire = serialiseKeyMethod(message);
  const read = parseKeyMethod(wire, "server");
  assert(typeof read === "object");
  wire.fill(0xee);
  assert.deepEqual(read.message, message);
});
