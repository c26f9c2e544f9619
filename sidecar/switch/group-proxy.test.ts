import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetwork } from "../../crds/ip-network.ts";
import { groupData, igmp, igmp3, mld, mld2 } from "../../test/support/group-frames.ts";
import { Counters, countersSnapshot } from "../counters.ts";
import { addressWords } from "../uplink/address-words.ts";
import { RecordKind } from "../wire/group-message.ts";
import { onesSum } from "../wire/ip-packet.ts";
import { IcmpAnswers } from "./answers.ts";
import { GroupProxy } from "./group-proxy.ts";
import { GroupTable } from "./group-table.ts";
import { NOBODY, prefixWords } from "./prefix-table.ts";
import { OWNER_HERE, Router } from "./router.ts";

const HEADER_BYTES = 14;
const PORTS_MAX = 16;
const MEMBERSHIP_MS = 260_000;
const GROUP = "239.1.2.3";
const GROUP6 = "ff15::1:3";
const JOIN = RecordKind.toExclude;
/** Owners 1, 2 and 3 at ports 5, 9 and 7. */
const ROWS: readonly (readonly [string, number])[] = [
  ["10.20.0.0/24", NOBODY],
  ["10.20.0.1/32", OWNER_HERE],
  ["10.96.0.0/16", OWNER_HERE],
  ["10.20.0.2/32", 1],
  ["10.20.0.3/32", 2],
  ["10.20.0.4/32", 3],
  ["fd20::2/128", 1],
  ["fd20::3/128", 2],
];
const PORTS: readonly (readonly [number, number])[] = [
  [5, 1],
  [9, 2],
  [7, 3],
];

class Bench {
  readonly view = new DataView(new ArrayBuffer(4096));
  readonly counters = new Counters();
  readonly proxy: GroupProxy;
  readonly router: Router;

  constructor(wish: { isPeerToPeer?: boolean; groupsMax?: number; peerMembersMax?: number } = {}) {
    const { isPeerToPeer = true, groupsMax = 8, peerMembersMax = 8 } = wish;
    const { counters } = this;
    const table = new GroupTable({
      ...{ portsMax: PORTS_MAX, groupsMax, peerMembersMax, membersMax: 32, sourcesMax: 32 },
      ...{ tapMembersMax: 8, sourcesPerMemberMax: 8, membershipMs: MEMBERSHIP_MS, seed: 7 },
    });
    const common = { portsMax: PORTS_MAX, counters };
    this.proxy = new GroupProxy({ ...common, table, membershipMs: MEMBERSHIP_MS, nowMs: 0 });
    const answers = new IcmpAnswers({
      own4: addressWords("10.20.0.1"),
      own6: undefined,
      ...common,
    });
    this.router = new Router({
      ...{ isStraight: false, isPeerToPeer, ownersMax: 8, answers, groups: this.proxy, ...common },
    });
    const rows = ROWS.flatMap(([text, owner]) => {
      const network = parseNetwork(text);
      return network === undefined ? [] : [{ network, owner }];
    });
    this.router.setTable(prefixWords(rows));
    for (const [port, owner] of PORTS) this.router.setOwner(port, owner, 1400);
  }

  /** What a packet's way is: its ports in order, its hop limit afterwards, and what was counted. */
  route(port: number, frame: Buffer, hopLimit?: number): Way {
    const packet = frame.subarray(HEADER_BYTES);
    const { view } = this;
    new Uint8Array(view.buffer).set(packet, 64);
    const isIpv4 = view.getUint8(64) >>> 4 === 4;
    const hopAt = 64 + (isIpv4 ? 8 : 7);
    if (hopLimit !== undefined) {
      view.setUint8(hopAt, hopLimit);
      if (isIpv4) view.setUint16(74, 0);
      if (isIpv4) view.setUint16(74, ~onesSum(view, 64, 84, 0) & 0xffff);
    }
    const before = countersSnapshot([this.counters]);
    const count = this.router.decide(view, 64, 64 + packet.length, port);
    const after = countersSnapshot([this.counters]);
    const counted = Object.keys(after).filter((name) => after[name] !== before[name]);
    if (count > 0 && isIpv4) assert.equal(onesSum(view, 64, 84, 0), 0xffff);
    const ports = count < 0 ? [] : [...this.router.targets.subarray(0, count)].sort(byNumber);
    return { ports, hopLimit: view.getUint8(hopAt), counted };
  }
}

interface Way {
  readonly ports: readonly number[];
  readonly hopLimit: number;
  readonly counted: readonly string[];
}

function byNumber(one: number, other: number): number {
  return one - other;
}

function data(source: string, group = GROUP): Buffer {
  return groupData(group, { source });
}

test("a packet to a group goes to the ports that joined it, one hop less, and nowhere else", () => {
  const bench = new Bench();
  const none = bench.route(5, data("10.20.0.2"), 8);
  assert.deepEqual(none, {
    ...{ ports: [], hopLimit: 8 },
    counted: ["switch.groupUnknown"],
  });
  const joined = bench.route(9, igmp3([{ kind: JOIN, group: GROUP }]));
  assert.deepEqual([joined.ports, joined.counted], [[], ["switch.groupMessages"]]);
  bench.route(7, igmp(0x16, GROUP));
  assert.deepEqual(bench.route(5, data("10.20.0.2"), 8), {
    ...{ ports: [7, 9], hopLimit: 7 },
    counted: ["switch.groupFrames", "router.forwarded"],
  });
  // Nobody hears itself, and what this host's kernel has forwarded has lost its hop already.
  assert.deepEqual(bench.route(9, data("10.20.0.3"), 8).ports, [7]);
  const { ports, hopLimit } = bench.route(0, data("10.96.0.9"), 1);
  assert.deepEqual([ports, hopLimit], [[7, 9], 1]);
  // IGMPv2 and v3 leaves take effect with the report.
  bench.route(7, igmp(0x17, GROUP));
  bench.route(9, igmp3([{ kind: RecordKind.toInclude, group: GROUP }]));
  assert.deepEqual(bench.route(5, data("10.20.0.2"), 8).ports, []);
});

test("this host is a member like the others, and the only one that a last hop reaches", () => {
  const bench = new Bench();
  bench.route(0, igmp3([{ kind: JOIN, group: GROUP }]));
  bench.route(9, igmp3([{ kind: JOIN, group: GROUP }]));
  assert.deepEqual(bench.route(5, data("10.20.0.2"), 2).ports, [0, 9]);
  const last = bench.route(5, data("10.20.0.2"), 1);
  assert.deepEqual([last.ports, last.hopLimit], [[0], 1]);
  bench.route(0, igmp3([{ kind: RecordKind.toInclude, group: GROUP }]));
  const spent = bench.route(5, data("10.20.0.2"), 1);
  assert.deepEqual([spent.ports, spent.counted.includes("router.hopLimit")], [[], true]);
});

test("sources are chosen by IGMPv3, and one that is not the sender's own is refused", () => {
  const bench = new Bench();
  bench.route(9, igmp3([{ kind: RecordKind.allow, group: GROUP, sources: ["10.20.0.2"] }]));
  assert.deepEqual(bench.route(5, data("10.20.0.2")).ports, [9]);
  assert.deepEqual(bench.route(7, data("10.20.0.4")).ports, []);
  const forged = bench.route(7, data("10.20.0.2"));
  assert.deepEqual([forged.ports, forged.counted], [[], ["router.sourceRefused"]]);
});

test("peers that may not reach each other do not by groups either", () => {
  const bench = new Bench({ isPeerToPeer: false });
  for (const port of [0, 9]) bench.route(port, igmp3([{ kind: JOIN, group: GROUP }]));
  assert.deepEqual(bench.route(5, data("10.20.0.2")).ports, [0]);
  assert.deepEqual(bench.route(0, data("10.96.0.9")).ports, [9]);
  bench.route(0, igmp3([{ kind: RecordKind.toInclude, group: GROUP }]));
  assert(bench.route(5, data("10.20.0.2")).counted.includes("router.peerToPeerRefused"));
});

test("MLDv1 and v2 from link-local addresses are heard, and IPv6 groups are routed", () => {
  const bench = new Bench();
  bench.route(9, mld2([{ kind: JOIN, group: GROUP6 }]));
  bench.route(7, mld(131, GROUP6));
  assert.deepEqual(bench.route(5, data("fd20::2", GROUP6), 8), {
    ...{ ports: [7, 9], hopLimit: 7 },
    counted: ["switch.groupFrames", "router.forwarded"],
  });
  bench.route(7, mld(132, GROUP6));
  assert.deepEqual(bench.route(5, data("fd20::2", GROUP6), 8).ports, [9]);
  assert(bench.route(5, data("fd20::2", GROUP6), 1).counted.includes("router.hopLimit"));
});

test("what is link-local, malformed or of another protocol joins and reaches nothing", () => {
  const bench = new Bench();
  for (const group of ["224.0.0.251", "ff02::fb"]) {
    const report = group.includes(":") ? mld2 : igmp3;
    bench.route(9, report([{ kind: JOIN, group }]));
    const { ports, counted } = bench.route(
      5,
      data(group.includes(":") ? "fd20::2" : "10.20.0.2", group),
    );
    assert.deepEqual([ports, counted], [[], ["router.group"]]);
  }
  const whole = igmp3([{ kind: JOIN, group: GROUP }]);
  assert.deepEqual(
    bench.route(9, igmp3([{ kind: JOIN, group: GROUP }], { withWrongChecksum: true })).counted,
    ["switch.groupMalformed"],
  );
  assert.deepEqual(bench.route(9, igmp(0x16, GROUP, { hopLimit: 7 })).counted, [
    "switch.groupForeign",
  ]);
  for (let bytes = HEADER_BYTES; bytes < whole.length; bytes++)
    bench.route(9, whole.subarray(0, bytes));
  // A query of a peer's own neither silences us nor makes it a router.
  bench.route(9, igmp(0x11, "0.0.0.0", { code: 100 }));
  assert.deepEqual(bench.route(5, data("10.20.0.2")).ports, []);
});

test("a peer beyond its share of the table gets every group, and that peer only", () => {
  const bench = new Bench({ peerMembersMax: 2 });
  for (const last of [1, 2, 3]) bench.route(9, igmp3([{ kind: JOIN, group: `239.7.7.${last}` }]));
  assert.deepEqual(bench.route(5, data("10.20.0.2", "239.7.7.3")).ports, [9]);
  assert.deepEqual(bench.route(5, data("10.20.0.2", "239.7.7.1")).ports, [9], "named once");
  assert.deepEqual(bench.route(9, data("10.20.0.3", "239.7.7.9")).ports, []);
});

test("what is not reported again ends, and a port that closes takes its memberships along", () => {
  const bench = new Bench();
  for (const port of [7, 9]) bench.route(port, igmp3([{ kind: JOIN, group: GROUP }]));
  bench.router.closePort(7);
  assert.deepEqual(bench.route(5, data("10.20.0.2")).ports, [9]);
  bench.router.nowMs = MEMBERSHIP_MS + 1;
  assert.deepEqual(bench.route(5, data("10.20.0.2")).ports, []);
});

test("every port is asked at the start, a fresh one three times, in both families", () => {
  const { proxy } = new Bench();
  const asked = (nowMs: number): string[] => {
    proxy.tick(nowMs, 8);
    const all: string[] = [];
    for (let query = proxy.takeQuery(); query !== undefined; query = proxy.takeQuery()) {
      all.push(`${query.port}/${query.family}`);
    }
    return all;
  };
  assert.deepEqual(asked(0), ["-1/4", "0/4", "-1/6", "0/6"]);
  assert.deepEqual(asked(100), []);
  proxy.portReady(9, 200);
  assert.deepEqual(asked(200), ["9/4", "9/6"]);
  assert.deepEqual(asked(1700), ["9/4", "9/6"]);
  const last = asked(3300);
  assert.deepEqual(
    last.slice(0, 4),
    ["-1/4", "0/4", "-1/6", "0/6"],
    "the second of three at the start",
  );
  assert.deepEqual([last.slice(4), asked(5400)], [["9/4", "9/6"], []]);
});
