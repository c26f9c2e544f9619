/**
 * A routed tunnel over paths of less than the usual size: both ends answer what is too long with what
 * fits, to the byte, and what fits crosses.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { dialDocuments, listenDocuments, writeDocuments } from "../support/documents.ts";
import { exchange } from "../support/exchange.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { isRoot, type Namespace, Network } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

/** Opcode and peer id, epoch and packet id, tag: what two ends of ours put around a packet. */
const EPOCH_BYTES = 28;
const HEADERS = { 4: 20 + 8, 6: 40 + 8 } as const;
const IPV6_MTU_BYTES_MIN = 1280;
const BYTES = 300_000;
const ADDRESSES = {
  4: ["192.0.2.1", "198.18.0.1"],
  6: ["2001:db8:1::1", "2001:db8:2::1"],
} as const;
const ROUTERS = { 4: ["192.0.2.9", "198.18.0.9"], 6: ["2001:db8:1::9", "2001:db8:2::9"] } as const;

interface Path {
  /** IP bytes that the way takes. */
  readonly mtuBytes: number;
  readonly family: 4 | 6;
  /** Longer packets vanish; else the router cuts them or says that they are too long. */
  readonly isHole: boolean;
}

interface Ends extends AsyncDisposable {
  readonly server: Namespace;
  readonly client: Namespace;
  readonly listening: FairleadPeer;
  readonly dialling: FairleadPeer;
}

/** A client and a server with a router between them. */
async function connect(path: Path): Promise<Ends> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { server, client } = await buildWay(network, path);
  const [, host] = ADDRESSES[path.family];
  const file = await writeDocuments(
    scratch.file("server.yaml"),
    listenDocuments({ peers: ["box"], advertise: [{ host }], spec: { mode: "Routed" } }),
  );
  const place = { folder: scratch.file("server") };
  const listening = stack.use(await startFairlead(server, [file], place));
  await listening.waitUntilUp();
  const profile = await printProfile("box", file, place);
  const dialFile = await writeDocuments(
    scratch.file("client.yaml"),
    dialDocuments({ profile, spec: { mode: "Routed" } }),
  );
  const options = { folder: scratch.file("client") };
  const dialling = stack.use(await startFairlead(client, [dialFile], options));
  await dialling.waitUntilUp();
  const kept = stack.move();
  return { server, client, listening, dialling, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function buildWay(
  network: Network,
  { family, isHole, mtuBytes }: Path,
): Promise<{ readonly server: Namespace; readonly client: Namespace }> {
  const [client, middle, server] = [
    await network.namespace("client"),
    await network.namespace("middle"),
    await network.namespace("server"),
  ];
  const bits = family === 4 ? 24 : 64;
  for (const [side, host] of [client, server].entries()) {
    const port = `port${side}`;
    await network.cable(
      { namespace: host, interface: "up0" },
      { namespace: middle, interface: port },
    );
    await host.addresses("up0", `${ADDRESSES[family][side]}/${bits}`);
    await middle.addresses(port, `${ROUTERS[family][side]}/${bits}`);
    await host.ip(`-${family} route add default via ${ROUTERS[family][side]}`);
  }
  const forwarding = family === 4 ? "net.ipv4.ip_forward=1" : "net.ipv6.conf.all.forwarding=1";
  await middle.run(["sysctl", "-qw", forwarding]);
  if (!isHole) {
    await middle.ip(`link set port1 mtu ${mtuBytes}`);
    await server.ip(`link set up0 mtu ${mtuBytes}`);
    return { client, server };
  }
  await ensureCommands(["nft"]);
  const rule = `meta length > ${mtuBytes} counter drop`;
  const table = `table inet hole { chain way { type filter hook forward priority 0; ${rule}; }; }\n`;
  await middle.run(["nft", "-f", "-"], { input: table });
  return { client, server };
}

/** What one echo of so many IP bytes says that must not be cut. */
async function echo(from: Namespace, address: string, bytes: number): Promise<string> {
  const waitSeconds = "2";
  const payload = bytes - (address.includes(":") ? 48 : 28);
  const command = [
    "ping",
    "-n",
    "-M",
    "do",
    "-c",
    "1",
    "-W",
    waitSeconds,
    "-s",
    String(payload),
    address,
  ];
  const { stderr, stdout } = await from.try(command);
  return stdout + stderr;
}

/** So long and no longer, told to the byte. */
async function checkLimit(from: Namespace, address: string, bytes: number): Promise<void> {
  // By the interface (`mtu=` or `mtu: `) or by an answer of the router's.
  const told = new RegExp(`mtu ?[=:] ?${bytes}\\b`);
  let said = "";
  // The paths are measured, and the limit follows once a second.
  await waitFor(
    () => `word of ${bytes} bytes from ${address}: ${said}`,
    async () => {
      said = await echo(from, address, bytes + 1);
      return told.test(said);
    },
    60_000,
  );
  // What the way underneath has to cut, its routers may have to be asked about first.
  await waitFor(
    () => `an echo of ${bytes} bytes from ${address}: ${said}`,
    async () => {
      said = await echo(from, address, bytes);
      return / 1 received/.test(said);
    },
  );
  // Nobody remembers anything: the answer is this end's own.
  for (const family of ["-4", "-6"]) await from.ip(`${family} route flush cache`);
  said = await echo(from, address, bytes + 1);
  assert.match(said, told);
  assert.match(said, / 0 received/);
}

const PATHS: readonly Path[] = [
  { mtuBytes: 1400, family: 4, isHole: true },
  { mtuBytes: 1280, family: 6, isHole: false },
];

test("routed packets are told what their path takes", {
  skip: !isRoot(),
  concurrency: true,
  timeout: 300_000,
}, async (context) => {
  const run = (path: Path): Promise<void> => {
    const { family, isHole, mtuBytes } = path;
    const kind = isHole ? "swallowed beyond it" : "as its router says";
    return context.test(`${mtuBytes} bytes of IPv${family}, ${kind}`, (own) => check(path, own));
  };
  await Promise.all(PATHS.map(run));
});

async function check(path: Path, context: TestContext): Promise<void> {
  await using ends = await connect(path);
  const startMs = performance.now();
  const { client, dialling, listening, server } = ends;
  const fits = path.mtuBytes - HEADERS[path.family] - EPOCH_BYTES;
  const fits6 = Math.max(fits, IPV6_MTU_BYTES_MIN);
  const peer = (await listening.tunnel())?.peers[0];
  const [address4 = "", address6 = ""] = [peer?.address, await addressOf6(client)];
  for (const [from, four, six] of [
    [client, "10.20.0.1", "fd20::1"],
    [server, address4, address6],
  ] as const) {
    await checkLimit(from, four, fits);
    await checkLimit(from, six, fits6);
  }
  context.diagnostic(`told both ways after ${Math.round((performance.now() - startMs) / 1000)} s`);
  // The dialling end's interface follows: its kernel cuts what may be cut.
  assert.match(await client.ip("link show seg0"), new RegExp(` mtu ${fits6} `));
  await checkCut(client, server);
  const before = await countersOf(dialling, listening);
  for (const address of ["10.20.0.1", "fd20::1"]) {
    await exchange({ from: client, to: server, address, bytes: BYTES });
  }
  // Both directions: none was too long for the way, none had to be told.
  assert.deepEqual(await countersOf(dialling, listening), before);
}

/** A datagram longer than the way crosses in pieces. */
async function checkCut(client: Namespace, server: Namespace): Promise<void> {
  await ensureCommands(["socat"]);
  await using receiver = server.start(["socat", "-u", "UDP4-RECV:9000", "STDOUT"]);
  await waitFor("the receiver", async () => (await server.run(["ss", "-lun"])).includes(":9000"));
  const text = `${"x".repeat(1440)}\n`;
  await client.run(["socat", "-u", "STDIN", "UDP4-DATAGRAM:10.20.0.1:9000"], { input: text });
  await receiver.waitForOutput(/x{1440}/);
}

async function countersOf(...peers: readonly FairleadPeer[]): Promise<readonly unknown[]> {
  const tunnels = await Promise.all(peers.map((peer) => peer.tunnel()));
  return tunnels.map((one) => [one?.counters["tx.overMtu"], one?.counters["router.tooBig"]]);
}

async function addressOf6(host: Namespace): Promise<string> {
  const text = await host.run(["ip", "-6", "-br", "address", "show", "seg0", "scope", "global"]);
  return / (fd20::[0-9a-f]+)\//.exec(text)?.[1] ?? "";
}
