import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { OperatingError } from "../common/operating-error.ts";
import type { ProcessStatus } from "./control/status.ts";
import { COUNTERS } from "./counters.ts";
import { readMetricsPlace, serveMetrics } from "./metrics-server.ts";
import { metricsText } from "./metrics-text.ts";

const traffic = { packetsIn: 1, bytesIn: 2, packetsOut: 3, bytesOut: 4 };
const path = {
  remote: "192.0.2.9:1194",
  isUsable: true,
  isAlive: true,
  isActive: false,
  reorderedPackets: 0,
};
const carried = { capacityOutMbit: 4.5, capacityBackMbit: 90, isFullOut: true } as const;
const status: ProcessStatus = {
  pid: 1,
  version: "0.1.0",
  since: "2026-08-01T00:00:00.000Z",
  tunnels: [
    {
      ...{ namespace: "lab", name: "segment", role: "dial", state: "Up" },
      ...{ interface: "seg0", segmentInterface: "seg0", mtuBytes: 1500 },
      uplinks: [
        {
          ...{ name: "isp-a", isUsable: false, cause: "link down", address: "" },
          lastChange: { at: "2026-08-01T00:00:01.000Z", cause: "link down" },
        },
      ],
      peers: [
        {
          ...{
            name: 'say "x"\\',
            port: 1,
            state: "Up",
            silentMs: 250,
            traffic,
            unrecoverablePackets: 13,
          },
          paths: [
            {
              ...path,
              uplink: "isp-a",
              rttMs: 12.5,
              ...{
                rttMsP50: 12,
                rttMsP99: 40,
                packetsIn: 5,
                bytesIn: 6,
                packetsOut: 7,
                bytesOut: 8,
              },
              ...{ savedPackets: 9, duplicatePackets: 10, latePackets: 11, recoveredPackets: 12 },
              lossOutPercent: 5,
              lossBackPercent: 0,
              ...carried,
            },
            path,
          ],
        },
        { name: "absent", port: 0, state: "Absent" },
      ],
      ...{ stations: [], groups: [], queriers: [], tap: traffic },
      counters: Object.fromEntries(COUNTERS.map(({ name }, index) => [name, index])),
    },
  ],
  refused: [],
};

test("tunnels, uplinks, peers, paths and every counter have a line", () => {
  const lines = metricsText(status).split("\n");
  const peer = 'tunnel="lab/segment",peer="say \\"x\\"\\\\"';
  for (const wanted of [
    'fairlead_info{version="0.1.0"} 1',
    'fairlead_tunnel_up{tunnel="lab/segment"} 1',
    'fairlead_uplink_usable{tunnel="lab/segment",uplink="isp-a"} 0',
    'fairlead_tap_bytes_total{tunnel="lab/segment",direction="out"} 4',
    `fairlead_peer_up{${peer}} 1`,
    'fairlead_peer_up{tunnel="lab/segment",peer="absent"} 0',
    `fairlead_peer_silent_seconds{${peer}} 0.25`,
    `fairlead_peer_packets_total{${peer},direction="in"} 1`,
    `fairlead_path_active{${peer},path="isp-a"} 0`,
    `fairlead_path_alive{${peer},path="192.0.2.9:1194"} 1`,
    `fairlead_path_rtt_seconds{${peer},path="isp-a"} 0.0125`,
    `fairlead_path_rtt_quantile_seconds{${peer},path="isp-a",quantile="0.5"} 0.012`,
    `fairlead_path_rtt_quantile_seconds{${peer},path="isp-a",quantile="0.99"} 0.04`,
    `fairlead_path_packets_total{${peer},path="isp-a",direction="out"} 7`,
    `fairlead_path_bytes_total{${peer},path="isp-a",direction="in"} 6`,
    `fairlead_path_saved_packets_total{${peer},path="isp-a"} 9`,
    `fairlead_path_duplicate_packets_total{${peer},path="isp-a"} 10`,
    `fairlead_path_late_packets_total{${peer},path="isp-a"} 11`,
    `fairlead_path_fec_recovered_packets_total{${peer},path="isp-a"} 12`,
    `fairlead_peer_fec_unrecoverable_packets_total{${peer}} 13`,
    'fairlead_uplink_changed_timestamp_seconds{tunnel="lab/segment",uplink="isp-a"} 1785542401',
    `fairlead_path_loss_ratio{${peer},path="isp-a",direction="out"} 0.05`,
    `fairlead_path_carried_bits_per_second{${peer},path="isp-a",direction="out"} 4500000`,
    `fairlead_path_full{${peer},path="isp-a",direction="out"} 1`,
    `fairlead_path_full{${peer},path="isp-a",direction="in"} 0`,
    'fairlead_rx_too_short_total{tunnel="lab/segment"} 0',
  ]) {
    assert(lines.includes(wanted), wanted);
  }
  const samples = lines.filter((line) =>
    /^fairlead_\w+_total\{tunnel="lab\/segment"\} \d+$/.test(line),
  );
  assert.equal(samples.length, COUNTERS.length);
});

test("of a peer with one path nothing is said that only several paths have", () => {
  const tunnels = status.tunnels.map((tunnel) => {
    const [peer] = tunnel.peers;
    assert(peer !== undefined);
    return { ...tunnel, peers: [{ ...peer, paths: (peer.paths ?? []).slice(0, 1) }] };
  });
  const text = metricsText({ ...status, tunnels });
  assert.match(text, /^fairlead_path_bytes_total\{/m);
  assert.doesNotMatch(text, /^fairlead_path_(saved|duplicate|late|reordered|fec)/m);
});

test("every name is described once and every line is in Prometheus' form", () => {
  const lines = metricsText(status).trimEnd().split("\n");
  const types = lines
    .filter((line) => line.startsWith("# TYPE "))
    .map((line) => line.split(" ")[2]);
  assert.equal(new Set(types).size, types.length);
  const sample = /^fairlead_[a-z0-9_]+\{([a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+\} [0-9.e+-]+$/;
  for (const line of lines) assert(line.startsWith("# ") || sample.test(line), line);
});

test("a place is a port, or an address and a port", () => {
  assert.deepEqual(readMetricsPlace("9464"), { host: "127.0.0.1", port: 9464 });
  assert.deepEqual(readMetricsPlace("0.0.0.0:1"), { host: "0.0.0.0", port: 1 });
  assert.deepEqual(readMetricsPlace("[::1]:9464"), { host: "::1", port: 9464 });
  for (const bad of ["", "x", ":9464", "65536", "host:9464", "1.2.3:9", "::1:9464", "9464 "]) {
    assert.equal(readMetricsPlace(bad), undefined, bad);
  }
});

test("one path answers to GET, the rest is refused, and a port in use is said", async () => {
  const server = await serveMetrics({ host: "127.0.0.1", port: 0 }, () => status);
  const base = `http://127.0.0.1:${server.port}`;
  const good = await fetch(`${base}/metrics`);
  assert.equal(good.status, 200);
  assert.equal(await good.text(), metricsText(status));
  assert.equal((await fetch(`${base}/`)).status, 404);
  assert.equal((await fetch(`${base}/metrics`, { method: "DELETE" })).status, 405);
  await assert.rejects(
    serveMetrics({ host: "127.0.0.1", port: server.port }, () => status),
    (error) => error instanceof OperatingError && error.message.includes("--metrics"),
  );
  // Whoever says nothing does not keep it from ending.
  const mute = connect(server.port, "127.0.0.1");
  mute.on("error", () => undefined);
  await server.close();
  mute.destroy();
});
