import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DATA_CIPHERS } from "./data-ciphers.ts";
import {
  CLIENT_PROTO,
  clientPeerInfo,
  optionsString,
  Proto,
  PUSHED_MTU_MAX,
  parseOptionsString,
  parsePeerInfo,
} from "./peer-info.ts";

test("what this end announces is read back", () => {
  assert.deepEqual(parsePeerInfo(clientPeerInfo("0.1.0", DATA_CIPHERS, true)), {
    proto: CLIENT_PROTO,
    ciphers: [...DATA_CIPHERS],
    takesMtu: true,
    version: "fairlead-0.1.0",
    platform: "linux",
    hasProbes: true,
    hasParity: true,
  });
});

test("this end announces what it does: epoch keys, dynamic tls-crypt and PUSH_UPDATE, but not P2P", () => {
  const bits = (value: number) =>
    [...value.toString(2)].reverse().flatMap((bit, at) => (bit === "1" ? [at] : []));
  assert.deepEqual(bits(CLIENT_PROTO), [1, 2, 3, 4, 7, 8, 9, 10, 12]);
  assert.equal(CLIENT_PROTO & Proto.ncpP2p, 0);
  assert.match(
    clientPeerInfo("1", ["AES-128-GCM"], false),
    new RegExp(`^IV_MTU=${PUSHED_MTU_MAX}$`, "m"),
  );
  assert.match(clientPeerInfo("1", ["AES-128-GCM"], false), /^IV_NCP=2$/m);
  assert.match(clientPeerInfo("1", ["AES-128-GCM"], false), /^IV_CIPHERS=AES-128-GCM$/m);
  assert(clientPeerInfo("1", [], false).endsWith("\n"));
});

test("a stock client's peer-info is read (IV_VER 2.6, as in its own tests)", () => {
  const text = [
    "IV_VER=2.6_git\nIV_PLAT=mac\nIV_TCPNL=1\nIV_NCP=2\n",
    "IV_CIPHERS=AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305\n",
    "IV_PROTO=94\nIV_LZO_STUB=1\nIV_COMP_STUB=1\nP=78\nIV_COMP_STUBv2=1\n",
    "IV_SSL=OpenSSL_3.0.5_5_Jul_2022\nIV_LZ4v2=1",
  ].join("");
  assert.deepEqual(parsePeerInfo(text), {
    proto: 94,
    ciphers: ["AES-256-GCM", "AES-128-GCM", "CHACHA20-POLY1305"],
    takesMtu: false,
    version: "2.6_git",
    platform: "mac",
    hasProbes: false,
    hasParity: false,
  });
});

test("a peer that says nothing is the oldest there is", () => {
  const oldest = {
    proto: 0,
    ciphers: [],
    takesMtu: false,
    version: "",
    platform: "",
    hasProbes: false,
    hasParity: false,
  };
  for (const text of [
    "",
    "\n\n",
    "IV_PROTO=seven\nUV_IV_PROTO=773",
    "IV_PROTO=-2",
    "=x",
    "IV_PROTO",
  ]) {
    assert.deepEqual(parsePeerInfo(text), oldest, text);
  }
});

test("any text is read without an exception, with a proto that has whole bits", () => {
  const line = fc.tuple(
    fc.constantFrom("IV_PROTO", "IV_CIPHERS", "IV_MTU", "IV_VER", "__proto__", "constructor", ""),
    fc.constantFrom("=", "", "=="),
    fc.string({ unit: "binary", maxLength: 20 }),
  );
  fc.assert(
    fc.property(fc.array(line.map((parts) => parts.join(""))), (lines) => {
      const info = parsePeerInfo(lines.join("\n"));
      assert(Number.isSafeInteger(info.proto) && info.proto >= 0);
      assert(!info.ciphers.includes(""));
    }),
    { numRuns: 500 },
  );
});

test("the options string is the one that stock prints for a tap", () => {
  const text = optionsString({
    role: "client",
    mtuBytes: 1500,
    cipher: "AES-256-GCM",
    isIpv6: false,
  });
  assert.equal(
    text,
    "V4,dev-type tap,tun-mtu 1532,proto UDPv4,cipher AES-256-GCM,auth [null-digest],keysize 256,key-method 2,tls-client",
  );
  const other = optionsString({
    role: "server",
    mtuBytes: 9000,
    cipher: "AES-128-GCM",
    isIpv6: true,
  });
  assert.match(other, /tun-mtu 9032,proto UDPv6,cipher AES-128-GCM.*keysize 128.*tls-server$/);
});

test("device and MTU of an options string are read back, a tun's MTU as it is", () => {
  for (const mtuBytes of [576, 1400, 1500, 9000]) {
    const text = optionsString({ role: "server", mtuBytes, cipher: "AES-256-GCM", isIpv6: true });
    assert.deepEqual(parseOptionsString(text), { deviceType: "tap", mtuBytes });
  }
  const tun = parseOptionsString("V4,dev-type tun,link-mtu 1541,tun-mtu 1500,proto UDPv4");
  assert.deepEqual(tun, { deviceType: "tun", mtuBytes: 1500 });
});

test("an options string that does not say is not guessed", () => {
  assert.deepEqual(parseOptionsString(""), {});
  assert.deepEqual(parseOptionsString("V0 UNDEF"), {});
  assert.deepEqual(parseOptionsString("tun-mtu much,__proto__ x"), {});
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseOptionsString(text)));
});
