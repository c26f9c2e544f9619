/**
 * S0: the reply leaves from the address that was contacted. A gateway with two addresses; a client
 * comes back again and again, each time to the other address, with a fresh or a
 * fixed source port, after a goodbye or a kill. No packet may come from the address that was not
 * contacted, and data flows within a second of the handshake. First the broken case: a stock
 * server with --multihome and a killed client that keeps its port.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { listenDocuments, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import type { Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { stockClientConfig, stockServerConfig } from "../support/stock-config.ts";
import type { LabResult } from "./lab-result.ts";
import type { Screen } from "./screen.ts";
import { buildUplinkHosts, SEGMENT_GATEWAY, UPLINKS, type UplinkHosts } from "./uplink-hosts.ts";

const PEER = "box";
const FIXED_PORT = 50_000;
const DATA_MS_MAX = 1000;
/** A stock client is given this long to come back to a stock server. */
const BROKEN_SECONDS = 8;
const [A] = UPLINKS;
const ADDRESSES = {
  4: [A.gateway, "192.0.2.101"],
  6: ["2001:db8:a::1", "2001:db8:a::101"],
} as const;

type Family = keyof typeof ADDRESSES;
type PeerName = "fairlead" | "openvpn";

/** What S0 found. */
export interface S0Result extends LabResult {
  readonly scenario: "S0";
  readonly peer: string;
  readonly brokenFailed: boolean;
  readonly reconnects: number;
  /** Packets from an address that had not been contacted. */
  readonly wrongAddress: number;
  readonly dataMsMax: number;
}

/** One way of coming back. */
interface Cell {
  readonly family: Family;
  readonly isPortFixed: boolean;
  readonly isKilled: boolean;
}

/** Runs S0 with stock clients or ours; `reconnects` for each of the eight ways. */
export async function runS0(
  network: Network,
  options: {
    readonly folder: string;
    readonly screen: Screen;
    readonly reconnects: number;
    readonly peer: PeerName;
  },
): Promise<S0Result> {
  const { screen, folder, peer, reconnects } = options;
  const hosts = await buildUplinkHosts(network);
  await hosts.gateway.addresses(A.interface, `${ADDRESSES[4][1]}/24`);
  await hosts.gateway.addresses(A.interface, ...ADDRESSES[6].map((address) => `${address}/64`));
  await hosts.box.addresses(A.interface, "2001:db8:a::2/64");
  screen.step("S0, broken first: a stock server, a killed client comes back to its other address");
  const brokenFailed = await stockNeverComesBack(hosts, join(folder, "stock"));
  screen.step(`  ${brokenFailed ? "no data" : "data"} within ${BROKEN_SECONDS} s`);
  const gateway = await startS0Gateway(hosts, folder);
  await using _gateway = gateway.peer;
  const runs: Visit[] = [];
  for (const family of [4, 6] as const) {
    for (const isPortFixed of [false, true]) {
      for (const isKilled of [false, true]) {
        const cell = { family, isPortFixed, isKilled };
        const visits = await comeBack(hosts, gateway, { cell, folder, peer, reconnects });
        screen.step(`  ${describe(cell)}: ${summary(visits)}`);
        runs.push(...visits);
      }
    }
  }
  const wrongAddress = runs.reduce((sum, visit) => sum + visit.wrongPackets, 0);
  const dataMsMax = Math.max(...runs.map((visit) => visit.dataMs));
  return {
    scenario: "S0",
    peer,
    brokenFailed,
    frames: runs.length,
    pass: brokenFailed && wrongAddress === 0 && dataMsMax <= DATA_MS_MAX,
    reconnects: runs.length,
    wrongAddress,
    dataMsMax,
  };
}

interface Visit {
  readonly wrongPackets: number;
  /** From the end of the handshake to the first echo over the segment. */
  readonly dataMs: number;
}

function describe(cell: Cell): string {
  const port = cell.isPortFixed ? "fixed port" : "fresh port";
  return `IPv${cell.family}, ${port}, ${cell.isKilled ? "killed" : "says goodbye"}`;
}

function summary(visits: readonly Visit[]): string {
  const wrong = visits.reduce((sum, visit) => sum + visit.wrongPackets, 0);
  const slowest = Math.max(...visits.map((visit) => visit.dataMs));
  return `${visits.length} times, ${wrong} packets from a wrong address, data after ${slowest} ms at most`;
}

async function startS0Gateway(
  hosts: UplinkHosts,
  folder: string,
): Promise<{ peer: FairleadPeer; file: string; folder: string }> {
  await mkdir(folder, { recursive: true });
  const file = await writeDocuments(
    join(folder, "gateway.yaml"),
    listenDocuments({ peers: [PEER], advertise: [{ host: A.gateway }] }),
  );
  const own = join(folder, "gateway");
  const peer = await startFairlead(hosts.gateway, [file], { folder: own });
  await peer.waitUntilUp();
  return { peer, file, folder: own };
}

async function comeBack(
  hosts: UplinkHosts,
  gateway: { readonly file: string; readonly folder: string },
  options: {
    readonly cell: Cell;
    readonly folder: string;
    readonly peer: PeerName;
    readonly reconnects: number;
  },
): Promise<Visit[]> {
  const { cell, peer, reconnects } = options;
  const printed = await printProfile(PEER, gateway.file, { folder: gateway.folder });
  const visits: Visit[] = [];
  for (let visit = 0; visit < reconnects; visit++) {
    const address = ADDRESSES[cell.family][visit % 2] ?? A.gateway;
    const profile = profileFor(printed, address, cell);
    const client = await CLIENTS[peer](hosts.box, join(options.folder, "client"), profile);
    // Until the handshake is over the old session lives, and pings from its own address.
    await watchSources(hosts.box, address, cell.family);
    const dataMs = await untilEcho(hosts.box);
    if (cell.isKilled) {
      client.signal("SIGKILL");
      await client.waitForEnd();
    } else await client.stop();
    visits.push({ wrongPackets: await wrongPackets(hosts.box), dataMs });
  }
  return visits;
}

/** A client that is up: the handshake is over. */
type Client = Pick<FairleadPeer, "signal" | "waitForEnd" | "stop">;

const CLIENTS: Record<
  PeerName,
  (host: Namespace, folder: string, profile: string) => Promise<Client>
> = {
  openvpn: async (namespace, folder, config) => {
    const client = await OpenvpnPeer.start({ namespace, folder, config });
    await client.waitUntilUp();
    return client;
  },
  fairlead: async (namespace, folder, profile) => {
    await mkdir(folder, { recursive: true });
    const file = await writeProfile(folder, profile);
    const client = await startFairlead(namespace, [], { folder, parameters: ["--profile", file] });
    await client.waitForLog(/"msg":"connected"/);
    return client;
  },
};

async function writeProfile(folder: string, profile: string): Promise<string> {
  const file = join(folder, "client.ovpn");
  await writeFile(file, profile, { mode: 0o600 });
  return file;
}

function profileFor(printed: string, address: string, cell: Cell): string {
  const proto = cell.family === 4 ? "udp" : "udp6";
  const remote = printed
    .replace(/^remote .*$/m, `remote ${address} 1194`)
    .replace(/^proto .*$/m, `proto ${proto}`)
    .replace(/^explicit-exit-notify .*$/m, "explicit-exit-notify 1");
  return cell.isPortFixed ? remote.replace(/^nobind$/m, `lport ${FIXED_PORT}`) : remote;
}

/** Counts what comes from the tunnel's port but not from the address that is contacted. */
async function watchSources(box: Namespace, address: string, family: Family): Promise<void> {
  const ip = family === 4 ? "ip" : "ip6";
  const other = family === 4 ? "ip6" : "ip";
  const rules = [
    "flush ruleset",
    "table inet sources {",
    "  counter wrong { }",
    "  chain input {",
    "    type filter hook prerouting priority -300; policy accept;",
    `    udp sport 1194 ${ip} saddr != ${address} counter name wrong`,
    `    udp sport 1194 meta nfproto ${other === "ip" ? "ipv4" : "ipv6"} counter name wrong`,
    "  }",
    "}",
  ];
  await box.run(["nft", "-f", "-"], { input: `${rules.join("\n")}\n` });
}

async function wrongPackets(box: Namespace): Promise<number> {
  const text = await box.run(["nft", "list", "counter", "inet", "sources", "wrong"]);
  return Number(/packets (\d+)/.exec(text)?.[1] ?? Number.NaN);
}

/** Milliseconds until the gateway answers an echo over the segment. */
async function untilEcho(box: Namespace): Promise<number> {
  const startMs = performance.now();
  while (performance.now() - startMs < 10 * DATA_MS_MAX) {
    const { status } = await box.try(["ping", "-c1", "-W", "0.2", SEGMENT_GATEWAY]);
    if (status === 0) break;
  }
  return Math.round(performance.now() - startMs);
}

/** The known failure: true when nothing crosses within the time. */
async function stockNeverComesBack(hosts: UplinkHosts, folder: string): Promise<boolean> {
  const authority = await TestAuthority.create(join(folder, "ca"));
  const wrapKey = makeStaticKey();
  const base = { authority: authority.certificate, wrap: "tls-crypt" as const, wrapKey };
  const serverKeys = {
    ...base,
    identity: await authority.issue({ commonName: "gateway", use: "server" }),
  };
  const clientKeys = {
    ...base,
    identity: await authority.issue({ commonName: PEER, use: "client" }),
  };
  await using server = await OpenvpnPeer.start({
    namespace: hosts.gateway,
    folder: join(folder, "server"),
    config: stockServerConfig(serverKeys),
  });
  await server.waitUntilUp();
  const dial = async (address: string): Promise<OpenvpnPeer> => {
    const config = stockClientConfig(clientKeys, [address]).replace(
      /^nobind$/m,
      `lport ${FIXED_PORT}`,
    );
    return await OpenvpnPeer.start({
      namespace: hosts.box,
      folder: join(folder, "client"),
      config,
    });
  };
  const first = await dial(A.gateway);
  await first.waitUntilUp();
  await untilEcho(hosts.box);
  first.signal("SIGKILL");
  await first.waitForEnd();
  await using _second = await dial(ADDRESSES[4][1]);
  const deadline = performance.now() + BROKEN_SECONDS * 1000;
  while (performance.now() < deadline) {
    const { status } = await hosts.box.try(["ping", "-c1", "-W", "0.3", SEGMENT_GATEWAY]);
    if (status === 0) return false;
  }
  return true;
}
