import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  bytesOf,
  type FrameOptions,
  groupData,
  igmp,
  igmp3,
  mld,
  mld2,
} from "../../test/support/group-frames.ts";
import { floatCode, GroupKind, GroupMessage, GroupRefusal, readAddress } from "./group-message.ts";
import { type QueryOptions, readIgmp, writeIgmpQuery } from "./igmp.ts";
import { IpPacket } from "./ip-packet.ts";
import { readMld, writeMldQuery } from "./mld.ts";

const packet = new IpPacket();

/** Reads a frame that stands in the middle of other bytes. */
function read(
  frame: Uint8Array,
  limitBytes = frame.length,
): { refusal: GroupRefusal; message: GroupMessage } {
  const start = 32;
  const bytes = new Uint8Array(start + frame.length + 64).fill(0xa5);
  bytes.set(frame, start);
  const view = new DataView(bytes.buffer);
  const message = new GroupMessage();
  const version = packet.read(view, start, start + limitBytes);
  if (version === 0) return { refusal: GroupRefusal.notOurs, message };
  const refusal = version === 4 ? readIgmp(view, packet, message) : readMld(view, packet, message);
  return { refusal, message };
}

const MESSAGES: Readonly<Record<string, (options?: FrameOptions) => Buffer>> = {
  "IGMPv1 report": (options) => igmp(0x12, "239.1.2.3", options),
  "IGMPv2 report": (options) => igmp(0x16, "239.1.2.3", options),
  "IGMPv2 leave": (options) => igmp(0x17, "239.1.2.3", options),
  "IGMPv2 query": (options) => igmp(0x11, "239.1.2.3", { ...options, code: 10 }),
  "IGMPv3 report": (options) =>
    igmp3(
      [
        { kind: 3, group: "239.1.2.3", sources: ["10.0.0.1", "10.0.0.2"] },
        { kind: 4, group: "239.1.2.4" },
      ],
      options,
    ),
  "MLDv1 report": (options) => mld(131, "ff15::1", options),
  "MLDv1 done": (options) => mld(132, "ff15::1", options),
  "MLDv1 query": (options) => mld(130, "::", options),
  "MLDv2 report": (options) =>
    mld2(
      [
        { kind: 6, group: "ff3e::1", sources: ["fd00::1"] },
        { kind: 4, group: "ff15::2" },
      ],
      options,
    ),
};

for (const [name, make] of Object.entries(MESSAGES)) {
  test(`${name}: taken whole, also with a VLAN tag and padding; every truncation refused`, () => {
    for (const frame of [make(), make({ vlan: 100 }), Buffer.concat([make(), Buffer.alloc(20)])]) {
      assert.equal(read(frame).refusal, GroupRefusal.none);
    }
    const frame = make();
    for (let bytes = 0; bytes < frame.length; bytes++) {
      assert.notEqual(read(frame, bytes).refusal, GroupRefusal.none, `${bytes} bytes`);
    }
  });

  test(`${name}: refused with a wrong checksum, a hop limit of 2 or, where due, no router alert`, () => {
    assert.equal(read(make({ withWrongChecksum: true })).refusal, GroupRefusal.malformed);
    assert.equal(read(make({ hopLimit: 2 })).refusal, GroupRefusal.notLocal);
    const isFree = /^IGMPv[12]/.test(name);
    const { refusal } = read(make({ withoutRouterAlert: true }));
    assert.equal(refusal, isFree ? GroupRefusal.none : GroupRefusal.notLocal);
  });
}

test("MLD needs a link-local source; a host without an address reports from ::, but never asks", () => {
  assert.equal(read(mld(131, "ff15::1", { source: "fd20::8" })).refusal, GroupRefusal.notLocal);
  assert.equal(read(mld(131, "ff15::1", { source: "::" })).refusal, GroupRefusal.none);
  assert.equal(read(mld(130, "::", { source: "::" })).refusal, GroupRefusal.notLocal);
});

test("IGMP version 1 is told by type and by a query's empty code", () => {
  assert.equal(read(igmp(0x12, "239.1.2.3")).message.version, 1);
  const query = read(igmp(0x11, "0.0.0.0"));
  assert.deepEqual([query.message.version, query.message.responseMs], [1, 10_000]);
  assert.equal(read(igmp(0x11, "0.0.0.0", { code: 100 })).message.responseMs, 10_000);
});

test("data and other protocols are none of ours", () => {
  assert.notEqual(read(groupData("239.1.2.3")).refusal, GroupRefusal.none);
  assert.notEqual(read(groupData("ff15::1")).refusal, GroupRefusal.none);
  assert.equal(read(igmp(0x13, "239.1.2.3")).refusal, GroupRefusal.notOurs);
});

test("a report whose record says more sources than there are is refused", () => {
  const frame = igmp3([{ kind: 4, group: "239.1.2.3" }]);
  const forged = Buffer.from(frame);
  forged.writeUInt16BE(1, frame.length - 6);
  // The checksum is carried along, so that only the lengths contradict each other.
  forged.writeUInt16BE((frame.readUInt16BE(40) - 1) & 0xffff, 40);
  assert.equal(read(forged).refusal, GroupRefusal.malformed);
});

test("our queries are what our reader takes, of both versions, tagged and with sources", () => {
  const words = (address: string): Int32Array => {
    const bytes = new DataView(Uint8Array.from(bytesOf(address)).buffer);
    const into = new Int32Array(4);
    readAddress(bytes, 0, address.includes(":") ? 6 : 4, into);
    return into;
  };
  const none = new Int32Array(4);
  for (const version of [2, 3] as const) {
    for (const vlan of [0, 7]) {
      for (const isIpv6 of [false, true]) {
        const group = words(isIpv6 ? "ff15::1:203" : "239.1.2.3");
        for (const asked of [none, group]) {
          const sourceCount = asked === none ? 0 : 1;
          const query: QueryOptions = {
            macHigh: 0x0246,
            macLow: 0x4c00_0001,
            vlan,
            source: words(isIpv6 ? "fe80::1" : "10.20.0.1"),
            group: asked,
            responseMs: 300,
            version,
            sources: words(isIpv6 ? "fd20::7" : "10.20.0.7"),
            sourceCount,
          };
          const view = new DataView(new ArrayBuffer(200));
          const bytes = (isIpv6 ? writeMldQuery : writeIgmpQuery)(view, 0, query);
          const { refusal, message } = read(new Uint8Array(view.buffer, 0, bytes));
          assert.equal(refusal, GroupRefusal.none);
          assert.equal(message.kind, GroupKind.query);
          assert.equal(message.version, version);
          assert.equal(message.responseMs, 300);
          assert.equal(message.hasGroup, asked !== none);
          assert.equal(message.listCount, version === 3 ? sourceCount : 0);
        }
      }
    }
  }
});

test("our queries of the newer versions are refused at every truncation", () => {
  const words = (...all: number[]): Int32Array => Int32Array.from(all);
  for (const isIpv6 of [false, true]) {
    const query: QueryOptions = {
      ...{ macHigh: 0x0246, macLow: 0x4c00_0001, vlan: 0, responseMs: 300, version: 3 },
      source: isIpv6 ? words(0xfe80_0000, 0, 0, 1) : words(0, 0, 0, 0x0a14_0001),
      group: isIpv6 ? words(0xff15_0000, 0, 0, 1) : words(0, 0, 0, 0xef01_0203),
      sources: isIpv6 ? words(0xfd20_0000, 0, 0, 7) : words(0, 0, 0, 0x0a14_0007),
      sourceCount: 1,
    };
    const view = new DataView(new ArrayBuffer(200));
    const length = (isIpv6 ? writeMldQuery : writeIgmpQuery)(view, 0, query);
    const frame = new Uint8Array(view.buffer, 0, length);
    assert.equal(read(frame).refusal, GroupRefusal.none);
    for (let bytes = 0; bytes < length; bytes++) {
      assert.notEqual(read(frame, bytes).refusal, GroupRefusal.none, `${isIpv6} ${bytes} bytes`);
    }
  }
});

test("codes from 128 on are a float", () => {
  assert.equal(floatCode(127, 4), 127);
  assert.equal(floatCode(128, 4), 128);
  assert.equal(floatCode(0xff, 4), 31_744);
  assert.equal(floatCode(0x7fff, 12), 0x7fff);
  assert.equal(floatCode(0x8000, 12), 0x8000);
});

test("no bytes make a reader fail, and what it takes lies within the frame", () => {
  const seed = fc.constantFrom(...Object.values(MESSAGES).map((make) => make()));
  const edit = fc.record({ at: fc.nat(120), byte: fc.nat(255) });
  const cut = fc.option(fc.nat(120));
  fc.assert(
    fc.property(seed, fc.array(edit, { maxLength: 6 }), cut, (frame, edits, bytes) => {
      const copy = Buffer.from(frame);
      for (const { at, byte } of edits) if (at < copy.length) copy[at] = byte;
      const { refusal, message } = read(copy, Math.min(bytes ?? copy.length, copy.length));
      if (refusal !== GroupRefusal.none) return;
      const bytesEnd = 32 + copy.length;
      assert.ok(
        message.groupAt + message.addressBytes <= bytesEnd || message.kind === GroupKind.records,
      );
      assert.ok(message.listAt + message.listCount * 4 <= bytesEnd);
    }),
    { numRuns: 3000 },
  );
});
