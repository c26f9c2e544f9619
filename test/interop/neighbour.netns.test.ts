/**
 * A neighbour that is kept alive by confirmations alone (S2): TCP's acknowledgements come back by
 * another cable, so the sender never asks for the address again, and the receiver never says a word
 * through the tunnel. A switch that forgets silent stations would drop the stream; ours asks first.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Capture } from "../lab/guest.ts";
import { listenDocuments, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { IS_FULL } from "../support/full.ts";
import { createHosts } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import { pause, waitFor } from "../support/wait.ts";

/** A station is forgotten after 300 s of silence; kernel timers are shortened, so 8 s tell otherwise. */
const SECONDS: number = IS_FULL ? 330 : 8;
const AGE_MS = 300_000;
const LINE_MS = 100;
const NAMES = ["sender", "receiver"] as const;
const DEVICE = "tap0";

test("a neighbour kept alive by confirmations alone is not forgotten by the switch", {
  timeout: (SECONDS + 120) * 1000,
}, async (context) => {
  await ensureCommands(["socat", "tcpdump"]);
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { server, ...hosts } = await createHosts(network, ["server", ...NAMES]);
  const { sender, receiver } = hosts;
  for (const host of [server, sender, receiver]) {
    await host.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
  }
  const ours = await connect(stack, { server, hosts, scratch });
  const addresses = await Promise.all(NAMES.map((name) => addressOf(hosts[name])));
  const [from = "", to = ""] = addresses;
  await returnByAnotherCable(network, { sender, receiver, from });
  await using sink = receiver.start(["socat", "-u", "TCP-LISTEN:7000", "STDOUT"]);
  await waitFor("the listener", async () => {
    return (await receiver.run(["ss", "-ltn"])).includes(":7000") || undefined;
  });
  await using stream = sender.start(["socat", "-u", "STDIN", `TCP:${to}:7000,bind=${from}`]);
  let sent = 0;
  const send = setInterval(() => stream.write(`line ${sent++}\n`), LINE_MS);
  stack.defer(() => clearInterval(send));
  const lines = (): number => sink.stdout.split("\n").length - 1;
  await waitFor("the stream", () => lines() > 5 || undefined);
  const asked = await Capture.start(sender, DEVICE, "arp and arp[6:2] = 1 and ether broadcast");
  await using _asked = asked;
  const own = (await receiver.run(["cat", `/sys/class/net/${DEVICE}/address`])).trim();
  const filter = `ether src ${own} and not arp`;
  await using said = await Capture.start(receiver, DEVICE, filter);
  let oldestMs = 0;
  for (let second = 0; second < SECONDS; second++) {
    const before = lines();
    await waitFor("the next lines of the stream", () => lines() >= before + 5 || undefined);
    await pause(1000 - 5 * LINE_MS);
    const stations = (await ours.tunnel())?.stations ?? [];
    const station = stations.find(({ mac }) => mac === own);
    assert.equal(station?.behind, "receiver", "the switch knows it all the time");
    oldestMs = Math.max(oldestMs, station.silentMs);
  }
  context.diagnostic(`silent for up to ${Math.round(oldestMs / 1000)} s`);
  assert.equal(asked.lines.length, 0, "the sender never asked for the address by broadcast");
  assert.equal(said.lines.length, 0, "the receiver said nothing through the tunnel");
  assert(oldestMs < AGE_MS);
  const { counters = {} } = (await ours.tunnel()) ?? {};
  assert.equal(counters["switch.stationsAged"], 0);
  if (SECONDS > AGE_MS / 1000) assert((counters["switch.stationProbes"] ?? 0) > 0, "it was asked");
});

async function connect(
  stack: AsyncDisposableStack,
  place: {
    readonly server: Namespace;
    readonly hosts: Readonly<Record<(typeof NAMES)[number], Namespace>>;
    readonly scratch: Scratch;
  },
): Promise<FairleadPeer> {
  const { server, hosts, scratch } = place;
  const spec = {
    addresses: { segment: "10.20.0.0/24", pool: "10.20.0.200-10.20.0.239" },
    multicast: { routes: [], querier: "Never" },
  };
  const documents = listenDocuments({ peers: NAMES, spec });
  const file = await writeDocuments(scratch.file("server.yaml"), documents);
  const folder = { folder: scratch.file("server") };
  const ours = stack.use(await startFairlead(server, [file], folder));
  await ours.waitUntilUp();
  for (const name of NAMES) {
    const profile = await printProfile(name, file, folder);
    const config = profile.replaceAll("dev seg0", `dev ${DEVICE}`);
    const options = { namespace: hosts[name], folder: scratch.file(name), config };
    const stock = stack.use(await OpenvpnPeer.start({ ...options, release: "2.6" }));
    await stock.waitUntilUp();
    await ours.waitForPeer(name);
  }
  return ours;
}

async function addressOf(host: Namespace): Promise<string> {
  const text = await host.run(["ip", "-4", "-br", "address", "show", DEVICE]);
  return text.trim().split(/\s+/)[2]?.split("/")[0] ?? "";
}

/** What the receiver answers goes by a cable of its own; the kernel asks again soon if it may. */
async function returnByAnotherCable(
  network: Network,
  hosts: { readonly sender: Namespace; readonly receiver: Namespace; readonly from: string },
): Promise<void> {
  const { sender, receiver, from } = hosts;
  await network.cable(
    { namespace: sender, interface: "side" },
    { namespace: receiver, interface: "side" },
  );
  await sender.addresses("side", "10.99.0.1/24");
  await receiver.addresses("side", "10.99.0.2/24");
  await receiver.ip(`route add ${from}/32 via 10.99.0.1 dev side`);
  for (const host of [sender, receiver]) {
    for (const device of ["all", "side", DEVICE]) {
      await host.run(["sysctl", "-qw", `net.ipv4.conf.${device}.rp_filter=0`]);
    }
  }
  const times = ["base_reachable_time_ms=400", "delay_first_probe_time=1", "gc_stale_time=1"];
  for (const time of times) {
    await sender.run(["sysctl", "-qw", `net.ipv4.neigh.${DEVICE}.${time}`]);
  }
}
