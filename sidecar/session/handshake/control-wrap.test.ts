import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import vectors from "../../../test/vectors/control-packets.json" with { type: "json" };
import packetIds from "../../../test/vectors/packet-ids.json" with { type: "json" };
import tlsCrypt from "../../../test/vectors/tls-crypt.json" with { type: "json" };
import type { ControlWrapConfig } from "../../control/tunnel-config.ts";
import { parseControlPacket } from "../../wire/control-packet.ts";
import { createControlWrap } from "./control-wrap.ts";

const staticKey = Buffer.from(vectors.staticKey, "hex");
/** Header, acknowledgements and message id of a reset: the shortest message. */
const header = Buffer.from("380102030405060708", "hex");
const body = Buffer.from("0000000000aabb", "hex");
const packetId = { id: 7, timeSeconds: 0x61d3bf6c };

function stockConfig(kind: string): ControlWrapConfig {
  if (kind === "TlsCrypt") return { kind, key: staticKey };
  // The captured client has direction 1, so its server has 0; --auth was SHA1.
  if (kind === "TlsAuth") return { kind, key: staticKey, direction: 0, digest: "SHA1" };
  return { kind: "None" };
}

test("a packet id is written and read as stock's known answer, under each wrapping", () => {
  const { id, timeSeconds, bytes } = packetIds.long;
  const key = Buffer.alloc(256, 3);
  for (const config of [
    { kind: "TlsCrypt", key },
    { kind: "TlsAuth", key, digest: "SHA1" },
    { kind: "TlsAuth", key, digest: "SHA256" },
    { kind: "TlsAuth", key, digest: "SHA512" },
  ] as const) {
    const datagram = createControlWrap(config, "client").wrap(header, body, { id, timeSeconds });
    // Behind the header, or behind header and HMAC.
    const macBytes =
      config.kind === "TlsCrypt" ? 0 : { SHA1: 20, SHA256: 32, SHA512: 64 }[config.digest];
    const at = header.length + macBytes;
    assert.equal(datagram.toString("hex", at, at + bytes.length / 2), bytes);
    const read = createControlWrap(config, "server").unwrap(datagram)?.packetId;
    assert.deepEqual(read, { id, timeSeconds });
  }
});

for (const vector of vectors.packets) {
  test(`a stock client's packet unwraps at the server's end: ${vector.name}`, () => {
    const wrap = createControlWrap(stockConfig(vector.wrap), "server");
    const datagram = Buffer.from(vector.bytes, "hex");
    const unwrapped = wrap.unwrap(datagram);
    assert(unwrapped !== undefined);
    const packet = parseControlPacket(unwrapped.header, unwrapped.body);
    assert.equal(packet?.sessionId.toString("hex"), vector.sessionId);
    assert.deepEqual([packet?.opcode, packet?.messageId], [vector.opcode, vector.messageId]);
    assert.equal(unwrapped.packetId?.id, vector.packetId);
    assert.equal(unwrapped.packetId?.timeSeconds, vector.packetSeconds);
    assert.deepEqual(datagram, Buffer.from(vector.bytes, "hex"), "the datagram is left as it was");
  });

  test(`a stock client's packet is made anew to the byte: ${vector.name}`, () => {
    const config = stockConfig(vector.wrap);
    const client = config.kind === "TlsAuth" ? { ...config, direction: 1 as const } : config;
    const unwrapped = createControlWrap(config, "server").unwrap(Buffer.from(vector.bytes, "hex"));
    assert(unwrapped !== undefined);
    const again = createControlWrap(client, "client").wrap(
      unwrapped.header,
      unwrapped.body,
      unwrapped.packetId ?? packetId,
    );
    assert.equal(again.toString("hex"), vector.bytes);
  });
}

test("tls-crypt gives stock's bytes for stock's key and plaintext", () => {
  const wrap = createControlWrap(
    { kind: "TlsCrypt", key: Buffer.alloc(256, tlsCrypt.keyByte) },
    "client",
  );
  const wrapped = wrap.wrap(Buffer.alloc(0), Buffer.from(tlsCrypt.plaintextText), {
    id: tlsCrypt.packetId,
    timeSeconds: tlsCrypt.packetSeconds,
  });
  assert.equal(wrapped.toString("hex"), tlsCrypt.wrapped);
});

/** Every wrapping with a MAC, as the configuration of the client's and of the server's end. */
const pairs: readonly (readonly [string, ControlWrapConfig, ControlWrapConfig])[] = [
  ["tls-crypt", { kind: "TlsCrypt", key: staticKey }, { kind: "TlsCrypt", key: staticKey }],
  ...(["SHA1", "SHA256", "SHA512"] as const).flatMap((digest) => {
    const auth = { kind: "TlsAuth", key: staticKey, digest } as const;
    return [
      [`tls-auth ${digest}`, { ...auth, direction: 1 }, { ...auth, direction: 0 }],
      [
        `tls-auth ${digest}, directions swapped`,
        { ...auth, direction: 0 },
        { ...auth, direction: 1 },
      ],
      [`tls-auth ${digest}, no direction`, auth, auth],
    ] as const;
  }),
];

for (const [name, clientConfig, serverConfig] of pairs) {
  const client = createControlWrap(clientConfig, "client");
  const server = createControlWrap(serverConfig, "server");

  test(`${name}: what one end wraps the other unwraps, both ways, for any body`, () => {
    assert(client.isAuthenticated && server.isAuthenticated);
    const random = fc.tuple(
      fc.uint8Array({ minLength: 9, maxLength: 9 }),
      fc.uint8Array({ minLength: 1, maxLength: 1200, size: "max" }),
      fc.integer({ min: 0, max: 0xffff_ffff }),
      fc.integer({ min: 0, max: 0xffff_ffff }),
    );
    fc.assert(
      fc.property(random, ([head, text, id, timeSeconds]) => {
        const sent = {
          header: Buffer.from(head),
          body: Buffer.from(text),
          packetId: { id, timeSeconds },
        };
        for (const [from, to] of [
          [client, server],
          [server, client],
        ] as const) {
          assert.deepEqual(to.unwrap(from.wrap(sent.header, sent.body, sent.packetId)), sent);
        }
      }),
      { numRuns: 40 },
    );
  });

  test(`${name}: a packet with any one bit flipped is refused`, () => {
    const datagram = client.wrap(header, body, packetId);
    for (let bit = 0; bit < datagram.length * 8; bit++) {
      const bad = Buffer.from(datagram);
      bad[bit >>> 3] = (bad[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(server.unwrap(bad), undefined, `bit ${bit}`);
    }
  });

  test(`${name}: a packet of any other length is refused`, () => {
    const datagram = client.wrap(header, body, packetId);
    for (let length = 0; length < datagram.length; length++) {
      assert.equal(server.unwrap(datagram.subarray(0, length)), undefined, `${length}`);
    }
    assert.equal(server.unwrap(Buffer.concat([datagram, Buffer.of(0)])), undefined);
  });

  test(`${name}: another key is refused`, () => {
    const other = createControlWrap(
      { ...serverConfig, key: randomBytes(256) } as ControlWrapConfig,
      "server",
    );
    assert.equal(other.unwrap(client.wrap(header, body, packetId)), undefined);
  });

  const isOneKey = clientConfig.kind === "TlsAuth" && clientConfig.direction === undefined;
  test(`${name}: a packet thrown back at its sender is ${isOneKey ? "verified" : "refused"}`, () => {
    const isTaken = client.unwrap(client.wrap(header, body, packetId)) !== undefined;
    assert.equal(isTaken, isOneKey);
  });
}

test("tls-auth takes neither another digest nor the same direction at both ends", () => {
  const auth = { kind: "TlsAuth", key: staticKey, direction: 1, digest: "SHA256" } as const;
  const datagram = createControlWrap(auth, "client").wrap(header, body, packetId);
  for (const config of [auth, { ...auth, direction: 0, digest: "SHA512" } as const]) {
    assert.equal(createControlWrap(config, "server").unwrap(datagram), undefined);
  }
});

test("no wrapping proves nothing and says so", () => {
  const wrap = createControlWrap({ kind: "None" }, "client");
  assert.equal(wrap.isAuthenticated, false);
  const datagram = wrap.wrap(header, body, packetId);
  assert.deepEqual(datagram, Buffer.concat([header, body]));
  assert.deepEqual(wrap.unwrap(datagram), { header, body });
  for (let length = 0; length <= 9; length++) {
    assert.equal(wrap.unwrap(datagram.subarray(0, length)), undefined);
  }
});

test("random bytes never throw and never verify", () => {
  const wraps = pairs.map(([, , config]) => createControlWrap(config, "server"));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 150, size: "max" }), (array) => {
      for (const wrap of wraps) assert.equal(wrap.unwrap(Buffer.from(array)), undefined);
    }),
    { numRuns: 300 },
  );
});

test("a static key of another size is refused at once", () => {
  for (const length of [0, 255, 257]) {
    const config = { kind: "TlsCrypt", key: Buffer.alloc(length) } as const;
    assert.throws(() => createControlWrap(config, "client"), RangeError);
  }
});
