/**
 * `uplinks[].gateway` between two routers, of which the main table knows one:
 *
 *     box --up0-- one --out-- gateway
 *         --up1-- two --out--
 */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { dialDocuments, listenDocuments, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { ping } from "../support/hosts.ts";
import { isRoot, type Namespace, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

const ROUTERS = ["one", "two"] as const;
const SEGMENT_GATEWAY = "10.20.0.1";

/** Addresses of a family: of the gateway, and on the wires by the number of the router. */
interface Plan {
  readonly flag: "-4" | "-6";
  readonly gateway: string;
  readonly bits: number;
  readonly box: (router: number) => string;
  readonly inner: (router: number) => string;
  readonly outer: (router: number) => string;
  readonly far: (router: number) => string;
}

const IPV4: Plan = {
  flag: "-4",
  gateway: "203.0.113.1",
  bits: 24,
  box: (router) => `198.18.${router}.2`,
  inner: (router) => `198.18.${router}.1`,
  outer: (router) => `198.19.${router}.1`,
  far: (router) => `198.19.${router}.2`,
};
const IPV6: Plan = {
  flag: "-6",
  gateway: "2001:db8:9::1",
  bits: 64,
  box: (router) => `2001:db8:a${router}::2`,
  inner: (router) => `2001:db8:a${router}::1`,
  outer: (router) => `2001:db8:b${router}::1`,
  far: (router) => `2001:db8:b${router}::2`,
};

interface Hosts {
  readonly box: Namespace;
  readonly gateway: Namespace;
  readonly routers: readonly Namespace[];
}

async function buildHosts(network: Network, plan: Plan): Promise<Hosts> {
  const box = await network.namespace("box");
  const gateway = await network.namespace("gw");
  const routers: Namespace[] = [];
  await gateway.addresses("lo", `${plan.gateway}/${plan.flag === "-4" ? 32 : 128}`);
  for (const [at, label] of ROUTERS.entries()) {
    const router = await network.namespace(label);
    routers.push(router);
    const up = `up${at}`;
    await network.cable({ namespace: box, interface: up }, { namespace: router, interface: "in" });
    await network.cable(
      { namespace: router, interface: "out" },
      { namespace: gateway, interface: up },
    );
    await box.addresses(up, `${plan.box(at)}/${plan.bits}`);
    await router.addresses("in", `${plan.inner(at)}/${plan.bits}`);
    await router.addresses("out", `${plan.outer(at)}/${plan.bits}`);
    await gateway.addresses(up, `${plan.far(at)}/${plan.bits}`);
    await router.ip(`${plan.flag} route add ${plan.gateway} via ${plan.far(at)}`);
    await gateway.ip(
      `${plan.flag} route add ${plan.box(at).replace(/2$/, plan.flag === "-4" ? "0" : "")}/${plan.bits} via ${plan.outer(at)}`,
    );
    const forwarding = plan.flag === "-4" ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
    await router.run(["sysctl", "-q", "-w", `${forwarding}=1`]);
  }
  // A default route by the first one alone: the second is not known to the main table.
  await box.ip(`${plan.flag} route add default via ${plan.inner(0)}`);
  return { box, gateway, routers };
}

/** Rules that are not the kernel's own. */
async function rulesOf({ box }: Hosts, plan: Plan): Promise<string[]> {
  const text = await box.ip(`${plan.flag} rule show`);
  return text.split("\n").filter((line) => line !== "" && !/^(0|32766|32767):/.test(line));
}

async function startBox(
  hosts: Hosts,
  plan: Plan,
  folder: string,
): Promise<() => Promise<FairleadPeer>> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, "gateway.yaml");
  const advertise = [{ host: plan.gateway }];
  await writeDocuments(file, listenDocuments({ peers: ["box"], advertise }));
  const profile = await printProfile("box", file, { folder: join(folder, "gateway") });
  const uplinks = ROUTERS.map((name, at) => {
    return { name, interface: `up${at}`, priority: at, gateway: plan.inner(at) };
  });
  const metadata = { name: "uplinks", namespace: "lab" };
  const kind = "UplinkSet";
  const set = { apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec: { uplinks } };
  const dial = await writeDocuments(join(folder, "box.yaml"), [
    ...dialDocuments({ profile, spec: { uplinks: { name: "uplinks" } } }),
    set,
  ]);
  return () => startFairlead(hosts.box, [dial], { folder: join(folder, "box") });
}

async function activeOf(peer: FairleadPeer): Promise<string> {
  const paths = (await peer.tunnel())?.peers[0]?.paths ?? [];
  return paths.flatMap((path) => (path.isActive ? [path.uplink ?? ""] : [])).join();
}

for (const [name, plan] of Object.entries({ IPv4: IPV4, IPv6: IPV6 })) {
  test(`${name}: an uplink's own table leads to its gateway, and goes with the tunnel`, {
    skip: !isRoot(),
  }, async () => {
    await using network = await Network.create();
    await using scratch = await Scratch.create();
    const hosts = await buildHosts(network, plan);
    const start = await startBox(hosts, plan, scratch.path);
    await using parts = new AsyncDisposableStack();
    const gateway = parts.use(
      await startFairlead(hosts.gateway, [join(scratch.path, "gateway.yaml")], {
        folder: join(scratch.path, "gateway"),
      }),
    );
    await gateway.waitUntilUp();
    const killed = parts.use(await start());
    await killed.waitUntilUp();
    assert.equal((await rulesOf(hosts, plan)).length, 8, "four for each uplink");
    killed.signal("SIGKILL");
    await killed.waitForEnd();
    assert.equal((await rulesOf(hosts, plan)).length, 8, "a killed process removes nothing");

    const box = parts.use(await start());
    await box.waitUntilUp();
    assert.equal((await rulesOf(hosts, plan)).length, 8, "swept, and made again");
    await waitFor("both paths", async () => {
      const paths = (await box.tunnel())?.peers[0]?.paths ?? [];
      return paths.filter((path) => path.isAlive).length === 2 ? true : undefined;
    });
    // The first router goes on answering and carries nothing any more: nobody is told.
    const [first] = hosts.routers;
    await first?.ip(`${plan.flag} route del ${plan.gateway}`);
    await first?.ip(`${plan.flag} route add blackhole ${plan.gateway}`);
    await waitFor("the second uplink in use", async () => {
      return (await activeOf(box)) === "two" ? true : undefined;
    });
    assert.equal((await ping(hosts.box, SEGMENT_GATEWAY)).received, 3);
    // The kernel takes the route away with the link, and it is set again.
    await hosts.box.ip("link set up1 down");
    await hosts.box.ip("link set up1 up");
    if (plan.flag === "-6") await hosts.box.addresses("up1", `${plan.box(1)}/64`);
    await waitFor("the second uplink again", async () => {
      const [, two] = (await box.tunnel())?.uplinks ?? [];
      return two?.isUsable === true && (await activeOf(box)) === "two" ? true : undefined;
    });
    assert.equal(await box.stop(), 0);
    assert.deepEqual(await rulesOf(hosts, plan), []);
    assert.equal((await hosts.box.ip(`${plan.flag} route show table all proto 250`)).trim(), "");
  });
}
