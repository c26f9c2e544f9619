/** Ours at both ends, tap, AES-256-GCM. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dump } from "js-yaml";
import { printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { type Contender, INNER_MTU_BYTES, type Pair, type RunningContender } from "./contender.ts";

const NEAR_ADDRESS = "10.99.0.1";
const PROFILE_KEY = "client.ovpn";

/** What is compared with stock OpenVPN. */
export const fairleadTap: Contender = { name: "fairlead-tap", unavailable: () => undefined, start };

async function start(pair: Pair): Promise<RunningContender> {
  await mkdir(pair.folder, { recursive: true });
  const nearFile = join(pair.folder, "near.yaml");
  await writeFile(nearFile, nearDocuments(pair.nearUnderlay));
  await using stack = new AsyncDisposableStack();
  const nearOptions = { folder: join(pair.folder, "near") };
  const near = stack.use(await startFairlead(pair.near, [nearFile], nearOptions));
  await near.waitUntilUp();
  const farFile = join(pair.folder, "far.yaml");
  const profile = await printProfile("far", nearFile, nearOptions);
  await writeFile(farFile, farDocuments(pair.nearUnderlay, profile), { mode: 0o600 });
  const far = stack.use(
    await startFairlead(pair.far, [farFile], { folder: join(pair.folder, "far") }),
  );
  await far.waitUntilUp();
  const kept = stack.move();
  return {
    nearAddress: NEAR_ADDRESS,
    pids: { near: near.pid, far: far.pid },
    [Symbol.asyncDispose]: async () => await kept.disposeAsync(),
  };
}

const HEAD = { apiVersion: "fairlead.dev/v1alpha1", kind: "VpnTunnel" };
const METADATA = { name: "bench", namespace: "bench" };
const COMMON = {
  mode: "Bridged",
  transport: { mtu: INNER_MTU_BYTES },
  workloads: { interface: "tap0" },
  multicast: { routes: [] },
};

function nearDocuments(underlay: string): string {
  const addresses = {
    segment: "10.99.0.0/24",
    pool: "10.99.0.2-10.99.0.9",
    gateway: NEAR_ADDRESS,
  };
  const listen = { port: 1194, advertise: [{ host: underlay }] };
  const peer = { tunnel: { name: METADATA.name } };
  return documents(
    { ...HEAD, metadata: METADATA, spec: { ...COMMON, listen, addresses } },
    { ...HEAD, kind: "VpnPeer", metadata: { name: "far", namespace: "bench" }, spec: peer },
  );
}

function farDocuments(underlay: string, profile: string): string {
  const dial = {
    remotes: [{ host: underlay, port: 1194 }],
    profileSecretRef: { name: "far-profile", key: PROFILE_KEY },
  };
  return documents(
    { ...HEAD, metadata: METADATA, spec: { ...COMMON, dial } },
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "far-profile", namespace: "bench" },
      stringData: { [PROFILE_KEY]: profile },
    },
  );
}

function documents(...values: readonly object[]): string {
  return values.map((value) => dump(value)).join("---\n");
}
