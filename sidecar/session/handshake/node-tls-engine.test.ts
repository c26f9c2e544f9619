import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate, setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { issueCertificate } from "../../../authority/certificate.ts";
import type { SecurityConfig } from "../../control/tunnel-config.ts";
import { configOf, createIdentities, fingerprintOf } from "./identities-harness.ts";
import { nodeTlsEngines } from "./node-tls-engine.ts";
import type { TlsEngine, TlsEngineFactory, TlsPeer } from "./tls-engine.ts";

const identities = await createIdentities();
const LABEL = "EXPORTER-OpenVPN-datakeys";

/** One end, with all that it said. */
interface End {
  engine: TlsEngine;
  peer: TlsPeer | undefined;
  readonly plaintext: string[];
  readonly ciphertext: Buffer[];
  readonly failures: string[];
}

function endOf(end: "client" | "server", change: Partial<SecurityConfig> = {}): End {
  return endBy(nodeTlsEngines(configOf(identities, end, change), Date.now), end);
}

function endBy(createTls: TlsEngineFactory, end: "client" | "server"): End {
  const said = { peer: undefined, plaintext: [], ciphertext: [], failures: [] };
  const self = said as unknown as End;
  self.engine = createTls(end, {
    ciphertext: (bytes) => self.ciphertext.push(Buffer.from(bytes)),
    secure: (peer) => {
      self.peer = peer;
    },
    plaintext: (bytes) => self.plaintext.push(bytes.toString()),
    failed: (code) => self.failures.push(code),
  });
  return self;
}

/** Carries ciphertext to and fro, in pieces of this size, until nobody says any more. */
async function carry(client: End, server: End, pieceBytes = 1100): Promise<void> {
  for (let quiet = 0; quiet < 5; quiet++) {
    await setImmediate();
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      for (const bytes of from.ciphertext.splice(0)) {
        quiet = -1;
        for (let at = 0; at < bytes.length; at += pieceBytes) {
          to.engine.receive(bytes.subarray(at, at + pieceBytes));
        }
      }
    }
  }
}

/** How many TLS records of application data are in these bytes (RFC 8446, section 5.1). */
function recordCount(chunks: readonly Buffer[]): number {
  const bytes = Buffer.concat(chunks);
  let count = 0;
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    if (bytes[at] === 23) count += 1;
  }
  return count;
}

for (const pieceBytes of [1, 7, 1100]) {
  test(`TLS comes up with its bytes cut into pieces of ${pieceBytes}`, async () => {
    const [client, server] = [endOf("client"), endOf("server")];
    await carry(client, server, pieceBytes);
    assert.deepEqual([client.peer?.commonName, server.peer?.commonName], ["gateway", "box"]);
    assert.deepEqual([client.peer?.problem, server.peer?.problem], [undefined, undefined]);
    const [one, other] = [client, server].map((end) => end.engine.exportKeyingMaterial(256, LABEL));
    assert.deepEqual(one, other);
    for (const end of [client, server]) end.engine.destroy();
  });
}

test("a common name is what stands in the certificate, whatever its signs", async () => {
  for (const commonName of ["box 7, west", "a+b=c/d", "name=value"]) {
    const age = { lifetimeDays: 1, wallMs: Date.now() };
    const pair = await issueCertificate(identities.authority, {
      commonName,
      use: "client",
      ...age,
    });
    const [client, server] = [
      endOf("client", { identity: pair }),
      endOf("server", { verifyName: commonName }),
    ];
    await carry(client, server);
    assert.deepEqual([server.peer?.commonName, server.peer?.problem], [commonName, undefined]);
    for (const end of [client, server]) end.engine.destroy();
  }
});

const NAMES: readonly (readonly [string, Partial<SecurityConfig>, RegExp | undefined])[] = [
  ["its name", { verifyName: "gateway" }, undefined],
  ["another name", { verifyName: "gatewa" }, /its name is gateway, not gatewa/],
  ["a name of another case", { verifyName: "Gateway" }, /not Gateway/],
  ["how its name begins", { verifyNamePrefix: "gate" }, undefined],
  ["how another begins", { verifyNamePrefix: "ate" }, /does not begin with ate/],
  ["its subject", { verifySubject: "O=A, B, OU=lab, CN=gateway" }, undefined],
  ["another subject", { verifySubject: "CN=gateway" }, /its subject is O=A, B, OU=lab, CN=gateway/],
  ["one of two fingerprints", { peerFingerprints: ["AB:CD", "itself"] }, undefined],
  ["none of two fingerprints", { peerFingerprints: ["AB:CD", "EF"] }, /not among the accepted/],
];

for (const [what, asked, expected] of NAMES) {
  test(`a server is judged by ${what}`, async () => {
    const age = { lifetimeDays: 1, wallMs: Date.now() };
    const wish = { commonName: "gateway", organization: "A, B", organizationalUnit: "lab" };
    const own = await issueCertificate(identities.authority, { ...wish, use: "server", ...age });
    const peerFingerprints = asked.peerFingerprints?.map((text) =>
      text === "itself" ? fingerprintOf(own) : text,
    );
    const pins = peerFingerprints === undefined ? {} : { peerFingerprints };
    const [client, server] = [
      endOf("client", { ...asked, ...pins }),
      endOf("server", { identity: own }),
    ];
    await carry(client, server);
    if (expected === undefined) assert.equal(client.peer?.problem, undefined);
    else assert.match(client.peer?.problem ?? "", expected);
    for (const end of [client, server]) end.engine.destroy();
  });
}

test("each of many sessions of one tunnel is told its own outcome, side by side and afterwards", async () => {
  const createServer = nodeTlsEngines(configOf(identities, "server"), Date.now);
  const { client: box, otherClient: stranger, foreignClient: foreign } = identities;
  const createClients = [box, stranger, foreign].map((identity) =>
    nodeTlsEngines(configOf(identities, "client", { identity }), Date.now),
  );
  const keys = new Set<string>();
  for (let round = 0; round < 3; round++) {
    const pairs = createClients.map((create) => [
      endBy(create, "client"),
      endBy(createServer, "server"),
    ]);
    const [failing, leaving] = [endBy(createServer, "server"), endBy(createServer, "server")];
    await setImmediate();
    failing.engine.receive(Buffer.alloc(5, 0xff));
    leaving.engine.destroy();
    await Promise.all(pairs.map(([client, server]) => carry(client as End, server as End, 300)));
    const servers = pairs.map(([, server]) => server as End);
    assert.deepEqual(
      servers.map(({ peer }) => peer?.commonName),
      ["box", "stranger", "box"],
    );
    assert.deepEqual(
      servers.map(({ peer }) => peer?.problem !== undefined),
      [false, false, true],
    );
    assert.deepEqual([failing.failures.length, leaving.failures.length], [1, 0]);
    for (const [client, server] of pairs) {
      const [one, other] = [client as End, server as End].map(({ engine, failures }) => {
        assert.deepEqual(failures, []);
        return engine.exportKeyingMaterial(32, LABEL).toString("hex");
      });
      assert.equal(one, other);
      keys.add(one as string);
    }
    for (const end of [...pairs.flat(), failing]) end.engine.destroy();
  }
  assert.equal(keys.size, 9);
});

test("the first flight of a client fits one control packet", async () => {
  const client = endOf("client");
  await setImmediate();
  const bytes = Buffer.concat(client.ciphertext);
  assert(bytes.length > 100 && bytes.length < 1100, `${bytes.length} bytes`);
  client.engine.destroy();
});

test("each message written at once leaves in a record of its own, in order", async () => {
  for (const tlsVersionMax of ["1.2", "1.3"] as const) {
    const [client, server] = [endOf("client", { tlsVersionMax }), endOf("server")];
    await carry(client, server);
    for (const text of ["one", "two", "three"]) client.engine.write(Buffer.from(text));
    for (let turn = 0; turn < 10; turn++) await setImmediate();
    assert.equal(recordCount(client.ciphertext), 3);
    await carry(client, server);
    assert.deepEqual(server.plaintext, ["one", "two", "three"]);
    for (const end of [client, server]) end.engine.destroy();
  }
});

test("what is written before TLS is up is sent afterwards", async () => {
  const server = endOf("server");
  server.engine.write(Buffer.from("early"));
  const client = endOf("client");
  await carry(client, server);
  assert.deepEqual(client.plaintext, ["early"]);
  for (const end of [client, server]) end.engine.destroy();
});

test("garbage in place of TLS fails once, by a code, and nothing is thrown", async () => {
  const garbage = [
    Buffer.alloc(5, 0xff),
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    Buffer.alloc(3000),
  ];
  for (const end of ["client", "server"] as const) {
    for (const bytes of garbage) {
      const self = endOf(end);
      await setImmediate();
      self.engine.receive(bytes);
      for (let turn = 0; turn < 5; turn++) await setImmediate();
      self.engine.receive(bytes);
      for (let turn = 0; turn < 5; turn++) await setImmediate();
      assert.equal(self.failures.length, 1, `${end}: ${self.failures}`);
      assert.match(self.failures[0] ?? "", /^E[A-Z_]+/);
      assert.equal(self.peer, undefined);
      self.engine.destroy();
    }
  }
});

test("a destroyed engine says nothing more, half open or not", async () => {
  const [client, server] = [endOf("client"), endOf("server")];
  const hello = endOf("client");
  const halfOpen = endOf("server");
  await setImmediate();
  for (const bytes of hello.ciphertext) halfOpen.engine.receive(bytes);
  await carry(client, server);
  const ends = [client, server, hello, halfOpen];
  for (const end of ends) {
    end.engine.destroy();
    end.engine.write(Buffer.from("late"));
    end.engine.receive(Buffer.from("late"));
    end.ciphertext.length = 0;
  }
  for (let turn = 0; turn < 10; turn++) await setImmediate();
  for (const end of ends) {
    assert.deepEqual([end.ciphertext, end.plaintext, end.failures], [[], [], []]);
  }
});

test("a destroyed half-open engine is not kept until its handshake would time out", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const destroyed = (async () => {
    const [hello, halfOpen] = [endOf("client"), endOf("server")];
    await setImmediate();
    for (const bytes of hello.ciphertext) halfOpen.engine.receive(bytes);
    await setImmediate();
    halfOpen.engine.destroy();
    hello.engine.destroy();
    return new WeakRef(halfOpen.engine);
  })();
  const engine = await destroyed;
  for (let turn = 0; turn < 20 && engine.deref() !== undefined; turn++) {
    await setTimeout(10);
    collect();
  }
  assert.equal(engine.deref(), undefined);
});

test("keys cannot be exported before TLS is up on a listening end", () => {
  const server = endOf("server");
  assert.throws(() => server.engine.exportKeyingMaterial(32, LABEL), /not complete/);
  server.engine.destroy();
});
