/** Files, folders and short-hands that the tests of loading share. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { dump } from "js-yaml";
import { loadTunnels } from "./load-tunnels.ts";
import type { LoadedTunnel, LoadedTunnels } from "./loaded.ts";
import type { TunnelConfig } from "./tunnel-config.ts";

export const DAY_MS = 86_400_000;
export const wallMs: number = Date.now();

export type Fields = Readonly<Record<string, unknown>>;

export interface Place {
  readonly directory: string;
  readonly stateDirectory: string;
}

export async function place(context: TestContext): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), "fairlead-load-"));
  context.after(async () => await rm(directory, { recursive: true }));
  await mkdir(join(directory, "files"));
  return { directory: join(directory, "files"), stateDirectory: join(directory, "state") };
}

export function object(kind: string, name: string, rest: Fields): Fields {
  const apiVersion = kind === "Secret" ? "v1" : "fairlead.dev/v1alpha1";
  return { apiVersion, kind, metadata: { name, namespace: "lab" }, ...rest };
}

export function tunnel(name: string, spec: Fields): Fields {
  return object("VpnTunnel", name, { spec });
}

export function peer(name: string, spec: Fields = {}): Fields {
  return object("VpnPeer", name, { spec: { tunnel: { name: "a" }, ...spec } });
}

export async function load(where: Place, ...documents: readonly Fields[]): Promise<LoadedTunnels> {
  await writeFile(join(where.directory, "f.yaml"), documents.map((one) => dump(one)).join("---\n"));
  return await loadTunnels({
    paths: [where.directory],
    stateDirectory: where.stateDirectory,
    wallMs,
  });
}

export function configOf(loaded: LoadedTunnels, name = "a"): TunnelConfig {
  const found = loaded.tunnels.find((one) => one.name === name);
  assert.ok(found?.ok, JSON.stringify(loaded));
  return found.config;
}

export function problemsOf(loaded: LoadedTunnels, name = "a"): string {
  const found = loaded.tunnels.find(
    (one): one is LoadedTunnel & { ok: false } => one.name === name && !one.ok,
  );
  assert.ok(found, JSON.stringify(loaded));
  return found.problems.join("\n");
}

export const ADDRESSES = {
  segment: "10.20.0.0/24",
  pool: "10.20.0.200-10.20.0.201",
  gateway: "10.20.0.1",
};
