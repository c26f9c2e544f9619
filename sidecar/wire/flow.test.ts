import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Flow, NO_CLASS } from "./flow.ts";

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });

function ethernetOf(type: number, payload: Uint8Array, tags: number): DataView {
  const frame = new Uint8Array(14 + tags * 4 + payload.length);
  frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
  const view = new DataView(frame.buffer);
  for (let tag = 0; tag < tags; tag++) view.setUint16(12 + tag * 4, tag === 0 ? 0x88a8 : 0x8100);
  view.setUint16(12 + tags * 4, type);
  frame.set(payload, 14 + tags * 4);
  return view;
}

interface Ends {
  readonly addresses: Uint8Array;
  readonly ports: Uint8Array;
  readonly protocol: number;
  readonly dscp: number;
}

function ipv4(ends: Ends, rest: Uint8Array, fragment = 0): Uint8Array {
  const packet = new Uint8Array(24 + rest.length);
  packet.set([0x45, ends.dscp << 2, 0, packet.length, 0, 0, fragment >> 8, fragment & 255]);
  packet.set([64, ends.protocol], 8);
  packet.set(ends.addresses.subarray(0, 8), 12);
  packet.set(ends.ports, 20);
  packet.set(rest, 24);
  return packet;
}

function ipv6(ends: Ends, rest: Uint8Array): Uint8Array {
  const packet = new Uint8Array(44 + rest.length);
  packet.set([0x60 | (ends.dscp >> 2), (ends.dscp & 3) << 6, 0, 0, 0, 4, ends.protocol, 64]);
  packet.set(ends.addresses, 8);
  packet.set(ends.ports, 40);
  packet.set(rest, 44);
  return packet;
}

const ends = fc.record({
  addresses: bytes(32),
  ports: bytes(4),
  protocol: fc.constantFrom(6, 17),
  dscp: fc.integer({ min: 0, max: 63 }),
});

test("packets between the same ends are one flow, whatever they carry, tagged or not", () => {
  fc.assert(
    fc.property(
      ends,
      bytes(8),
      bytes(8),
      fc.integer({ min: 0, max: 2 }),
      (who, one, other, tags) => {
        for (const [type, make] of [
          [0x0800, ipv4],
          [0x86dd, ipv6],
        ] as const) {
          const a = new Flow();
          const b = new Flow();
          const frame = ethernetOf(type, make(who, one), tags);
          a.readFrame(frame, 0, frame.byteLength);
          const packet = make({ ...who, dscp: who.dscp ^ 1 }, other);
          b.readPacket(new DataView(packet.buffer), 0, packet.length);
          assert.equal(a.hash, b.hash);
          assert.deepEqual([a.dscp, b.dscp], [who.dscp, who.dscp ^ 1]);
        }
      },
    ),
  );
});

test("another port is another flow; pieces of one packet are one, ports or not", () => {
  const who: Ends = {
    addresses: new Uint8Array(32).fill(9),
    ports: Uint8Array.of(1, 2, 3, 4),
    protocol: 17,
    dscp: 46,
  };
  const hashOf = (packet: Uint8Array): number => {
    const flow = new Flow();
    flow.readPacket(new DataView(packet.buffer), 0, packet.length);
    return flow.hash;
  };
  const rest = new Uint8Array(8);
  assert.notEqual(
    hashOf(ipv4(who, rest)),
    hashOf(ipv4({ ...who, ports: Uint8Array.of(1, 2, 3, 5) }, rest)),
  );
  const first = hashOf(ipv4(who, rest, 0x2000));
  const last = hashOf(ipv4({ ...who, ports: Uint8Array.of(7, 7, 7, 7) }, rest, 0x00b9));
  assert.equal(first, last);
});

test("any bytes are taken, and what is no IP is told by its MAC addresses", () => {
  const flow = new Flow();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (any) => {
      const view = new DataView(any.slice().buffer);
      flow.readFrame(view, 0, any.length);
      flow.readPacket(view, 0, any.length);
      assert(flow.dscp >= NO_CLASS && flow.dscp < 64);
    }),
  );
  const arp = ethernetOf(0x0806, new Uint8Array(28), 0);
  flow.readFrame(arp, 0, arp.byteLength);
  const before = flow.hash;
  assert.equal(flow.dscp, NO_CLASS);
  arp.setUint8(5, 77);
  flow.readFrame(arp, 0, arp.byteLength);
  assert.notEqual(flow.hash, before);
});
