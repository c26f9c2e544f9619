import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as ethernet from "./ethernet.ts";

/** A frame at offset 3 of a larger buffer. */
function view(hex: string): DataView {
  const bytes = Buffer.from(`ffffff${hex.replaceAll(" ", "")}`, "hex");
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

test("a frame is at least 14 bytes", () => {
  assert.equal(ethernet.isFrame(10, 23), false);
  assert.equal(ethernet.isFrame(10, 24), true);
  assert.equal(ethernet.isFrame(10, 5), false);
});

test("addresses and type are read from where the frame starts", () => {
  const frame = view("02005e100007 fedcba987654 0800");
  assert.equal(ethernet.destinationHigh(frame, 3), 0x0200);
  assert.equal(ethernet.destinationLow(frame, 3), 0x5e100007);
  assert.equal(ethernet.sourceHigh(frame, 3), 0xfedc);
  assert.equal(ethernet.sourceLow(frame, 3), 0xba987654 | 0);
  assert.equal(ethernet.headerType(frame, 3), ethernet.EtherType.ipv4);
  assert.equal(ethernet.vlanId(frame, 3, 17), 0);
});

test("the VLAN id leaves priority out; a cut-off tag counts as none", () => {
  const frame = view("ffffffffffff 020000000001 8100 e064 0800");
  assert.equal(ethernet.vlanId(frame, 3, 21), 100);
  assert.equal(ethernet.vlanId(frame, 3, 20), 0);
  const service = view("ffffffffffff 020000000001 88a8 0fff 8100 0001 0800");
  assert.equal(ethernet.vlanId(service, 3, 25), 4095);
});

test("group and reserved addresses are told apart from stations", () => {
  const is = (text: string): boolean[] => {
    const mac = ethernet.parseMac(text) ?? assert.fail(text);
    return [ethernet.isGroup(mac.high), ethernet.isReservedGroup(mac.high, mac.low)];
  };
  assert.deepEqual(is("ff:ff:ff:ff:ff:ff"), [true, false]);
  assert.deepEqual(is("01:00:5e:01:02:03"), [true, false]);
  assert.deepEqual(is("33:33:00:00:00:01"), [true, false]);
  assert.deepEqual(is("02:00:00:00:00:01"), [false, false]);
  assert.deepEqual(is("00:80:c2:00:00:00"), [false, false]);
  assert.deepEqual(is("01:80:c2:00:00:00"), [true, true]);
  assert.deepEqual(is("01:80:c2:00:00:0f"), [true, true]);
  assert.deepEqual(is("01:80:c2:00:00:10"), [true, false]);
  assert.deepEqual(is("01:80:c2:00:01:00"), [true, false]);
});

test("a MAC address survives writing and reading; anything else is refused", () => {
  const words = [fc.nat(0xffff), fc.nat(0xffff_ffff)] as const;
  fc.assert(
    fc.property(...words, (high, low) => {
      const text = ethernet.formatMac(high, low);
      assert.match(text, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
      assert.deepEqual(ethernet.parseMac(text), { high, low });
    }),
  );
  assert.deepEqual(ethernet.parseMac("02-00-5E-10-00-07"), { high: 0x0200, low: 0x5e100007 });
  for (const bad of [
    "",
    "02:00:5e:10:00",
    "02:00:5e:10:00:07:08",
    "02:00:5e:10:00:0g",
    "0200.5e10.0007",
  ]) {
    assert.equal(ethernet.parseMac(bad), undefined);
  }
});
