import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Opcode } from "../../wire/control-packet.ts";
import { HAND_WINDOW_MS, nextKeyId, SILENCE_MS } from "./control-session.ts";
import { DATA_CIPHERS } from "./data-ciphers.ts";
import { configOf, createIdentities } from "./identities-harness.ts";
import { closePairs, type PairOptions, rewriting, SessionPair } from "./session-pair-harness.ts";
import type { TlsEngineFactory } from "./tls-engine.ts";

const identities = await createIdentities();
afterEach(closePairs);
/** Longer than an old key is kept. */
const OLD_KEY_MS = 66_000;

function pairOf(change: Partial<PairOptions> = {}): SessionPair {
  return new SessionPair({
    client: configOf(identities, "client"),
    server: configOf(identities, "server"),
    ...change,
  });
}

/** Both ends have the same keys of a key id, crosswise. */
function assertSameKeys(pair: SessionPair, keyId: number): void {
  const client = pair.clientLog.keys.get(keyId);
  const server = pair.serverLog.keys.get(keyId);
  assert(client !== undefined && server !== undefined, `both have key ${keyId}`);
  assert.deepEqual([client.send, client.receive], [server.receive, server.send]);
  assert.equal(client.cipher, server.cipher);
  assert.notDeepEqual(client.send, client.receive);
}

async function bringUp(pair: SessionPair): Promise<void> {
  const isUp = await pair.run(() => pair.isUp || pair.hasEnded);
  assert(isUp && pair.isUp, `${pair.clientLog.cause}: ${pair.clientLog.reason}`);
  assertSameKeys(pair, 0);
}

/** Runs until both ends send with this many keys more than before. */
async function renewed(pair: SessionPair, switches: number): Promise<void> {
  const isDone = await pair.run(
    () => pair.clientLog.switches >= switches && pair.serverLog.switches >= switches,
    300_000,
  );
  assert(isDone, `${pair.clientLog.events} | ${pair.serverLog.events}`);
}

for (const [name, tls] of [
  ["TLSv1.3", {}],
  ["TLSv1.2", { tlsVersionMax: "1.2" as const }],
] as const) {
  test(`a ${name} handshake gives both ends the same keys and agreement`, async () => {
    const pair = pairOf({ client: configOf(identities, "client", tls) });
    await bringUp(pair);
    const { agreement } = pair.clientLog;
    assert.equal(agreement?.tlsVersion, name);
    assert.deepEqual(
      [agreement?.cipher, agreement?.commonName, agreement?.peerId, agreement?.remoteMtuBytes],
      ["AES-256-GCM", "gateway", 5, 1500],
    );
    assert.equal(agreement?.pushed?.usesKeyExport, true);
    assert.equal(pair.serverLog.agreement?.commonName, "box");
    assert.equal(pair.serverLog.agreement?.tlsVersion, name);
    assert.equal(pair.serverLog.agreement?.remoteMtuBytes, 1500);
    assert.deepEqual(pair.clientLog.events, ["established", "install 0", "send 0"]);
    assert.deepEqual(pair.serverLog.events, ["established", "install 0", "send 0"]);
    assert.deepEqual(pair.refused, []);
    pair.close();
    assert.equal(pair.clientLog.events.at(-1), "retire 0");
  });
}

for (const [name, wrap] of [
  ["none", { kind: "None" }],
  ["tls-auth", { kind: "TlsAuth", key: Buffer.alloc(256, 9), digest: "SHA256" }],
] as const) {
  test(`a handshake completes with ${name} as wrapping`, async () => {
    const pair = pairOf({
      client: configOf(identities, "client", { wrap }),
      server: configOf(identities, "server", { wrap }),
    });
    await bringUp(pair);
    pair.close();
  });
}

test("a handshake completes under 30 % loss, with doubled and overtaking packets", async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const pair = pairOf({ loss: 0.3, seed });
    try {
      await bringUp(pair);
      const others = pair.refused.filter(
        (verdict) => !["replayed", "unexpected"].includes(verdict),
      );
      assert.deepEqual(others, []);
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    } finally {
      pair.close();
    }
  }
});

for (const starter of ["client", "server", "both"] as const) {
  test(`three renegotiations started by ${starter} give new keys that both ends share`, async () => {
    const pair = pairOf();
    await bringUp(pair);
    for (let round = 1; round <= 3; round++) {
      const keyId = round;
      if (starter !== "server") assert(pair.client.renegotiate(pair.nowMs));
      if (starter !== "client") assert(pair.server?.renegotiate(pair.nowMs));
      await renewed(pair, 1 + round);
      assert.deepEqual([pair.client.active?.keyId, pair.server?.active?.keyId], [keyId, keyId]);
      assertSameKeys(pair, keyId);
      assert.notDeepEqual(pair.clientLog.keys.get(keyId), pair.clientLog.keys.get(keyId - 1));
      assert.equal(pair.client.renegotiate(pair.nowMs), false, "a fresh key is not renewed");
      await pair.pass(5000);
    }
    await pair.pass(OLD_KEY_MS);
    for (const { events, cause } of [pair.clientLog, pair.serverLog]) {
      assert.equal(cause, undefined);
      assert.equal(events.filter((event) => event === "renegotiated").length, 3);
      assert.deepEqual(
        events.filter((event) => event.startsWith("retire")),
        ["retire 0", "retire 1", "retire 2"],
      );
    }
    pair.close();
  });
}

test("renegotiations complete under loss, whoever starts, and key ids go from 7 to 1", async () => {
  const pair = pairOf({ loss: 0.3, seed: 77 });
  await bringUp(pair);
  for (let round = 1; round <= 8; round++) {
    const starter = round % 2 === 0 ? pair.client : pair.server;
    starter?.renegotiate(pair.nowMs);
    if (round % 3 === 0) pair.client.renegotiate(pair.nowMs);
    await renewed(pair, 1 + round);
    assertSameKeys(pair, ((round - 1) % 7) + 1);
    await pair.pass(OLD_KEY_MS);
  }
  assert.equal(pair.client.active?.keyId, 1);
  pair.close();
});

test("no end sends with a renewed key whose other end may not have it yet", async () => {
  const pair = pairOf();
  await bringUp(pair);
  pair.client.renegotiate(pair.nowMs);
  // The server has its keys; from here on its own half of the key exchange is lost.
  assert(await pair.run(() => pair.serverLog.events.includes("install 1")));
  pair.loss = 1;
  pair.drop();
  await pair.pass(30_000);
  assert(!pair.clientLog.events.includes("install 1"));
  assert(!pair.serverLog.events.includes("send 1"));
  pair.loss = 0;
  await renewed(pair, 2);
  assertSameKeys(pair, 1);
  pair.close();
});

test("an old key is received with for 65 s beside its successor, and retired once", async () => {
  const pair = pairOf();
  await bringUp(pair);
  pair.client.renegotiate(pair.nowMs);
  await renewed(pair, 2);
  await pair.pass(50_000);
  for (const { events } of [pair.clientLog, pair.serverLog]) assert(!events.includes("retire 0"));
  await pair.pass(20_000);
  for (const { events } of [pair.clientLog, pair.serverLog]) {
    assert.equal(events.filter((event) => event === "retire 0").length, 1);
  }
  pair.close();
});

test("a second renegotiation waits for the first, and none starts before there is a key", async () => {
  const pair = pairOf();
  assert(!pair.client.renegotiate(pair.nowMs));
  await bringUp(pair);
  assert(pair.client.renegotiate(pair.nowMs));
  assert(pair.client.isRenegotiating);
  assert(!pair.client.renegotiate(pair.nowMs));
  pair.close();
  assert(!pair.client.renegotiate(pair.nowMs));
});

test("key ids run 0 to 7 and on with 1", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7].map(nextKeyId), [1, 2, 3, 4, 5, 6, 7, 1]);
});

test("a handshake that gets no answer ends after the hand-window, not before", async () => {
  const pair = pairOf({ loss: 1 });
  await pair.run(() => pair.hasEnded, HAND_WINDOW_MS - 1);
  assert(!pair.hasEnded);
  assert(await pair.run(() => pair.hasEnded, 2));
  assert.equal(pair.clientLog.cause, "handshakeTimeout");
  assert.equal(pair.client.nextDueMs, Infinity, "nothing is due once it is closed");
});

for (const [name, reason] of [
  ["in the TLS handshake", /fell silent in the TLS handshake/],
  ["with this end's certificate", /once it had this end's certificate/],
] as const) {
  test(`a server that falls silent ${name} is left after 10 s, and the reason says so`, async () => {
    let isSecure = false;
    const watching = (factory: TlsEngineFactory): TlsEngineFactory => {
      return (role, handlers) => {
        const secure: typeof handlers.secure = (peer) => {
          isSecure = true;
          handlers.secure(peer);
        };
        return factory(role, { ...handlers, secure });
      };
    };
    const pair = pairOf({ alterClientTls: watching });
    const isLate = name === "with this end's certificate";
    assert(await pair.run(() => (isLate ? isSecure : pair.server !== undefined)));
    pair.loss = 1;
    pair.drop();
    const startMs = pair.nowMs;
    assert(await pair.run(() => pair.hasEnded, HAND_WINDOW_MS));
    const silentMs = pair.nowMs - startMs;
    assert(silentMs > SILENCE_MS / 2 && silentMs <= SILENCE_MS, `${silentMs} ms`);
    assert.equal(pair.clientLog.cause, "handshakeTimeout");
    assert.match(pair.clientLog.reason, reason);
  });
}

test("a server that waits for a person may be silent for as long as it said", async () => {
  const pair = pairOf();
  assert(await pair.run(() => pair.server !== undefined));
  pair.client.extendHandWindow(120);
  pair.server?.close();
  pair.loss = 1;
  pair.drop();
  await pair.pass(100_000);
  assert(!pair.hasEnded);
  assert(await pair.run(() => pair.hasEnded, 20_001));
  assert.match(pair.clientLog.reason, /within 120 s/);
});

test("a renegotiation that gets no answer ends the session after the hand-window", async () => {
  const pair = pairOf();
  await bringUp(pair);
  pair.loss = 1;
  pair.client.renegotiate(pair.nowMs);
  await pair.run(() => pair.hasEnded, HAND_WINDOW_MS - 1);
  assert(!pair.hasEnded);
  assert(await pair.run(() => pair.hasEnded, 2));
  assert.equal(pair.clientLog.cause, "handshakeTimeout");
  pair.close();
});

test("no end can be wrapped with another key: nothing arrives", async () => {
  const wrap = { kind: "TlsCrypt", key: Buffer.alloc(256, 1) } as const;
  const pair = pairOf({ client: configOf(identities, "client", { wrap }) });
  await pair.pass(5000);
  assert.deepEqual(new Set(pair.refused), new Set(["unverified"]));
  assert.equal(pair.server, undefined);
  pair.close();
});

test("every datagram of a handshake is refused the second time", async () => {
  const pair = pairOf();
  await bringUp(pair);
  await pair.pass(100);
  const before = [...pair.clientLog.events, ...pair.serverLog.events];
  const sent = [...pair.sent];
  assert(sent.length > 6);
  for (const { isToServer, datagram } of sent) {
    const verdict = pair.inject(isToServer, datagram);
    // The session never saw the client's reset: the greeter answered that one.
    const isReset = (datagram[0] ?? 0) >>> 3 === Opcode.hardResetClientV2;
    assert.equal(verdict, isReset ? "unexpected" : "replayed");
  }
  await pair.pass(1000);
  assert.deepEqual([...pair.clientLog.events, ...pair.serverLog.events], before);
  pair.close();
});

test("every datagram of a handshake with a bit flipped is refused, and changes nothing", async () => {
  const pair = pairOf();
  await bringUp(pair);
  await pair.pass(100);
  const count = pair.sent.length;
  for (const [index, { isToServer, datagram }] of [...pair.sent].entries()) {
    const bad = Buffer.from(datagram);
    const at = (index * 7919) % bad.length;
    bad[at] = (bad[at] ?? 0) ^ (1 << (index & 7));
    assert.equal(pair.inject(isToServer, bad), "unverified");
  }
  await pair.pass(1000);
  assert.equal(pair.sent.length, count, "nothing was answered");
  pair.close();
});

test("EXIT ends the session at the other end", async () => {
  for (const end of ["client", "server"] as const) {
    const pair = pairOf();
    await bringUp(pair);
    pair[end]?.sendText("EXIT");
    const other = end === "client" ? pair.serverLog : pair.clientLog;
    assert(await pair.run(() => other.cause !== undefined, 2000));
    assert.equal(other.cause, "peerLeft");
    pair.close();
  }
});

test("a text that means nothing is told, and made fit for a log line", async () => {
  const pair = pairOf();
  await bringUp(pair);
  pair.client.sendText(`hello\u001b[2J${"x".repeat(300)}`);
  assert(await pair.run(() => pair.serverLog.events.length > 3, 2000));
  const notice = pair.serverLog.events.at(-1) ?? "";
  assert.match(notice, /^notice it says: hello\?\[2Jx+$/);
  assert(notice.length < 230);
  pair.close();
});

for (const tlsVersionMax of ["1.2", "1.3"] as const) {
  test(`without key export both ends expand the same keys (TLS ${tlsVersionMax})`, async () => {
    const client = configOf(identities, "client", { tlsVersionMax });
    // 6046 is everything this client announces, 6038 the same without bit 3 (tls-ekm).
    const pair = pairOf({ client, alterClientTls: rewriting("IV_PROTO=6046", "IV_PROTO=6038") });
    await bringUp(pair);
    assert.equal(pair.clientLog.agreement?.pushed?.usesKeyExport, false);
    pair.server?.renegotiate(pair.nowMs);
    await renewed(pair, 2);
    assertSameKeys(pair, 1);
    pair.close();
  });
}

test("what keys were made of is overwritten once they are installed", async () => {
  // 6038 is 6046 without bit 3: the random halves of both ends make the keys.
  const written: Buffer[] = [];
  const alter = rewriting("IV_PROTO=6046", "IV_PROTO=6038");
  const keeping = (factory: TlsEngineFactory): TlsEngineFactory => {
    return alter((role, handlers) => {
      const engine = factory(role, handlers);
      const write = (bytes: Buffer): void => {
        written.push(bytes);
        engine.write(bytes);
      };
      return {
        receive: (bytes) => engine.receive(bytes),
        write,
        exportKeyingMaterial: (bytes, label) => engine.exportKeyingMaterial(bytes, label),
        destroy: () => engine.destroy(),
      };
    });
  };
  const pair = pairOf({ alterClientTls: keeping });
  await bringUp(pair);
  const nothing = Buffer.alloc(32);
  for (const end of [pair.client, pair.server]) {
    assert.equal(end?.active?.localKeyMethod, undefined);
    assert.deepEqual(end?.active?.remoteKeyMethod?.random1, nothing);
    assert.deepEqual(end?.active?.remoteKeyMethod?.random2, nothing);
  }
  assert.deepEqual(pair.server?.active?.remoteKeyMethod?.preMaster, Buffer.alloc(48));
  assert(written.length >= 2, "the key exchange and PUSH_REQUEST");
  for (const bytes of written) assert(bytes.every((byte) => byte === 0));
  pair.close();
});

test("a client that asks for its options later gets them too", async () => {
  // 6042 is 6046 without bit 2: the server waits for PUSH_REQUEST.
  const pair = pairOf({ alterClientTls: rewriting("IV_PROTO=6046", "IV_PROTO=6042") });
  await bringUp(pair);
  pair.close();
});

test("each cipher that both ends have is agreed on, the server's order deciding", async () => {
  for (const cipher of DATA_CIPHERS) {
    const pair = pairOf({ serverSettings: { ciphers: [cipher] } });
    await bringUp(pair);
    assert.equal(pair.clientLog.keys.get(0)?.cipher, cipher);
    assert.equal(pair.clientLog.keys.get(0)?.send.key.length, cipher === "AES-128-GCM" ? 16 : 32);
    pair.close();
  }
});

test("no packet is longer than 1250 bytes, and the server's first is a reset", async () => {
  const pair = pairOf({ client: configOf(identities, "client"), seed: 4 });
  await bringUp(pair);
  assert(pair.sent.every(({ datagram }) => datagram.length <= 1250));
  const first = pair.sent.find(({ isToServer }) => !isToServer);
  assert.equal((first?.datagram[0] ?? 0) >>> 3, Opcode.hardResetServerV2);
  pair.close();
});
