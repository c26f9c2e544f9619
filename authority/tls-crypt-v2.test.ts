/** tls-crypt-v2 keys: what stock OpenVPN printed is read, and printed the same; damage is refused. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import fc from "fast-check";
import { StaticKeyError } from "./authority-error.ts";
import {
  generateClientWrapKey,
  generateServerWrapKey,
  parseClientWrapKey,
  parseServerWrapKey,
  printClientWrapKey,
  printServerWrapKey,
  trailingWrappedKey,
  unwrapClientKey,
  WRAPPED_KEY_BYTES_MAX,
  wrapClientKey,
} from "./tls-crypt-v2.ts";

interface KeySet {
  readonly serverKey: string;
  readonly clientKeys: readonly { readonly text: string; readonly peer?: string }[];
}

const vectors = JSON.parse(
  await readFile(new URL("../test/vectors/tls-crypt-v2.json", import.meta.url), "utf8"),
) as { readonly sets: readonly KeySet[] };

test("keys of stock OpenVPN are read, unwrapped and printed as they were", () => {
  for (const { serverKey, clientKeys } of vectors.sets) {
    const server = parseServerWrapKey(serverKey);
    assert.equal(printServerWrapKey(server), serverKey);
    for (const { text, peer } of clientKeys) {
      const client = parseClientWrapKey(text);
      assert.equal(printClientWrapKey(client), text);
      const unwrapped = unwrapClientKey(server, client.wrapped);
      assert.deepEqual(unwrapped?.key, Buffer.from(client.key));
      assert.equal(unwrapped.peer, peer);
    }
  }
});

test("a wrapped key of another server key is refused", () => {
  const client = generateClientWrapKey(generateServerWrapKey(), "box-7");
  assert.equal(unwrapClientKey(generateServerWrapKey(), client.wrapped), undefined);
});

test("a wrapped key with any byte changed, cut or added is refused", () => {
  const server = generateServerWrapKey();
  const { wrapped } = generateClientWrapKey(server, "box-7");
  assert.equal(unwrapClientKey(server, wrapped)?.peer, "box-7");
  for (let index = 0; index < wrapped.length; index++) {
    const broken = wrapped.slice();
    broken[index] = (broken[index] ?? 0) ^ 1;
    assert.equal(unwrapClientKey(server, broken), undefined, `byte ${index}`);
    assert.equal(unwrapClientKey(server, wrapped.slice(0, index)), undefined, `${index} bytes`);
  }
  assert.equal(unwrapClientKey(server, Buffer.concat([wrapped, Buffer.of(0)])), undefined);
});

test("any metadata that fits comes back under the tag; longer is refused", () => {
  const server = generateServerWrapKey();
  const key = new Uint8Array(256).fill(7);
  const most = WRAPPED_KEY_BYTES_MAX - 290;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: most }), (metadata) => {
      const wrapped = wrapClientKey(server, key, metadata);
      assert.deepEqual(unwrapClientKey(server, wrapped)?.key, Buffer.from(key));
    }),
    { numRuns: 50 },
  );
  assert.throws(() => wrapClientKey(server, key, new Uint8Array(most + 1)), StaticKeyError);
});

test("the wrapped key behind a packet is found by its length, and nothing else is", () => {
  const { wrapped } = generateClientWrapKey(generateServerWrapKey(), "box-7");
  const datagram = Buffer.concat([Buffer.alloc(54), wrapped]);
  assert.deepEqual(trailingWrappedKey(datagram), Buffer.from(wrapped));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1300 }), (bytes) => {
      const found = trailingWrappedKey(Buffer.from(bytes));
      assert(found === undefined || found.length < bytes.length);
    }),
  );
});

test("texts that are no such keys are refused without being quoted", () => {
  const server = printServerWrapKey(generateServerWrapKey());
  for (const text of [
    "",
    server.slice(0, 80),
    server.replace(/[A-Za-z0-9+/]{4}\n/, "\n"),
    "secret",
  ]) {
    assert.throws(
      () => parseServerWrapKey(text),
      (error) => error instanceof StaticKeyError && !error.message.includes("secret"),
    );
  }
  assert.throws(() => parseClientWrapKey(server), StaticKeyError);
});
