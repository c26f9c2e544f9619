import assert from "node:assert/strict";
import { test } from "node:test";
import type { PathStatus, PeerStatus, TunnelStatus } from "../sidecar/control/status.ts";
import {
  type GatewaySides,
  peerReports,
  sidesOf,
  type TunnelReport,
  tunnelReport,
} from "./gateway-report.ts";

const ACTIVE = { pod: "a-gateway-0", since: "2026-01-01T00:00:00Z" };
const WALL_MS = Date.UTC(2026, 0, 1);

function path(fields: Partial<PathStatus> = {}): PathStatus {
  return {
    remote: "192.0.2.9:5000",
    isUsable: true,
    isAlive: true,
    isActive: true,
    reorderedPackets: 0,
    ...fields,
  };
}

function peer(name: string, fields: Partial<PeerStatus> = {}): PeerStatus {
  return { name, port: 1, state: "Up", remote: "192.0.2.9:5000", ...fields };
}

function tunnel(fields: Partial<TunnelStatus> = {}): TunnelStatus {
  const traffic = { packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 };
  return {
    ...{ namespace: "lab", name: "a", role: "listen", state: "Up", interface: "fl-a" },
    ...{ segmentInterface: "fl-a", mtuBytes: 1500, peers: [], stations: [], groups: [] },
    ...{ queriers: [], tap: traffic, counters: {} },
    ...fields,
  };
}

function sides(fields: Partial<TunnelStatus>): GatewaySides {
  return { main: tunnel(fields), refused: [] };
}

function report(fields: Partial<TunnelStatus>, former?: TunnelReport): TunnelReport {
  return tunnelReport(sides(fields), { active: ACTIVE, former, wallMs: WALL_MS });
}

test("the summary is what a person reads in a column", () => {
  const { conditions, peers, summary } = report({
    peers: [
      peer("one", { paths: [path({ rttMs: 11.24, lossOutPercent: 0.4, lossBackPercent: 0 })] }),
      peer("two", { paths: [path({ remote: "192.0.2.8:1", isAlive: false })] }),
      peer("three", { state: "Absent", port: 0 }),
      peer("(handshake)", { state: "Handshake" }),
    ],
  });
  assert.deepEqual(summary, { peers: "2/3", paths: "1/2", rtt: "11.2ms", loss: "0.4%" });
  assert.deepEqual(peers, { connected: 2 });
  assert.equal(conditions[0]?.reason, "PeersConnected");
});

test("who is not connected is said with the next step, by role", () => {
  const of = (fields: Partial<TunnelStatus>): string | undefined => {
    const [connected] = report(fields).conditions;
    assert.equal(connected?.status, "False");
    return connected?.reason;
  };
  assert.equal(of({}), "NoPeer");
  assert.equal(of({ peers: [peer("one", { state: "Absent" })] }), "NoPeerConnected");
  assert.equal(of({ role: "dial" }), "NoAnswer");
  const [failed] = report({ role: "dial", problem: "its certificate has ended" }).conditions;
  assert.equal(failed?.message, "its certificate has ended");
});

test("what trembles gives the same report, what changes another one", () => {
  const at = (rttMs: number, former?: TunnelReport): TunnelReport =>
    report({ peers: [peer("one", { paths: [path({ rttMs, lossOutPercent: 0 })] })] }, former);
  const first = at(10);
  for (const rttMs of [9, 11, 14.9, 5.1]) assert.deepEqual(at(rttMs, first), first);
  assert.notDeepEqual(at(16, first), first);
  assert.notDeepEqual(at(3, first), first);
  const tiny = at(0.2);
  assert.deepEqual(at(1.9, tiny), tiny);
});

test("the time of the condition is that of the change of its status", () => {
  const first = report({ peers: [peer("one")] });
  const later = { active: ACTIVE, former: first, wallMs: WALL_MS + 60_000 };
  const same = tunnelReport(sides({ peers: [peer("one"), peer("two")] }), later);
  assert.equal(same.conditions[0]?.lastTransitionTime, "2026-01-01T00:00:00Z");
  const gone = tunnelReport(sides({ peers: [peer("one", { state: "Absent" })] }), later);
  assert.equal(gone.conditions[0]?.lastTransitionTime, "2026-01-01T00:01:00Z");
});

test("each peer's report has what is behind it, and nothing of an absent one's past", () => {
  const joinedBy = [{ behind: "one", sinceMs: 1, filter: "any" as const, sources: [] }];
  const reports = peerReports(
    sides({
      peers: [peer("one", { cipher: "AES-256-GCM" }), peer("two", { state: "Absent" })],
      stations: [
        { mac: "02:00:00:00:00:02", vlan: 0, behind: "one", silentMs: 1, isDeclared: false },
        { mac: "02:00:00:00:00:01", vlan: 7, behind: "tap", silentMs: 1, isDeclared: false },
      ],
      groups: [{ group: "239.1.2.3", vlan: 0, joinedBy, frames: 3 }],
    }),
  );
  const one = reports.get("one");
  assert.deepEqual([one?.stations, one?.groups], [["02:00:00:00:00:02"], ["239.1.2.3"]]);
  assert.deepEqual(reports.get("two"), { connected: false, stations: [], groups: [] });
  assert.equal(peerReports(sides({ role: "dial", peers: [peer("server")] })).size, 0);
});

test("a tunnel with two sides is as connected as its server, and its peers are the pods", () => {
  const pod = peer("a-0011", { paths: [path({ rttMs: 0.3 })] });
  const joinedBy = ["a-0011", "tap"].map((behind) => {
    return { behind, sinceMs: 1, filter: "any" as const, sources: [] };
  });
  const inside = tunnel({
    peers: [pod, peer("a-0022", { state: "Absent" })],
    groups: [{ group: "239.1.2.3", vlan: 0, joinedBy, frames: 3 }],
  });
  const server = peer("server", { paths: [path({ rttMs: 20 })] });
  const of = (fields: Partial<TunnelStatus>): TunnelReport => {
    const process = { pid: 1, version: "1", since: "", refused: [] };
    const far = tunnel({ name: "far-end", role: "dial", mtuBytes: 1400, ...fields });
    const found = sidesOf([{ ...process, tunnels: [inside, far] }]);
    assert(found !== undefined);
    assert.deepEqual([...peerReports(found).keys()], ["a-0011", "a-0022"]);
    return tunnelReport(found, { active: ACTIVE, former: undefined, wallMs: WALL_MS });
  };
  const up = of({ peers: [server] });
  assert.deepEqual(up.summary, { peers: "1/2", paths: "1/1", rtt: "20ms", loss: "-" });
  assert.deepEqual([up.conditions[0]?.reason, up.mtuBytes], ["Connected", 1400]);
  assert.deepEqual(up.groups[0]?.joinedBy, ["a-0011", "segment"]);
  assert.equal(
    of({ peers: [peer("server", { state: "Handshake" })] }).conditions[0]?.reason,
    "NoAnswer",
  );
});

test("documents that the gateway refuses are told with what is wrong, while the old tunnel runs", () => {
  const refused = ["spec.dial.profileSecretRef line 3: up is refused: remove it"];
  const context = { active: ACTIVE, former: undefined, wallMs: WALL_MS };
  const found = tunnelReport({ main: tunnel({ peers: [peer("one")] }), refused }, context);
  const [connected, current] = found.conditions;
  assert.deepEqual(
    [connected?.status, current?.status, current?.reason],
    ["True", "False", "Refused"],
  );
  assert.match(current?.message ?? "", /^What ran before goes on: .*remove it$/);
});
