import assert from "node:assert/strict";
import { createCipheriv, createHmac, randomBytes } from "node:crypto";
import { after, test } from "node:test";
import fc from "fast-check";
import vector from "../../../test/vectors/data-packets.json" with { type: "json" };
import prf from "../../../test/vectors/tls1-prf.json" with { type: "json" };
import { Harness } from "../../native/lane-harness.ts";
import { Verdict } from "../../native/layout.ts";
import { keyInstall, keyRemove } from "../../native/native.ts";
import { DATA_CIPHERS } from "./data-ciphers.ts";
import {
  type DirectionKey,
  expandKeyMaterial,
  KEY_MATERIAL_BYTES,
  splitKeyMaterial,
  tls1Prf,
} from "./data-keys.ts";

const SLOT = 4000;
const material = Buffer.from(vector.keyMaterial, "hex");
const plaintext = Buffer.from(vector.plaintextText);
after(() => keyRemove(SLOT));

/** Opens one packet by the addon; the plaintext, or the verdict that says why not. */
function openByAddon(
  packet: Buffer,
  key: DirectionKey,
  format: "short" | "epoch",
): Buffer | number {
  const harness = new Harness();
  const wish = { slot: SLOT, generation: 1, cipher: "AES-256-GCM", format, ...key } as const;
  assert.equal(keyInstall(wish), 0);
  harness.place(harness.received, 0, packet);
  harness.set(harness.received, 0, { key: SLOT, generation: 1, verdict: Verdict.open });
  harness.lane.openBatch(0, 1);
  const verdict = harness.word(harness.received, 0, "verdict");
  return verdict === Verdict.opened ? Buffer.from(harness.bytes(harness.received, 0)) : verdict;
}

function seal(header: Buffer, key: Buffer, nonce: Buffer): { tag: Buffer; text: Buffer } {
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(header);
  const text = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return { tag: cipher.getAuthTag(), text };
}

test("the TLS 1 PRF gives stock's known answer, and every prefix of it", () => {
  const secret = Buffer.from(prf.secretText);
  const seed = Buffer.from(prf.seedText);
  for (const length of [0, 1, 15, 16, 17, 19, 20, 21, 31, 32]) {
    assert.equal(tls1Prf(secret, seed, length).toString("hex"), prf.result.slice(0, length * 2));
  }
});

test("the halves of an odd secret share its middle byte (RFC 2246, section 5)", () => {
  const pHash = (digest: string, secret: Buffer): Buffer => {
    const hmac = (data: Buffer) => createHmac(digest, secret).update(data).digest();
    const first = hmac(Buffer.from("seed"));
    return hmac(Buffer.concat([first, Buffer.from("seed")])).subarray(0, 16);
  };
  const md5 = pHash("md5", Buffer.of(1, 2, 3));
  const sha1 = pHash("sha1", Buffer.of(3, 4, 5));
  const wanted = Buffer.from(md5.map((byte, at) => byte ^ (sha1[at] ?? 0)));
  assert.deepEqual(tls1Prf(Buffer.of(1, 2, 3, 4, 5), Buffer.from("seed"), 16), wanted);
});

test("stock's short data packet is made with our split of its key, and opens in the addon", () => {
  const { send } = splitKeyMaterial(material, "AES-256-GCM", "client");
  const header = Buffer.from(vector.header + vector.short.packetId, "hex");
  const nonce = Buffer.concat([header.subarray(4), send.implicitIv]);
  const { tag, text } = seal(header, send.key, nonce);
  assert.equal(tag.toString("hex"), vector.short.tag);
  const { offset, bytes } = vector.short.ciphertextAt;
  const packet = Buffer.concat([header, tag, text]);
  assert.equal(packet.subarray(4 + offset).toString("hex", 0, 6), bytes);
  assert.deepEqual(openByAddon(packet, send, "short"), plaintext);
  packet[packet.length - 1] = (packet.at(-1) ?? 0) ^ 1;
  assert.equal(openByAddon(packet, send, "short"), Verdict.authenticationFailed);
});

test("stock's epoch data packet opens in the addon with the key of its epoch", () => {
  const { key, implicitIv } = epochKey(material.subarray(0, 32), 4);
  const header = Buffer.from(vector.header + vector.epoch.packetId, "hex");
  const nonce = Buffer.from(implicitIv.map((byte, at) => byte ^ (header[4 + at] ?? 0)));
  const { tag, text } = seal(header, key, nonce);
  assert.equal(tag.toString("hex"), vector.epoch.tag);
  const packet = Buffer.concat([header, text, tag]);
  const { offset, bytes } = vector.epoch.ciphertextAt;
  assert.equal(packet.subarray(4 + offset).toString("hex", 0, 6), bytes);
  assert.deepEqual(openByAddon(packet, { key, implicitIv }, "epoch"), plaintext);
});

/** RFC 8446's HKDF-Expand-Label with OpenVPN's prefix, over the addon's epoch format. */
function epochKey(first: Buffer, epoch: number): DirectionKey {
  const expand = (secret: Buffer, label: string, length: number): Buffer => {
    const name = Buffer.from(`ovpn ${label}`);
    const info = Buffer.concat([Buffer.of(0, length, name.length), name, Buffer.of(0)]);
    // Expand alone: one block of HMAC over info and 1 (RFC 5869, section 2.3).
    return createHmac("sha256", secret)
      .update(info)
      .update(Buffer.of(1))
      .digest()
      .subarray(0, length);
  };
  let secret = first;
  for (let count = 1; count < epoch; count++) secret = expand(secret, "datakey upd", 32);
  return { key: expand(secret, "data_key", 32), implicitIv: expand(secret, "data_iv", 12) };
}

test("the first half of the material is client to server, the second server to client", () => {
  const whole = Buffer.from(Array.from({ length: KEY_MATERIAL_BYTES }, (_, at) => at));
  for (const cipher of DATA_CIPHERS) {
    const keyBytes = cipher === "AES-128-GCM" ? 16 : 32;
    const client = splitKeyMaterial(whole, cipher, "client");
    const server = splitKeyMaterial(whole, cipher, "server");
    assert.deepEqual(client.send, {
      key: whole.subarray(0, keyBytes),
      implicitIv: whole.subarray(64, 72),
    });
    assert.deepEqual(client.receive, {
      key: whole.subarray(128, 128 + keyBytes),
      implicitIv: whole.subarray(192, 200),
    });
    assert.deepEqual(server, { cipher, send: client.receive, receive: client.send });
  }
});

test("keys do not share memory with the material or with each other", () => {
  const whole = randomBytes(KEY_MATERIAL_BYTES);
  const one = splitKeyMaterial(whole, "AES-256-GCM", "client");
  const before = Buffer.from(one.send.key);
  whole.fill(0);
  one.receive.key.fill(0);
  assert.deepEqual(one.send.key, before);
});

test("material of another size is refused", () => {
  for (const length of [0, 255, 257]) {
    assert.throws(
      () => splitKeyMaterial(Buffer.alloc(length), "AES-256-GCM", "client"),
      RangeError,
    );
  }
});

test("both ends expand the same keys, and every input changes them", () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const inputs = fc.tuple(
    bytes(48),
    bytes(32),
    bytes(32),
    bytes(32),
    bytes(32),
    bytes(8),
    bytes(8),
  );
  const expand = (all: readonly Uint8Array[]): string => {
    const [preMaster, client1, client2, server1, server2, clientId, serverId] = all.map((one) =>
      Buffer.from(one),
    ) as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];
    const texts = { options: "", username: "", password: "", peerInfo: "" };
    return expandKeyMaterial({
      client: { preMaster, random1: client1, random2: client2, ...texts },
      server: { random1: server1, random2: server2, ...texts },
      clientSessionId: clientId,
      serverSessionId: serverId,
    }).toString("hex");
  };
  fc.assert(
    fc.property(inputs, fc.nat(1000), (all, at) => {
      const keys = expand(all);
      assert.equal(keys.length, 2 * KEY_MATERIAL_BYTES);
      assert.equal(expand(all), keys);
      for (let index = 0; index < all.length; index++) {
        const changed = all.map((one) => Uint8Array.from(one));
        const target = changed[index] as Uint8Array;
        target[at % target.length] = (target[at % target.length] ?? 0) ^ 0x80;
        assert.notEqual(expand(changed), keys, `input ${index}`);
      }
    }),
    { numRuns: 30 },
  );
});
