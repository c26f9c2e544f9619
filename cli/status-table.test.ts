import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventStatus, ProcessStatus, TunnelStatus } from "../sidecar/control/status.ts";
import { renderStatus } from "./status-table.ts";

const quiet = { packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 };

const tunnel: TunnelStatus = {
  namespace: "default",
  name: "rig",
  role: "listen",
  state: "Up",
  interface: "fl-rig",
  segmentInterface: "br0",
  mtuBytes: 1500,
  peers: [
    {
      name: "box",
      port: 1,
      state: "Up",
      remote: "192.0.2.7:41000",
      local: "198.51.100.1",
      cipher: "AES-256-GCM",
      silentMs: 1234,
      traffic: { packetsIn: 3, bytesIn: 999, packetsOut: 4, bytesOut: 1_500_000 },
      key: { keyId: 3, packets: 7, bytes: 1_500_999, failed: 0, usedPercent: 0.07 },
    },
    { name: "lab", port: 0, state: "Absent" },
  ],
  stations: [
    { mac: "02:00:00:00:00:01", vlan: 0, behind: "box", silentMs: 42_400, isDeclared: false },
    { mac: "02:00:00:00:00:02", vlan: 7, behind: "tap", silentMs: 0, isDeclared: true },
  ],
  groups: [],
  queriers: [],
  shut: [],
  tap: quiet,
  counters: { "rx.packets": 3, "rx.tooShort": 2, "rx.malformed": 0, "switch.flooded": 1 },
};

const status: ProcessStatus = {
  pid: 1,
  version: "0.1.0",
  since: "2026-08-01T00:00:00.000Z",
  tunnels: [tunnel],
  refused: [{ name: "default/other", problems: ["spec.port: missing"] }],
};

test("what happened on the segment is told with how often and when", () => {
  const moved = "station 02:00:00:00:00:01 moved from tap to box";
  const storm = "storm of broadcasts by box: frames dropped";
  const events: EventStatus[] = [
    { kind: "storm", what: storm, count: 1200, silentMs: 400 },
    { kind: "moved", what: moved, count: 1, silentMs: 61_000 },
  ];
  const text = renderStatus([{ ...status, tunnels: [{ ...tunnel, events }] }], false);
  const lines = text.split("\n").filter((line) => /EVENT|storm|moved/.test(line));
  assert.deepEqual(lines, [
    "  EVENT                                            COUNT  LAST",
    "  storm of broadcasts by box: frames dropped       1200   0.4s ago",
    "  station 02:00:00:00:00:01 moved from tap to box  1      61s ago",
  ]);
});

test("frames that were too long are said in words", () => {
  const counters = { "tap.frameTooBig": 2, "tx.tooBig": 1, "router.tooBig": 4, "tx.overMtu": 5 };
  const text = renderStatus([{ ...status, tunnels: [{ ...tunnel, counters }] }], false);
  assert.match(text, /\n {2}3 frames were longer than the MTU of 1500: dropped\n/);
  assert.match(text, /\n {2}4 packets were longer than their peer takes: dropped, senders told\n/);
  assert.match(
    text,
    /\n {2}5 packets were longer than their path takes, .* transport\.fragmentBytes at both ends/,
  );
});

test("what waited to be put in order is told with how long, and is no drop", () => {
  const counters = {
    "reorder.held": 40,
    "reorder.heldMs": 100,
    "reorder.filled": 38,
    "reorder.expired": 2,
  };
  const one = { ...status, tunnels: [{ ...tunnel, counters }] };
  const text = renderStatus([one], false);
  assert.match(
    text,
    /\n {2}40 TCP segments waited for earlier ones, 2\.5 ms on average; for 38 of them these came\n {2}nothing dropped\n/,
  );
  assert.match(renderStatus([one], true), /\n {2}reorder\.expired +2\n/);
});

test("what crossed each path is a table of its own, with what only it brought", () => {
  const path = {
    ...{
      uplink: "isp-a",
      remote: "203.0.113.1:1194",
      isUsable: true,
      isAlive: true,
      isActive: true,
    },
    ...{ reorderedPackets: 0, rttMs: 11.2, rttMsP50: 11, rttMsP99: 30 },
    ...{ packetsIn: 1, bytesIn: 2000, packetsOut: 2, bytesOut: 3000 },
    ...{ latePackets: 4, duplicatePackets: 5, savedPackets: 6, recoveredPackets: 7 },
  };
  const lastChange = { at: "2026-08-01T00:00:01.000Z", cause: "silent" };
  const uplink = { name: "isp-a", isUsable: true, cause: "address 192.0.2.2", address: "" };
  const peers = tunnel.peers.map((peer) =>
    peer.state === "Up" ? { ...peer, paths: [path], unrecoverablePackets: 8 } : peer,
  );
  const shown = { ...tunnel, peers, uplinks: [{ ...uplink, lastChange }] };
  const text = renderStatus([{ ...status, tunnels: [shown] }], false);
  assert.match(
    text,
    / {2}UPLINK +STATE +CAUSE +LAST CHANGE\n {2}isp-a +Usable +address 192\.0\.2\.2 +2026-08-01T00:00:01Z: silent\n/,
  );
  assert.match(text, /\n {2}box: 8 packets were lost though parity came: too little\n/);
  assert.match(text, / {2}11\.2 ms, p99 30 ms {2}/);
  assert.match(
    text,
    /\n {2}BY PATH OF +UPLINK +IN +OUT +LATE +DUPLICATES +SAVED +RECOVERED\n {2}box +isp-a +2\.0 kB +3\.0 kB +4 +5 +6 +7\n/,
  );
});

test("a small status is one screen of aligned tables", () => {
  assert.deepEqual(renderStatus([status], false).split("\n"), [
    "TUNNEL       ROLE    STATE  PEERS  STATIONS  INTERFACE      MTU",
    "default/rig  listen  Up     1/2    2         fl-rig in br0  1500",
    "",
    "default/rig",
    "  PEER  STATE   REMOTE           LOCAL         CIPHER       IN     OUT     KEY       HEARD",
    "  box   Up      192.0.2.7:41000  198.51.100.1  AES-256-GCM  999 B  1.5 MB  3 0.07 %  1.2s ago",
    "  lab   Absent  -                -             -            -      -       -         -",
    "",
    "  STATION            VLAN  BEHIND  SEEN",
    "  02:00:00:00:00:01  -     box     42s ago",
    "  02:00:00:00:00:02  7     tap     declared",
    "",
    "  COUNTER      COUNT",
    "  rx.tooShort  2",
    "",
    "default/other  Refused",
    "  spec.port: missing",
    "",
  ]);
});

test("with all counters the traffic is shown too, zeros never", () => {
  const text = renderStatus([status], true);
  for (const name of ["rx.packets", "rx.tooShort", "switch.flooded"])
    assert.match(text, new RegExp(name));
  assert.doesNotMatch(text, /rx\.malformed/);
});

test("nothing at all is an empty line, not a table", () => {
  assert.equal(renderStatus([], false), "\n");
  assert.equal(renderStatus([{ ...status, tunnels: [], refused: [] }], true), "\n");
});

test("a tunnel without peers, stations and drops says so, and a failed one why", () => {
  const empty = { ...tunnel, peers: [], stations: [], counters: {}, segmentInterface: "fl-rig" };
  const failed = { ...empty, state: "Failed" as const, problem: "port 1194 is in use" };
  const lines = renderStatus([{ ...status, tunnels: [failed], refused: [] }], false).split("\n");
  assert.match(lines[1] ?? "", /Failed +0\/0 +0 +fl-rig +1500$/);
  assert.equal(lines[4], "  port 1194 is in use");
  assert(lines.includes("  nothing dropped"));
});

test("a routed tunnel shows its networks in place of stations", () => {
  const routes = [
    { network: "10.96.0.0/12", behind: "here" },
    { network: "10.31.0.0/16", behind: "box", isUp: true },
    { network: "10.32.0.0/16", behind: "lab", isUp: false, note: "not set: a route is there" },
  ];
  const one = { ...status, tunnels: [{ ...tunnel, routes }], refused: [] };
  const lines = renderStatus([one], false).split("\n");
  const at = lines.findIndex((line) => line.startsWith("  NETWORK"));
  assert.deepEqual(lines.slice(at, at + 4), [
    "  NETWORK       BEHIND",
    "  10.96.0.0/12  here",
    "  10.31.0.0/16  box",
    "  10.32.0.0/16  lab (not connected)  not set: a route is there",
  ]);
  assert(!lines.some((line) => line.includes("STATION  ")));
});

test("bytes are counted in steps of a thousand, from B to TB", () => {
  const shown = [0, 999, 1000, 12_345_678, 1e9, 1e12, 1e16].map((bytesIn) => {
    const [peer] = tunnel.peers;
    assert(peer !== undefined);
    const peers = [{ ...peer, traffic: { ...quiet, bytesIn } }];
    const text = renderStatus([{ ...status, tunnels: [{ ...tunnel, peers }] }], false);
    return / AES-256-GCM +(\S+ \S+)/.exec(text)?.[1];
  });
  assert.deepEqual(shown, ["0 B", "999 B", "1.0 kB", "12.3 MB", "1.0 GB", "1.0 TB", "10000.0 TB"]);
});

test("no line ends in blanks", () => {
  for (const line of renderStatus([status], true).split("\n")) assert.equal(line, line.trimEnd());
});

test("what a path carries is told as the least, or as about all of it once it was full", () => {
  const path = {
    ...{ remote: "192.0.2.7:1194", isUsable: true, isAlive: true, isActive: true },
    reorderedPackets: 0,
  };
  const carried = { capacityOutMbit: 4.1, isFullOut: true, capacityBackMbit: 90 } as const;
  const paths = [{ ...path, uplink: "isp-a", ...carried }, path];
  const peers = [{ name: "box", port: 1, state: "Up" as const, paths }];
  const text = renderStatus([{ ...status, tunnels: [{ ...tunnel, peers }] }], false);
  const lines = text.split("\n").filter((line) => line.includes("192.0.2.7:1194"));
  assert.deepEqual(
    lines.map((line) => line.trim().split(/ {2,}/).at(-1)),
    ["about 4.1 Mbit/s out, at least 90 Mbit/s back", "unknown"],
  );
});
