/**
 * Tunnels in a tunnel: the uplinks of a tunnel of ours are the interfaces of two others, each over a
 * network of its own, all in one program at either end. What is lost below one of them is not felt.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildUplinkHosts, echo, loseOn, UPLINKS, uplinkSetOf } from "../lab/uplink-hosts.ts";
import {
  dialDocuments,
  type Fields,
  listenDocuments,
  writeDocuments,
} from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { isRoot, type Namespace, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

/** Where the inner tunnel's gateway is, by whichever outer one. */
const INNER_GATEWAY = "10.99.0.1";
const OUTER = UPLINKS.slice(0, 2).map((uplink, place) => ({
  ...{ name: `outer-${place}`, interface: `outer${place}`, port: 6000 + place, uplink },
  gateway: `10.9.${place}.1`,
}));
const METRICS_PORT = 9464;
const ECHOES = { count: 600, intervalMs: 5 };

test("a tunnel over two tunnels loses nothing when one of them falls silent", {
  skip: !isRoot(),
}, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await buildUplinkHosts(network);
  const { gateway, box } = hosts;
  await gateway.addresses("lo", `${INNER_GATEWAY}/32`);
  const file = await writeDocuments(scratch.file("gateway.yaml"), gatewayDocuments());
  const place = { folder: scratch.file("gateway") };
  await using listening = await startFairlead(gateway, [file], place);
  await waitForTunnels(listening, "Listening");
  const profileOf = async (name: string): Promise<string> => {
    return await printProfile(name, file, place);
  };
  const outer = await Promise.all(
    OUTER.map(async ({ name, interface: device }) => {
      const profile = await profileOf(`box-${name}`);
      return dialDocuments({ name, profile, interface: device });
    }),
  );
  const inner = innerDocuments(await profileOf("box-inner"));
  const dial = await writeDocuments(scratch.file("box.yaml"), [...outer.flat(), ...inner]);
  await using dialling = await startFairlead(box, [dial], {
    folder: scratch.file("box"),
    parameters: ["--keep-trying", "--metrics", String(METRICS_PORT)],
  });
  for (const [metric, { interface: device, gateway: via }] of OUTER.entries()) {
    await waitFor(
      () => `an address on ${device}:\n${dialling.log.slice(-4000)}`,
      async () => (await box.try(["ip", "address", "show", device])).stdout.includes("inet "),
      30_000,
    );
    await box.ip(`route add ${INNER_GATEWAY} via ${via} dev ${device} metric ${metric + 1}`);
  }
  await waitForTunnels(dialling, "Up");
  await waitForPaths(dialling, 2);
  const figures = await metricsIn(box);
  for (const { name } of OUTER) {
    assert.match(
      figures,
      new RegExp(`^fairlead_path_active\\{[^}]*path="over-${name}"\\} 1$`, "m"),
    );
  }
  const echoes = await echo(hosts, ECHOES, async () => {
    const device = UPLINKS[0].interface;
    for (const host of [gateway, box]) await loseOn(host, [device], 100);
    await waitForPaths(dialling, 1);
  });
  assert.equal(echoes.lost, 0);
});

function gatewayDocuments(): readonly Fields[] {
  const outer = OUTER.flatMap(({ name, interface: device, port, uplink, gateway }, place) =>
    listenDocuments({
      ...{ name, interface: device, port, peers: [`box-${name}`] },
      advertise: [{ host: uplink.gateway, port }],
      spec: {
        addresses: {
          ...{ segment: `10.9.${place}.0/24`, gateway },
          pool: `10.9.${place}.100-10.9.${place}.199`,
        },
      },
    }),
  );
  const advertise = [{ host: INNER_GATEWAY }];
  return [...outer, ...listenDocuments({ name: "inner", peers: ["box-inner"], advertise })];
}

/** Both outer tunnels at once, every packet by each. */
function innerDocuments(profile: string): readonly Fields[] {
  const uplinks = OUTER.map(({ name, interface: device }, place) => {
    return { name: `over-${name}`, interface: device, priority: place + 1 };
  });
  return [
    ...dialDocuments({ name: "inner", profile, spec: { uplinks: { name: "tunnels" } } }),
    {
      apiVersion: "fairlead.dev/v1alpha1",
      kind: "UplinkSet",
      metadata: { name: "tunnels", namespace: "lab" },
      spec: { ...uplinkSetOf(2, "Duplicate"), uplinks },
    },
  ];
}

async function waitForTunnels(peer: FairleadPeer, state: string): Promise<void> {
  await waitFor(
    () => `all three tunnels to be ${state}:\n${peer.log.slice(-4000)}`,
    async () => {
      const tunnels = (await peer.document())?.tunnels ?? [];
      return tunnels.length === 3 && tunnels.every((tunnel) => tunnel.state === state);
    },
    60_000,
  );
}

/** Until packets of the inner tunnel leave by so many paths. */
async function waitForPaths(peer: FairleadPeer, count: number): Promise<void> {
  await waitFor(
    () => `${count} paths in use:\n${peer.log.slice(-4000)}`,
    async () => {
      const tunnels = (await peer.document())?.tunnels ?? [];
      const paths = tunnels.find(({ name }) => name === "inner")?.peers[0]?.paths ?? [];
      return paths.filter(({ isActive }) => isActive).length === count;
    },
    30_000,
  );
}

async function metricsIn(host: Namespace): Promise<string> {
  const program = `process.stdout.write(await (await fetch("http://127.0.0.1:${METRICS_PORT}/metrics")).text())`;
  return await host.run([process.execPath, "--input-type=module", "-e", program]);
}
