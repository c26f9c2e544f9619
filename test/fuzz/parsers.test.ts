import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { splitControl } from "../../sidecar/control/orders.ts";
import { createControlWrap } from "../../sidecar/session/handshake/control-wrap.ts";
import { Greeter } from "../../sidecar/session/handshake/greeter.ts";
import {
  clientPeerInfo,
  parseOptionsString,
  parsePeerInfo,
} from "../../sidecar/session/handshake/peer-info.ts";
import { parsePushReply } from "../../sidecar/session/handshake/push-options.ts";
import { createWrapFinder } from "../../sidecar/session/handshake/wrap-finder.ts";
import {
  CONTROL_HEADER_BYTES,
  controlBody,
  controlHeader,
  parseControlPacket,
} from "../../sidecar/wire/control-packet.ts";
import {
  asksForWrappedKey,
  resendWrappedKeyPayload,
} from "../../sidecar/wire/early-negotiation.ts";
import { parseKeyMethod, serialiseKeyMethod } from "../../sidecar/wire/key-method.ts";
import vectors from "../vectors/control-packets.json" with { type: "json" };
import { fuzzRuns } from "./fuzz-runs.ts";
import { mutated, randomBytes } from "./mutations.ts";

const packets = [...vectors.packets, ...vectors.malformed].map(({ bytes }) =>
  Buffer.from(bytes, "hex"),
);
const key = Buffer.from(vectors.staticKey, "hex");
const plainPackets = vectors.packets
  .filter(({ wrap }) => wrap === "None")
  .map(({ bytes }) => Buffer.from(bytes, "hex"));
const datagram = fc.oneof(randomBytes, mutated(packets));
const configs = [
  { kind: "TlsCrypt", key },
  { kind: "TlsAuth", key, direction: 0, digest: "SHA1" },
  { kind: "TlsAuth", key, direction: 0, digest: "SHA512" },
] as const;

test("a control packet that parses prints to the bytes it came from", () => {
  fc.assert(
    fc.property(fc.oneof(randomBytes, mutated(plainPackets)), (bytes) => {
      const packet = parseControlPacket(
        bytes.subarray(0, CONTROL_HEADER_BYTES),
        bytes.subarray(CONTROL_HEADER_BYTES),
      );
      if (packet === undefined) return;
      assert.deepEqual(Buffer.concat([controlHeader(packet), controlBody(packet)]), bytes);
    }),
    fuzzRuns(3000),
  );
});

test("nothing but what was wrapped unwraps, and no datagram is changed by trying", () => {
  const wraps = configs.map((config) => createControlWrap(config, "server"));
  fc.assert(
    fc.property(datagram, (bytes) => {
      const before = Buffer.from(bytes);
      for (const wrap of wraps) assert.equal(wrap.unwrap(bytes), undefined);
      assert.deepEqual(bytes, before);
    }),
    fuzzRuns(1500),
  );
});

test("a greeter answers resets, and accepts no stranger who has not its cookie", () => {
  const serverKey = { kind: "TlsCryptV2Server", serverKey: key.subarray(0, 128) } as const;
  const greeters = [{ kind: "None" } as const, ...configs, serverKey].map(
    (config) => new Greeter(Buffer.alloc(32, 9), createWrapFinder(config)),
  );
  fc.assert(
    fc.property(datagram, (bytes) => {
      for (const [index, greeter] of greeters.entries()) {
        const greeting = greeter.greet(bytes, Buffer.alloc(20), 1_700_000_000);
        assert.notEqual(greeting.kind, "accept");
        if (index > 0) assert.equal(greeting.kind, "drop");
      }
    }),
    fuzzRuns(1500),
  );
});

test("a key exchange message never throws, and what is read lies inside the bytes", () => {
  const message = {
    preMaster: Buffer.alloc(48, 1),
    random1: Buffer.alloc(32, 2),
    random2: Buffer.alloc(32, 3),
    options: "V4,dev-type tap,tun-mtu 1532",
    username: "user",
    password: "password",
    peerInfo: clientPeerInfo("1", ["AES-256-GCM"], true),
  };
  const valid = [serialiseKeyMethod(message)];
  fc.assert(
    fc.property(fc.oneof(randomBytes, mutated(valid)), (bytes) => {
      for (const from of ["client", "server"] as const) {
        const read = parseKeyMethod(bytes, from);
        if (typeof read === "string") continue;
        assert(read.bytesRead <= bytes.length && read.bytesRead > 5);
        parsePeerInfo(read.message.peerInfo);
        parseOptionsString(read.message.options);
      }
    }),
    fuzzRuns(3000),
  );
});

test("text of a control message never throws, and no number comes out of its range", () => {
  const valid = [
    "PUSH_REPLY,route-gateway 10.8.0.1,ping 10,ping-restart 60,ifconfig 10.8.0.2 255.255.255.0,ifconfig-ipv6 fd00::2/64 fd00::1,peer-id 0,cipher AES-256-GCM,protocol-flags cc-exit tls-ekm,tun-mtu 1500",
  ].map((text) => Buffer.from(text));
  fc.assert(
    fc.property(fc.oneof(randomBytes, mutated(valid)), (bytes) => {
      const pushed = parsePushReply(bytes.toString("utf8").split(","));
      const { peerId = 0, mtuBytes = 576, pingSeconds = 0 } = pushed;
      assert(peerId >= 0 && peerId <= 0xff_ffff);
      assert(mtuBytes >= 576 && mtuBytes <= 65535);
      assert(pingSeconds >= 0 && pingSeconds <= 86_400);
    }),
    fuzzRuns(3000),
  );
});

test("what rides in a reset, and records of the rings, never throw", () => {
  const valid = [resendWrappedKeyPayload(), Buffer.alloc(80, 3)];
  fc.assert(
    fc.property(fc.oneof(randomBytes, mutated(valid)), (bytes) => {
      asksForWrappedKey(bytes);
      const parts = splitControl(bytes);
      assert.equal(parts?.datagram.length ?? 0, Math.max(0, bytes.length - 64));
    }),
    fuzzRuns(2000),
  );
});
