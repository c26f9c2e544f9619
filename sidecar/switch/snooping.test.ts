import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { groupData, igmp, igmp3, mld, mld2 } from "../../test/support/group-frames.ts";
import { Counter, Counters } from "../counters.ts";
import { addressWords } from "../uplink/address-words.ts";
import { Forwarding, ForwardVerdict } from "./forwarding.ts";
import { ALL_PORTS, QUESTION_MS } from "./group-questions.ts";
import { GroupTable } from "./group-table.ts";
import { MacTable } from "./mac-table.ts";
import { createOwnStation, isOwnStation } from "./own-station.ts";
import type { QuerierMode } from "./querier.ts";
import { Snooping } from "./snooping.ts";

const PORTS = 6;
const SETTLED_MS = 3000;
const JOIN = { kind: 4, group: "239.1.2.3" };

class Bench {
  readonly counters: Counters = new Counters();
  readonly own: ReturnType<typeof createOwnStation> = createOwnStation(0x10_0000);
  readonly forwarding: Forwarding;
  readonly snooping: Snooping;
  readonly #view: DataView = new DataView(new ArrayBuffer(2000));

  constructor(
    options: {
      querier?: QuerierMode;
      unknownGroups?: "Flood" | "Drop";
      withoutAddress?: boolean;
      memberships?: number;
    } = {},
  ) {
    const table = new MacTable({
      portsMax: PORTS,
      stationsMax: 40,
      tapStationsMax: 20,
      peerStationsMax: 20,
      declaredMax: 4,
      ageMs: 300_000,
      seed: 1,
    });
    const groups = new GroupTable({
      portsMax: PORTS,
      groupsMax: 64,
      membersMax: 128,
      sourcesMax: 128,
      tapMembersMax: 64,
      peerMembersMax: options.memberships ?? 32,
      sourcesPerMemberMax: 8,
      membershipMs: 260_000,
      seed: 1,
    });
    this.snooping = new Snooping({
      table: groups,
      portsMax: PORTS,
      querier: options.querier ?? "Auto",
      address4: options.withoutAddress === true ? undefined : addressWords("10.20.0.1"),
      unknownGroups: options.unknownGroups ?? "Flood",
      membershipMs: 260_000,
      macLow: this.own.low,
      isOurMac: isOwnStation,
      stationsBehind: (port) => table.portStationCount(port),
      counters: this.counters,
      nowMs: 0,
    });
    this.forwarding = new Forwarding({
      table,
      snooping: this.snooping,
      own: this.own,
      portsMax: PORTS,
      counters: this.counters,
    });
    for (let port = 0; port < 4; port++) this.forwarding.openPort(port);
    this.at(0);
  }

  at(nowMs: number): this {
    this.forwarding.nowMs = nowMs;
    this.snooping.tick(nowMs, 64);
    return this;
  }

  /** The sorted targets of a frame, or the verdict. */
  send(port: number, frame: Buffer): number | number[] {
    new Uint8Array(this.#view.buffer).set(frame, 32);
    const count = this.forwarding.decide(this.#view, 32, 32 + frame.length, port);
    return count < 0 ? count : [...this.forwarding.targets.subarray(0, count)].sort();
  }

  /** Ports and groups of the queries asked since the last call. */
  queries(): string[] {
    const texts: string[] = [];
    for (
      let query = this.snooping.takeQuery();
      query !== undefined;
      query = this.snooping.takeQuery()
    ) {
      const about = query.group.every((word) => word === 0)
        ? "all"
        : String((query.group[3] as number) & 0xff);
      texts.push(
        `${query.family} port ${query.port} ${about} v${query.version} ${query.sourceCount}`,
      );
    }
    return texts;
  }
}

test("a joined group goes to its members only, IPv4 and IPv6, each once", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.send(1, igmp3([JOIN]));
  bench.send(2, igmp(0x16, "239.1.2.4", { mac: "02:00:00:00:00:02" }));
  bench.send(3, mld2([{ kind: 4, group: "ff15::3" }], { mac: "02:00:00:00:00:03" }));
  assert.deepEqual(bench.send(0, groupData("239.1.2.3", { mac: "02:00:00:00:00:09" })), [1]);
  assert.deepEqual(bench.send(0, groupData("239.1.2.4", { mac: "02:00:00:00:00:09" })), [2]);
  assert.deepEqual(bench.send(0, groupData("ff15::3", { mac: "02:00:00:00:00:09" })), [3]);
  assert.equal(bench.send(1, groupData("239.1.2.3")), ForwardVerdict.noMember);
});

test("two groups that share a MAC address are told apart", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.send(1, igmp3([JOIN]));
  bench.send(2, igmp3([{ kind: 4, group: "238.129.2.3" }], { mac: "02:00:00:00:00:02" }));
  assert.deepEqual(bench.send(3, groupData("239.1.2.3", { mac: "02:00:00:00:00:09" })), [1]);
  assert.deepEqual(bench.send(3, groupData("238.129.2.3", { mac: "02:00:00:00:00:09" })), [2]);
});

test("unknown groups follow the policy; link-local ones and other protocols go everywhere", () => {
  const flood = new Bench().at(SETTLED_MS);
  const drop = new Bench({ unknownGroups: "Drop" }).at(SETTLED_MS);
  assert.deepEqual(flood.send(1, groupData("239.9.9.9")), [0, 2, 3]);
  assert.equal(drop.send(1, groupData("239.9.9.9")), ForwardVerdict.noMember);
  for (const group of ["224.0.0.251", "ff02::fb", "ff01::1", "ff02::1:ff00:1"]) {
    assert.deepEqual(drop.send(1, groupData(group)), [0, 2, 3], group);
  }
  const ptp = groupData("239.9.9.9");
  ptp.writeUInt16BE(0x88f7, 12);
  assert.deepEqual(drop.send(1, ptp), [0, 2, 3]);
});

test("without a querier, and until hosts have answered the first one, everything is flooded", () => {
  const alone = new Bench({ querier: "Never" }).at(SETTLED_MS);
  alone.send(1, igmp3([JOIN]));
  assert.deepEqual(alone.send(2, groupData("239.1.2.3", { mac: "02:00:00:00:00:09" })), [0, 1, 3]);
  const nameless = new Bench({ withoutAddress: true }).at(SETTLED_MS);
  nameless.send(1, igmp3([JOIN]));
  assert.deepEqual(
    nameless.send(2, groupData("239.1.2.3", { mac: "02:00:00:00:00:09" })),
    [0, 1, 3],
  );
  const early = new Bench().at(100);
  early.send(1, igmp3([JOIN]));
  assert.deepEqual(early.send(2, groupData("239.1.2.3", { mac: "02:00:00:00:00:09" })), [0, 1, 3]);
});

test("sources: only what was asked for comes", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.send(1, igmp3([{ kind: 3, group: "239.1.2.3", sources: ["10.20.0.7"] }]));
  const from = (source: string): number | number[] =>
    bench.send(0, groupData("239.1.2.3", { mac: "02:00:00:00:00:09", source }));
  assert.deepEqual(from("10.20.0.7"), [1]);
  assert.equal(from("10.20.0.6"), ForwardVerdict.noMember);
});

test("a leave is asked about twice, 400 ms apart, and ends within a second", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.send(1, igmp(0x16, "239.1.2.3"));
  bench.queries();
  bench.send(1, igmp(0x17, "239.1.2.3"));
  assert.deepEqual(bench.queries(), ["4 port 1 3 v3 0"]);
  const data = groupData("239.1.2.3", { mac: "02:00:00:00:00:09" });
  bench.at(SETTLED_MS + 300);
  assert.deepEqual(bench.queries(), []);
  bench.at(SETTLED_MS + 400);
  assert.deepEqual(bench.queries(), ["4 port 1 3 v3 0"]);
  bench.at(SETTLED_MS + QUESTION_MS - 1);
  assert.deepEqual(bench.send(0, data), [1]);
  bench.at(SETTLED_MS + QUESTION_MS);
  assert.equal(bench.send(0, data), ForwardVerdict.noMember);
});

test("a leave that is repeated ends when the first one would have", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.send(1, igmp3([JOIN]));
  const leave = igmp3([{ kind: 3, group: "239.1.2.3" }]);
  bench.send(1, leave);
  bench.at(SETTLED_MS + 600).send(1, leave);
  bench.at(SETTLED_MS + QUESTION_MS);
  const data = groupData("239.1.2.3", { mac: "02:00:00:00:00:09" });
  assert.equal(bench.send(0, data), ForwardVerdict.noMember);
});

test("a leave that another host behind the port contradicts changes nothing", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.send(1, mld(131, "ff15::3"));
  bench.queries();
  bench.send(1, mld(132, "ff15::3"));
  bench.send(1, mld(131, "ff15::3", { mac: "02:00:00:00:00:02" }));
  bench.queries();
  bench.at(SETTLED_MS + 500).at(SETTLED_MS + 5000);
  assert.deepEqual(
    bench.queries().filter((text) => text.includes("port 1")),
    [],
  );
  assert.deepEqual(bench.send(0, groupData("ff15::3", { mac: "02:00:00:00:00:09" })), [1]);
});

test("Auto is silent once somebody else asks, and asks again when that one is gone", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.queries();
  bench.send(
    3,
    igmp(0x11, "0.0.0.0", { code: 100, mac: "02:00:00:00:00:07", source: "10.20.0.254" }),
  );
  for (let nowMs = SETTLED_MS; nowMs < 200_000; nowMs += 10_000) bench.at(nowMs);
  assert.deepEqual(
    bench.queries().filter((text) => text.startsWith("4")),
    [],
  );
  bench.send(1, igmp3([JOIN]));
  const data = groupData("239.1.2.3", { mac: "02:00:00:00:00:09" });
  assert.deepEqual(bench.send(0, data), [1, 3], "a router port gets every group");
  for (let nowMs = 200_000; nowMs < 300_000; nowMs += 10_000) bench.at(nowMs);
  assert.ok(bench.queries().some((text) => text.startsWith(`4 port ${ALL_PORTS} all`)));
  assert.deepEqual(bench.send(0, data), [1]);
});

test("a query from nobody's address is none, and Always asks beside others", () => {
  const bench = new Bench({ querier: "Always" }).at(SETTLED_MS);
  bench.send(3, igmp(0x11, "0.0.0.0", { code: 100, source: "0.0.0.0" }));
  bench.send(1, igmp3([JOIN], { mac: "02:00:00:00:00:08" }));
  assert.deepEqual(bench.send(0, groupData("239.1.2.3", { mac: "02:00:00:00:00:09" })), [1]);
  bench.send(3, igmp(0x11, "0.0.0.0", { code: 100, source: "10.20.0.254" }));
  bench.queries();
  bench.at(130_000);
  assert.ok(bench.queries().includes(`4 port ${ALL_PORTS} all v2 0`), "in the older one's version");
});

test("reports go to router ports only, so that no other host keeps its own back", () => {
  const bench = new Bench().at(SETTLED_MS);
  assert.equal(bench.send(1, igmp(0x16, "239.1.2.3")), ForwardVerdict.noMember);
  bench.send(
    3,
    igmp(0x11, "0.0.0.0", { code: 100, source: "10.20.0.254", mac: "02:00:00:00:00:07" }),
  );
  assert.deepEqual(bench.send(1, igmp(0x16, "239.1.2.3")), [3]);
});

test("a leave where others ask is theirs to ask about, unless the port is a single host's", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.send(
    3,
    igmp(0x11, "0.0.0.0", { code: 100, source: "10.20.0.254", mac: "02:00:00:00:00:07" }),
  );
  bench.send(1, igmp(0x16, "239.1.2.3"));
  bench.send(2, igmp(0x16, "239.1.2.3", { mac: "02:00:00:00:00:02" }));
  bench.send(2, igmp(0x16, "239.1.2.9", { mac: "02:00:00:00:00:03" }));
  bench.queries();
  bench.send(1, igmp(0x17, "239.1.2.3"));
  bench.send(2, igmp(0x17, "239.1.2.3", { mac: "02:00:00:00:00:02" }));
  assert.deepEqual(bench.queries(), ["4 port 1 3 v3 0"]);
  // The querier's own question shortens the other's time.
  bench.send(
    3,
    igmp(0x11, "239.1.2.3", { code: 10, source: "10.20.0.254", mac: "02:00:00:00:00:07" }),
  );
  bench.at(SETTLED_MS + 2600);
  assert.deepEqual(bench.send(0, groupData("239.1.2.3", { mac: "02:00:00:00:00:09" })), [3]);
});

test("a port with more groups than its share gets every group, and only that port", () => {
  const bench = new Bench({ memberships: 4 }).at(SETTLED_MS);
  for (let index = 1; index <= 5; index++) bench.send(1, igmp(0x16, `239.1.1.${index}`));
  assert.equal(bench.counters.get(Counter.switchGroupPortFull), 1);
  bench.send(2, igmp(0x16, "239.1.2.3", { mac: "02:00:00:00:00:02" }));
  assert.deepEqual(bench.send(0, groupData("239.1.2.3", { mac: "02:00:00:00:00:09" })), [1, 2]);
});

test("a port that comes up is asked at once; one that ended has no membership", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.queries();
  bench.forwarding.openPort(4);
  bench.snooping.portReady(4, SETTLED_MS);
  bench.at(SETTLED_MS);
  assert.deepEqual(bench.queries(), ["4 port 4 all v3 0", "6 port 4 all v3 0"]);
  bench.send(4, igmp3([JOIN]));
  bench.forwarding.closePort(4);
  assert.equal(
    bench.send(0, groupData("239.1.2.3", { mac: "02:00:00:00:00:09" })),
    ForwardVerdict.noMember,
  );
});

test("each VLAN has its own groups", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.send(1, igmp3([JOIN], { vlan: 7 }));
  bench.at(2 * SETTLED_MS).at(3 * SETTLED_MS);
  const mac = "02:00:00:00:00:09";
  assert.deepEqual(bench.send(0, groupData("239.1.2.3", { vlan: 7, mac })), [1]);
  assert.deepEqual(bench.send(0, groupData("239.1.2.3", { mac })), [1, 2, 3]);
});

test("nothing is learnt from a truncated or forged message, and no bytes make the switch fail", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.send(1, igmp3([JOIN], { withWrongChecksum: true }));
  bench.send(1, igmp3([JOIN], { hopLimit: 5 }));
  assert.deepEqual(bench.send(0, groupData("239.1.2.3", { mac: "02:00:00:00:00:09" })), [1, 2, 3]);
  const seed = fc.constantFrom(
    igmp3([JOIN]),
    mld2([{ kind: 4, group: "ff15::3" }]),
    igmp(0x11, "239.1.2.3", { code: 1 }),
    groupData("239.1.2.3"),
  );
  const edits = fc.array(fc.record({ at: fc.nat(100), byte: fc.nat(255) }), { maxLength: 5 });
  fc.assert(
    fc.property(seed, edits, fc.nat(120), fc.nat(3), (frame, list, cut, port) => {
      const copy = Buffer.from(frame);
      for (const { at, byte } of list) if (at < copy.length) copy[at] = byte;
      const targets = bench.send(port, copy.subarray(0, cut));
      if (typeof targets === "number") return;
      assert.ok(!targets.includes(port) && new Set(targets).size === targets.length);
    }),
    { numRuns: 2000 },
  );
});

test("a host that moves without a leave: its old place is asked, and loses the group within a second", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.queries();
  bench.send(1, igmp3([JOIN]));
  bench.send(2, igmp3([JOIN]));
  const mac = "02:00:00:00:00:09";
  bench.at(SETTLED_MS + 100);
  assert(bench.queries().some((text) => text.startsWith("4 port 1 3 v3")));
  assert.deepEqual(bench.send(3, groupData("239.1.2.3", { mac })), [1, 2]);
  bench.at(SETTLED_MS + 100 + QUESTION_MS);
  assert.deepEqual(bench.send(3, groupData("239.1.2.3", { mac })), [2]);
});

test("a host that stays where another moved from answers, and keeps the group", () => {
  const bench = new Bench().at(SETTLED_MS);
  bench.send(1, igmp3([JOIN]));
  bench.send(1, igmp3([JOIN], { mac: "02:00:00:00:00:05" }));
  bench.send(2, igmp3([JOIN]));
  bench.at(SETTLED_MS + 100);
  bench.send(1, igmp3([{ kind: 2, group: JOIN.group }], { mac: "02:00:00:00:00:05" }));
  bench.at(SETTLED_MS + 100 + QUESTION_MS);
  const mac = "02:00:00:00:00:09";
  assert.deepEqual(bench.send(3, groupData("239.1.2.3", { mac })), [1, 2]);
});

test("settings change while frames flow: memberships stay, who asks and what is unknown change", () => {
  const bench = new Bench({ querier: "Never" }).at(SETTLED_MS);
  assert.deepEqual(bench.queries(), []);
  bench.send(1, igmp3([JOIN]));
  const address4 = addressWords("10.20.0.9");
  bench.snooping.change({ querier: "Auto", unknownGroups: "Drop", address4 }, SETTLED_MS);
  bench.at(SETTLED_MS + 100);
  assert(bench.queries().some((text) => text.startsWith(`4 port ${ALL_PORTS} all`)));
  bench.at(2 * SETTLED_MS);
  const mac = "02:00:00:00:00:09";
  assert.deepEqual(bench.send(0, groupData("239.1.2.3", { mac })), [1], "the join was kept");
  assert.equal(bench.send(0, groupData("239.1.2.77", { mac })), ForwardVerdict.noMember);
  bench.snooping.change({ querier: "Never", unknownGroups: "Drop", address4 }, 2 * SETTLED_MS);
  assert.deepEqual(bench.send(0, groupData("239.1.2.77", { mac })), [1, 2, 3], "nobody asks now");
});
