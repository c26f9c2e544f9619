import assert from "node:assert/strict";
import { BlockList } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { DATA_CIPHERS } from "./data-ciphers.ts";
import { maskOfPrefix, parsePushReply, pushedTo, pushReplyMessages } from "./push-options.ts";

/** Stock's PUSH_BUNDLE_SIZE, with the NUL behind the message. */
const BUNDLE_BYTES = 1024;
const nothing = {
  usesKeyExport: false,
  usesExitMessage: false,
  usesEpoch: false,
  usesDynamicWrap: false,
  hasProbes: false,
  routes: [],
  hasParity: false,
  ignored: [],
};

/** Options of all messages, as a client joins them. */
function joined(messages: readonly string[]): string[] {
  return messages.flatMap((message) => message.split(",").slice(1));
}

const prefix4 = fc.record({
  address: fc.ipV4(),
  prefixBits: fc.integer({ min: 0, max: 32 }),
});
const prefix6 = fc.record({ address: fc.ipV6(), prefixBits: fc.integer({ min: 0, max: 128 }) });
const offer = fc
  .record(
    {
      address4: prefix4,
      address6: prefix6,
      gateway4: fc.ipV4(),
      gateway6: fc.ipV6(),
      mtuBytes: fc.integer({ min: 576, max: 65535 }),
      peerId: fc.integer({ min: 0, max: 0xffffff }),
      cipher: fc.constantFrom(...DATA_CIPHERS),
      hasKeyExport: fc.boolean(),
      hasProtocolFlags: fc.boolean(),
      hasProbes: fc.boolean(),
      hasParity: fc.boolean(),
      pingSeconds: fc.integer({ min: 0, max: 600 }),
      pingRestartSeconds: fc.integer({ min: 0, max: 86400 }),
    },
    {
      requiredKeys: [
        ...([
          "peerId",
          "cipher",
          "hasKeyExport",
          "hasProtocolFlags",
          "hasProbes",
          "hasParity",
        ] as const),
        ...(["pingSeconds", "pingRestartSeconds"] as const),
      ],
    },
  )
  .map((record) => ({ ...record }));

test("what a server pushes is what its client takes", () => {
  fc.assert(
    fc.property(offer, (sent) => {
      const options = joined(pushReplyMessages(pushedTo(sent)));
      assert.deepEqual(parsePushReply(options), {
        ...nothing,
        ...(sent.address4 === undefined ? {} : { address4: { ...sent.address4 } }),
        ...(sent.address6 === undefined ? {} : { address6: { ...sent.address6 } }),
        ...(sent.gateway4 === undefined ? {} : { routeGateway: sent.gateway4 }),
        ...(sent.mtuBytes === undefined ? {} : { mtuBytes: sent.mtuBytes }),
        ...(sent.pingSeconds === 0
          ? {}
          : { pingSeconds: sent.pingSeconds, pingRestartSeconds: sent.pingRestartSeconds }),
        peerId: sent.peerId,
        cipher: sent.cipher,
        usesKeyExport: sent.hasKeyExport,
        usesExitMessage: sent.hasProtocolFlags,
        hasProbes: sent.hasProbes,
        hasParity: sent.hasParity,
      });
    }),
    { numRuns: 500 },
  );
});

test("without protocol flags the key export is announced in its older form", () => {
  const common = {
    peerId: 1,
    cipher: "AES-128-GCM",
    pingSeconds: 0,
    pingRestartSeconds: 0,
  } as const;
  const lines = (hasKeyExport: boolean, hasProtocolFlags: boolean) =>
    pushedTo({ ...common, hasKeyExport, hasProtocolFlags, hasProbes: false }).slice(2);
  assert.deepEqual(lines(true, false), ["key-derivation tls-ekm"]);
  assert.deepEqual(lines(true, true), ["protocol-flags cc-exit tls-ekm"]);
  assert.deepEqual(lines(false, true), ["protocol-flags cc-exit"]);
  assert.deepEqual(lines(false, false), []);
});

test("a reply of any length is split into messages of at most 1024 bytes with their NUL", () => {
  const option = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 300, size: "max" });
  const options = fc.array(
    option.map((text) => `o${text.replaceAll(",", ";")}`),
    { maxLength: 40, size: "max" },
  );
  fc.assert(
    fc.property(options, (all) => {
      const messages = pushReplyMessages(all);
      for (const [index, message] of messages.entries()) {
        assert(message.startsWith("PUSH_REPLY"));
        assert(Buffer.byteLength(message) + 1 <= BUNDLE_BYTES, `${message.length} bytes`);
        const mark = index === messages.length - 1 ? 1 : 2;
        if (messages.length > 1) assert(message.endsWith(`,push-continuation ${mark}`));
        else assert(!message.includes("push-continuation"));
      }
      const rest = joined(messages).filter((text) => !text.startsWith("push-continuation "));
      assert.deepEqual(rest, all);
    }),
    { numRuns: 300 },
  );
});

test("a message is filled to the last byte that fits, with characters of several bytes too", () => {
  const fit = (bytes: number) =>
    pushReplyMessages(["x".repeat(500), "y".repeat(bytes - 500)]).length;
  // PUSH_REPLY, two commas and two options; a continuation mark of 20 bytes, and the NUL.
  const room = BUNDLE_BYTES - "PUSH_REPLY,,,push-continuation 2\0".length;
  assert.deepEqual([fit(room), fit(room + 1)], [1, 2]);
  const umlauts = pushReplyMessages(["ä".repeat(300), "ö".repeat(300)]);
  assert.equal(umlauts.length, 2);
});

test("an empty reply is one message", () => {
  assert.deepEqual(pushReplyMessages([]), ["PUSH_REPLY"]);
});

test("a stock server's reply is read", () => {
  const reply = parsePushReply(
    "route-gateway 10.8.0.1,ping 10,ping-restart 60,ifconfig 10.8.0.2 255.255.255.0,peer-id 0,cipher AES-256-GCM,protocol-flags cc-exit tls-ekm dyn-tls-crypt,tun-mtu 1500".split(
      ",",
    ),
  );
  assert.deepEqual(reply, {
    ...nothing,
    usesDynamicWrap: true,
    routeGateway: "10.8.0.1",
    pingSeconds: 10,
    pingRestartSeconds: 60,
    address4: { address: "10.8.0.2", prefixBits: 24 },
    peerId: 0,
    cipher: "AES-256-GCM",
    usesKeyExport: true,
    usesExitMessage: true,
    mtuBytes: 1500,
  });
});

test("a value out of its range is ignored, and named", () => {
  const bad = [
    "ifconfig 10.8.0.2 255.0.255.0",
    "ifconfig 10.8.0.256 255.255.255.0",
    "ifconfig 10.8.0.2",
    "ifconfig-ipv6 fd00::1/129 ::",
    "ifconfig-ipv6 fd00::g/64 ::",
    "ifconfig-ipv6 fd00::1 ::",
    "route-gateway nowhere",
    "peer-id 16777216",
    "peer-id -1",
    "peer-id 1e3",
    "ping 86401",
    "tun-mtu 575",
    "tun-mtu 65536",
    "key-derivation magic",
  ];
  assert.deepEqual(parsePushReply(bad), { ...nothing, ignored: bad });
});

test("what nobody here understands is named and does nothing", () => {
  const lines = [
    "redirect-gateway def1",
    "script-security 2",
    "up /bin/sh",
    "__proto__ x",
    "toString",
  ];
  assert.deepEqual(parsePushReply(lines), { ...nothing, ignored: lines });
});

test("routes through the tunnel are taken, those outside it are not", () => {
  const outside = [
    "route 192.0.2.0 255.255.255.0 net_gateway",
    "route 192.0.2.1 255.255.255.255 remote_host",
    "route 10.0.0.0 255.0.255.0",
    "route-ipv6 fd00::/129",
  ];
  const { routes, routeMetric, ignored } = parsePushReply([
    "route 10.30.0.0 255.255.0.0",
    "route 10.31.0.0 255.255.0.0 vpn_gateway 50",
    "route 10.32.0.7",
    "route-ipv6 fd30::/64 :: 70",
    "route-metric 9",
    ...outside,
  ]);
  assert.deepEqual(routes, [
    { network: "10.30.0.0/16" },
    { network: "10.31.0.0/16", metric: 50 },
    { network: "10.32.0.7/32" },
    { network: "fd30::/64", metric: 70 },
  ]);
  assert.equal(routeMetric, 9);
  assert.deepEqual(ignored, outside);
});

test("an address in place of the mask is the far end's (topology net30 and p2p)", () => {
  const pushed = parsePushReply(["topology net30", "ifconfig 10.8.0.6 10.8.0.5"]);
  assert.deepEqual(pushed.address4, { address: "10.8.0.6", prefixBits: 32 });
  assert.equal(pushed.remoteAddress4, "10.8.0.5");
});

test("the last of two ciphers counts, known or not", () => {
  assert.equal(parsePushReply(["cipher X", "cipher aes-128-gcm"]).cipher, "AES-128-GCM");
  assert.equal(parsePushReply(["cipher X", "cipher aes-128-gcm"]).cipherUnknown, undefined);
  assert.equal(parsePushReply(["cipher AES-128-GCM", "cipher X"]).cipher, undefined);
  assert.equal(parsePushReply(["cipher AES-128-GCM", "cipher X"]).cipherUnknown, "X");
});

test("every compression that changes a packet is reported, framing alone included", () => {
  const changing = [
    "compress",
    "compress lz4-v2",
    "compress stub",
    "compress stub-v2",
    "compress lzo",
  ];
  const older = ["comp-lzo", "comp-lzo yes", "comp-lzo adaptive", "comp-lzo no"];
  for (const option of [...changing, ...older]) {
    assert.equal(parsePushReply([option]).compression, option);
  }
  assert.equal(parsePushReply(["compress migrate"]).compression, undefined);
});

test("hostile options never throw, and only ranges that were checked come out", () => {
  const word = fc.oneof(
    fc.constantFrom("0", "-1", "4294967296", "1e9", "NaN", "255.255.255.255", "::", "fd00::1/64"),
    fc.string({ unit: "binary", maxLength: 20 }),
  );
  const name = fc.oneof(
    fc.constantFrom("ifconfig", "ifconfig-ipv6", "peer-id", "cipher", "ping", "ping-restart"),
    fc.constantFrom("tun-mtu", "topology", "compress", "comp-lzo", "protocol-flags", "__proto__"),
    fc.constantFrom("constructor", "hasOwnProperty", "push-continuation", "route-gateway", ""),
  );
  const line = fc
    .tuple(name, fc.array(word, { maxLength: 4 }))
    .map(([n, words]) => [n, ...words].join(" "));
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const pushed = parsePushReply(lines);
      const within = (value: number | undefined, min: number, max: number) =>
        value === undefined || (Number.isInteger(value) && value >= min && value <= max);
      assert(within(pushed.peerId, 0, 0xffffff) && within(pushed.mtuBytes, 576, 65535));
      assert(within(pushed.pingSeconds, 0, 86400) && within(pushed.pingRestartSeconds, 0, 86400));
      assert(
        within(pushed.address4?.prefixBits, 0, 32) && within(pushed.address6?.prefixBits, 0, 128),
      );
      assert(pushed.cipher === undefined || DATA_CIPHERS.includes(pushed.cipher));
    }),
    { numRuns: 1000 },
  );
});

test("the mask of each prefix holds exactly that network, and is read back", () => {
  for (let bits = 0; bits <= 32; bits++) {
    const mask = maskOfPrefix(bits);
    const value = mask.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
    assert.equal(value, 2 ** 32 - 2 ** (32 - bits), mask);
    const network = new BlockList();
    network.addSubnet("198.51.100.7", bits);
    const base = Buffer.from([198, 51, 100, 7]).readUInt32BE(0);
    for (const other of [0, 32 - bits, 31].map(
      (shift) => (base ^ (1 << Math.min(shift, 31))) >>> 0,
    )) {
      const isInside = Math.trunc(other / 2 ** (32 - bits)) === Math.trunc(base / 2 ** (32 - bits));
      const text = [24, 16, 8, 0].map((shift) => (other >>> shift) & 255).join(".");
      assert.equal(network.check(text), isInside, `${text} in /${bits}`);
    }
    const pushed = parsePushReply([`ifconfig 10.0.0.1 ${mask}`]);
    assert.deepEqual(pushed.address4, { address: "10.0.0.1", prefixBits: bits });
  }
});
