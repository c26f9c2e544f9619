/**
 * Two hosts with several networks between them, for the scenarios about uplinks:
 *
 *     tb --up0-- 192.0.2.0/24   --up0-- gw
 *        --up1-- 198.18.1.0/24  --up1--
 *        --up2-- 198.18.2.0/24  --up2--
 *
 * The gateway is reached at 203.0.113.1 and 2001:db8:9::1 by each of them; the testbed's box
 * prefers up0 by metric. Loss is an nftables random drop at the receiving end of each direction.
 */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  dialDocuments,
  type Fields,
  listenDocuments,
  writeDocuments,
} from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import type { Namespace, Network } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";

/** Names and addresses of the uplinks. */
export const UPLINKS = [
  { name: "isp-a", interface: "up0", gateway: "192.0.2.1", box: "192.0.2.2" },
  { name: "isp-b", interface: "up1", gateway: "198.18.1.1", box: "198.18.1.2" },
  { name: "lte", interface: "up2", gateway: "198.18.2.1", box: "198.18.2.2" },
] as const;

/** Where the gateway is reached, whatever the uplink. */
export const GATEWAY_ADDRESS = "203.0.113.1";
/** The gateway's address on the segment. */
export const SEGMENT_GATEWAY = "10.20.0.1";
const PEER = "box";
/** The blocks of policy Fec in the scenarios. */
const FEC = { dataPackets: 10, parityPackets: 3, maxDelayMs: 30, adaptive: false } as const;

/** The two hosts. */
export interface UplinkHosts {
  readonly gateway: Namespace;
  readonly box: Namespace;
}

/** Makes the hosts, their cables, addresses and routes; a mark tells several pairs of one network apart. */
export async function buildUplinkHosts(network: Network, mark = ""): Promise<UplinkHosts> {
  const gateway = await network.namespace(`gw${mark}`);
  const box = await network.namespace(`tb${mark}`);
  await gateway.addresses("lo", `${GATEWAY_ADDRESS}/32`);
  for (const [metric, uplink] of UPLINKS.entries()) {
    const device = uplink.interface;
    await network.cable(
      { namespace: box, interface: device },
      { namespace: gateway, interface: device },
    );
    await gateway.addresses(device, `${uplink.gateway}/24`);
    await box.addresses(device, `${uplink.box}/24`);
    await box.ip(
      `route add ${GATEWAY_ADDRESS} via ${uplink.gateway} dev ${device} metric ${metric + 1}`,
    );
  }
  return { gateway, box };
}

/** Loses so many percent of what arrives by each of the devices; 100 cuts them silently. */
export async function loseOn(
  namespace: Namespace,
  devices: readonly string[],
  percent: number,
): Promise<void> {
  await loseEach(namespace, new Map(devices.map((device) => [device, percent])));
}

/** The same with a share for each device; whoever is not named loses nothing. */
export async function loseEach(
  namespace: Namespace,
  percents: ReadonlyMap<string, number>,
): Promise<void> {
  await ensureCommands(["nft"]);
  // Of 10000: nft's random numbers are whole.
  const rules = [...percents].map(([device, percent]) => {
    const share = `numgen random mod 10000 < ${Math.round(percent * 100)} drop`;
    return `    iifname "${device}" ${percent >= 100 ? "drop" : share}`;
  });
  const table = [
    // Added first, so that there is one to delete.
    "add table inet loss",
    "delete table inet loss",
    "table inet loss {",
    "  chain input {",
    "    type filter hook input priority 0; policy accept;",
    ...rules,
    "  }",
    "}",
  ];
  await namespace.run(["nft", "-f", "-"], { input: `${table.join("\n")}\n` });
}

/** A gateway that listens and a box that dials, with the uplinks that a spec names. */
export interface UplinkTunnel extends AsyncDisposable {
  readonly gateway: FairleadPeer;
  readonly box: FairleadPeer;
  /** Makes the UplinkSet another one while the tunnel runs. */
  readonly change: (uplinkSet: Fields) => Promise<void>;
}

/** A listening gateway, its file and its folder, from which profiles are printed. */
export interface RunningGateway extends AsyncDisposable {
  readonly peer: FairleadPeer;
  readonly file: string;
  readonly folder: string;
}

/** Starts the gateway alone. */
export async function startGateway(hosts: UplinkHosts, folder: string): Promise<RunningGateway> {
  await mkdir(folder, { recursive: true });
  const file = await writeDocuments(
    join(folder, "gateway.yaml"),
    listenDocuments({ peers: [PEER], advertise: [{ host: GATEWAY_ADDRESS }] }),
  );
  const peer = await startFairlead(hosts.gateway, [file], { folder: join(folder, "gateway") });
  await peer.waitUntilUp();
  return {
    peer,
    file,
    folder: join(folder, "gateway"),
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}

/** Starts both ends and waits until they are up. `uplinkSet` is the spec of an UplinkSet. */
export async function startUplinkTunnel(
  hosts: UplinkHosts,
  folder: string,
  uplinkSet: Fields | undefined,
): Promise<UplinkTunnel> {
  await using stack = new AsyncDisposableStack();
  const {
    peer: gateway,
    file,
    folder: gatewayFolder,
  } = stack.use(await startGateway(hosts, folder));
  const profile = await printProfile(PEER, file, { folder: gatewayFolder });
  const metadata = { name: "uplinks", namespace: "lab" };
  const spec = uplinkSet === undefined ? {} : { spec: { uplinks: { name: "uplinks" } } };
  const documents = dialDocuments({ profile, ...spec });
  const write = async (wish: Fields | undefined): Promise<string> => {
    const set = { apiVersion: "fairlead.dev/v1alpha1", kind: "UplinkSet", metadata, spec: wish };
    return await writeDocuments(
      join(folder, "box.yaml"),
      wish === undefined ? documents : [...documents, set],
    );
  };
  const dial = await write(uplinkSet);
  const box = stack.use(await startFairlead(hosts.box, [dial], { folder: join(folder, "box") }));
  await box.waitUntilUp();
  const change = async (wish: Fields): Promise<void> => {
    await write(wish);
    box.signal("SIGHUP");
  };
  const parts = stack.move();
  return { gateway, box, change, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

/** The spec of an UplinkSet over the first `count` uplinks. */
export function uplinkSetOf(count: number, policy: "Failover" | "Duplicate" | "Fec"): Fields {
  return {
    uplinks: UPLINKS.slice(0, count).map((uplink, index) => ({
      name: uplink.name,
      interface: uplink.interface,
      priority: index + 1,
    })),
    policy,
    ...(policy === "Duplicate" ? { duplicate: { copies: Math.max(2, count) } } : {}),
    ...(policy === "Fec" ? { fec: FEC } : {}),
  };
}

/** What a stream of echoes over the segment came to. */
export interface Echoes {
  readonly sent: number;
  readonly lost: number;
  readonly lostPercent: number;
  /** Longest time without a reply, milliseconds. */
  readonly gapMsMax: number;
}

/** Echoes from the box to the gateway over the segment; `during` runs beside them. */
export async function echo(
  hosts: UplinkHosts,
  options: {
    readonly count: number;
    readonly intervalMs: number;
    readonly bytes?: number;
    /** Echoes that may leave at once, so that a late one does not make all others late. */
    readonly burst?: number;
  },
  during?: () => Promise<void>,
): Promise<Echoes> {
  const interval = (options.intervalMs / 1000).toFixed(4);
  const command = ["ping", "-n", "-D", "-W", "1", "-c", String(options.count), "-i", interval];
  if (options.bytes !== undefined) command.push("-s", String(options.bytes));
  if (options.burst !== undefined) command.push("-l", String(options.burst));
  const times: number[] = [];
  let firstSequence = 0;
  const program = hosts.box.start([...command, SEGMENT_GATEWAY], {
    onLine: (line) => {
      const match = /^\[(\d+\.\d+)\] \d+ bytes from .* icmp_seq=(\d+) /.exec(line);
      if (match === null) return;
      if (times.length === 0) firstSequence = Number(match[2]);
      times.push(Number(match[1]) * 1000);
    },
  });
  await using stack = new AsyncDisposableStack();
  stack.use(program);
  await during?.();
  await program.waitForEnd(options.count * options.intervalMs * 3 + 30_000);
  const match = /(\d+) packets transmitted, (\d+) received/.exec(program.output);
  // Without its interface ping gives up at once: what it did not send is lost as well.
  const sent = Number(match?.[1] ?? 0) || options.count;
  const lost = sent - Number(match?.[2] ?? 0);
  return {
    sent,
    lost,
    lostPercent: Math.round((lost / sent) * 1e5) / 1e3,
    gapMsMax: longestGap(times, firstSequence, { count: sent, intervalMs: options.intervalMs }),
  };
}

/** Silence at the beginning and at the end counts as well: the last echo had its second. */
function longestGap(
  times: readonly number[],
  firstSequence: number,
  sent: { readonly count: number; readonly intervalMs: number },
): number {
  const [first] = times;
  if (first === undefined) return sent.count * sent.intervalMs;
  const lastSentMs = first + (sent.count - firstSequence) * sent.intervalMs;
  const ends = [
    first - (firstSequence - 1) * sent.intervalMs,
    ...times,
    Math.max(lastSentMs, times.at(-1) ?? 0),
  ];
  const gaps = ends.slice(1).map((time, at) => time - (ends[at] ?? time));
  return Math.round(Math.max(0, ...gaps));
}
