/** An UplinkSet changed under a stream, by SIGHUP: no echo is lost and no handshake made. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import {
  buildUplinkHosts,
  SEGMENT_GATEWAY,
  startGateway,
  UPLINKS,
  type UplinkHosts,
} from "../lab/uplink-hosts.ts";
import { dialDocuments, type Fields, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { PingStream } from "../support/hosts.ts";
import { isRoot, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

const INTERVAL_SECONDS = 0.005;
/** Replies that have to come after each change before the next one. */
const REPLIES_PER_STEP = 150;

/** The spec of an UplinkSet over these uplinks, the most wanted first. */
function setOf(names: readonly string[], rest: Fields = {}): Fields {
  const uplinks = names.map((name, priority) => {
    const device = UPLINKS.find((uplink) => uplink.name === name)?.interface;
    return { name, interface: device, priority };
  });
  return { uplinks, ...rest };
}

interface Step {
  readonly what: string;
  readonly set: Fields;
  /** Names of the uplinks in use at the dialling end, sorted. */
  readonly active: readonly string[];
}

const STEPS: readonly Step[] = [
  { what: "begin", set: setOf(["isp-a", "isp-b"]), active: ["isp-a"] },
  { what: "other priorities", set: setOf(["isp-b", "isp-a"]), active: ["isp-b"] },
  { what: "one added, the one in use removed", set: setOf(["lte", "isp-a"]), active: ["lte"] },
  {
    what: "copies, and slower probes",
    set: setOf(["isp-a", "isp-b", "lte"], {
      policy: "Duplicate",
      duplicate: { copies: 3 },
      probe: { intervalMs: 100, downAfter: 6, upAfter: 2 },
    }),
    active: ["isp-a", "isp-b", "lte"],
  },
  {
    what: "parity",
    set: setOf(["isp-a", "lte"], { policy: "Fec", fec: { dataPackets: 8, parityPackets: 2 } }),
    active: ["isp-a", "lte"],
  },
  {
    what: "other blocks",
    set: setOf(["isp-a", "lte"], { policy: "Fec", fec: { dataPackets: 4, parityPackets: 1 } }),
    active: ["isp-a", "lte"],
  },
  {
    what: "a flow on each",
    set: setOf(["isp-a", "isp-b"], { policy: "Balance" }),
    active: ["isp-a", "isp-b"],
  },
  { what: "all of them replaced", set: setOf(["lte"]), active: ["lte"] },
];

async function activeOf(peer: FairleadPeer): Promise<string> {
  const paths = (await peer.tunnel())?.peers[0]?.paths ?? [];
  const active = paths.filter((path) => path.isActive).map((path) => path.uplink ?? "");
  return active.sort().join();
}

async function startBox(
  hosts: UplinkHosts,
  scratch: Scratch,
): Promise<{ box: FairleadPeer; gateway: FairleadPeer; change: (set: Fields) => Promise<void> }> {
  const running = await startGateway(hosts, scratch.path);
  const profile = await printProfile("box", running.file, { folder: running.folder });
  const file = join(scratch.path, "box.yaml");
  const write = async (spec: Fields): Promise<void> => {
    const metadata = { name: "uplinks", namespace: "lab" };
    const set = { apiVersion: "fairlead.dev/v1alpha1", kind: "UplinkSet", metadata, spec };
    const tunnel = dialDocuments({ profile, spec: { uplinks: { name: "uplinks" } } });
    await writeDocuments(file, [...tunnel, set]);
  };
  await write(STEPS[0]?.set ?? {});
  const box = await startFairlead(hosts.box, [file], { folder: join(scratch.path, "box") });
  const change = async (set: Fields): Promise<void> => {
    await write(set);
    box.signal("SIGHUP");
  };
  return { box, gateway: running.peer, change };
}

test("an UplinkSet changes under a stream without a lost frame and without a handshake", {
  skip: !isRoot(),
}, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await buildUplinkHosts(network);
  const { box, gateway, change } = await startBox(hosts, scratch);
  await using parts = new AsyncDisposableStack();
  parts.use(gateway);
  parts.use(box);
  await box.waitUntilUp();
  const since = (await box.tunnel())?.peers[0]?.since;
  await waitFor("the first uplink in use", async () => {
    return (await activeOf(box)) === "isp-a" ? true : undefined;
  });
  const stream = parts.use(new PingStream(hosts.box, SEGMENT_GATEWAY, INTERVAL_SECONDS));
  for (const step of STEPS.slice(1)) {
    await change(step.set);
    await waitFor(`${step.what}: ${step.active}`, async () => {
      return (await activeOf(box)) === step.active.join() ? true : undefined;
    });
    const until = stream.received + REPLIES_PER_STEP;
    await waitFor("replies", () => Promise.resolve(stream.received >= until ? true : undefined));
  }
  await waitFor("only what is declared", async () => {
    const tunnel = await box.tunnel();
    const names = tunnel?.uplinks?.map((uplink) => uplink.name).join();
    const paths = tunnel?.peers[0]?.paths ?? [];
    return names === "lte" && paths.length === 1 ? true : undefined;
  });
  await waitFor("the other end to send by one path", async () => {
    const paths = (await gateway.tunnel())?.peers[0]?.paths ?? [];
    const active = paths.filter((path) => path.isActive);
    return active.length === 1 && active[0]?.remote.startsWith("198.18.2.2:") ? true : undefined;
  });
  await stream.finish();
  assert.deepEqual(stream.missing(), [], box.log.slice(-4000));
  assert.equal((await box.tunnel())?.peers[0]?.since, since, "the session is the first one");
  assert.equal(box.log.match(/tunnel started/g)?.length, 1);
});
