import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_CLASS, trafficClassOf } from "./traffic-class.ts";

const MACS = "ffffffffffff020000000001";

function classOf(hex: string, isFrame = true): number {
  const bytes = Buffer.from(`00${hex}`, "hex");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return trafficClassOf(view, 1, bytes.length, isFrame);
}

test("DSCP is copied from IPv4 and IPv6, in a frame, behind a tag or bare; ECN is not", () => {
  for (let dscp = 0; dscp < 64; dscp++) {
    for (const ecn of [0, 1, 2, 3]) {
      const byte = (dscp << 2) | ecn;
      const ipv4 = `45${byte.toString(16).padStart(2, "0")}0014`;
      const ipv6 = `${(0x6000_0000 + byte * 2 ** 20).toString(16)}0000`;
      assert.equal(classOf(`${MACS}0800${ipv4}`), dscp << 2);
      assert.equal(classOf(`${MACS}86dd${ipv6}`), dscp << 2);
      assert.equal(classOf(`${MACS}81000064${"0800"}${ipv4}`), dscp << 2);
      assert.equal(classOf(ipv4, false), dscp << 2);
      assert.equal(classOf(ipv6, false), dscp << 2);
    }
  }
});

test("what is no IP packet, or is cut short, has no class", () => {
  const frames = [
    "",
    MACS,
    `${MACS}0800`,
    `${MACS}080045`,
    `${MACS}080650b8`,
    `${MACS}0800a5b8`,
    `${MACS}8100`,
  ];
  for (const frame of frames) assert.equal(classOf(frame), NO_CLASS, frame);
  for (const packet of ["", "45", "95b8"]) assert.equal(classOf(packet, false), NO_CLASS, packet);
});
