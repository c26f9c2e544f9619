/**
 * From resource files and profiles to tunnels that can be started: references resolved, keys at
 * hand, addresses given. A wrong document stops only what it is about.
 *
 * Invariant: each tunnel that was asked for is in the result once, as a configuration or with its
 * problems; no problem and no note holds a secret.
 */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { OperatingError } from "../../common/operating-error.ts";
import { clusterNotes, unsupportedFields } from "../../crds/unsupported.ts";
import { loadDialTunnel, type ProfileText, tunnelFromProfile } from "./dial-tunnel.ts";
import { type DocumentProblem, type Documents, readDocuments } from "./documents.ts";
import { loadListenTunnel } from "./listen-tunnel.ts";
import type {
  LoadedTunnel,
  LoadedTunnels,
  LoadOptions,
  TunnelOutcome,
  TunnelWithPeers,
} from "./loaded.ts";
import { assignPeers } from "./peers.ts";
import type { TunnelConfig } from "./tunnel-config.ts";

/** Loads all tunnels. Throws only for a programmer's error. */
export async function loadTunnels(options: LoadOptions): Promise<LoadedTunnels> {
  const documents = await readDocuments(options.paths);
  const peers = assignPeers(documents);
  const tunnels: LoadedTunnel[] = invalidTunnels(documents);
  const problems = [...beside(documents), ...peers.problems];
  for (const placed of documents.resources) {
    if (placed.kind !== "VpnTunnel") continue;
    const { metadata } = placed.resource;
    const identity = { namespace: metadata.namespace, name: metadata.name };
    const own = peers.byTunnel.get(`${metadata.namespace}/${metadata.name}`) ?? [];
    const { outcome, peerProblems } = await loadOne(
      { tunnel: placed.resource, written: placed.written, peers: own },
      documents,
      options,
    );
    problems.push(...peerProblems);
    tunnels.push({ ...identity, ...prefixed(outcome, placed.place, identity) });
  }
  if (options.profile !== undefined) tunnels.push(await loadProfile(options.profile));
  return { tunnels: refuseSharing(tunnels), problems };
}

interface OneLoaded {
  readonly outcome: TunnelOutcome;
  readonly peerProblems: readonly DocumentProblem[];
}

async function loadOne(
  own: TunnelWithPeers,
  documents: Documents,
  options: LoadOptions,
): Promise<OneLoaded> {
  const refused = unsupportedFields(own.tunnel);
  if (refused.length > 0) {
    const problems = refused.map(({ field, reason }) => `${field}: ${reason}`);
    return { outcome: { ok: false, problems }, peerProblems: [] };
  }
  try {
    const loaded =
      own.tunnel.spec.listen === undefined
        ? { outcome: loadDialTunnel(own, documents), peerProblems: [] }
        : await loadListenTunnel(own, documents, options);
    return { ...loaded, outcome: withNotes(loaded.outcome, clusterNotes(own.tunnel)) };
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    return { outcome: { ok: false, problems: [error.message] }, peerProblems: [] };
  }
}

function withNotes(outcome: TunnelOutcome, notes: readonly string[]): TunnelOutcome {
  return outcome.ok ? { ...outcome, notes: [...outcome.notes, ...notes] } : outcome;
}

function prefixed(
  outcome: TunnelOutcome,
  place: string,
  identity: { readonly namespace: string; readonly name: string },
): TunnelOutcome {
  if (outcome.ok) return outcome;
  const subject = `${place}: VpnTunnel ${identity.namespace}/${identity.name}`;
  return { ok: false, problems: outcome.problems.map((problem) => `${subject} ${problem}`) };
}

/** Tunnels whose documents are not valid: they are in the result with what is wrong. */
function invalidTunnels(documents: Documents): LoadedTunnel[] {
  const tunnels: LoadedTunnel[] = [];
  for (const subject of documents.invalid) {
    const match = /^VpnTunnel ([^/]*)\/(.*)$/.exec(subject);
    if (match === null) continue;
    const problems = documents.problems
      .filter((problem) => problem.subject === subject)
      .map((problem) => `${problem.place}: ${problem.text}`);
    tunnels.push({ ok: false, namespace: match[1] ?? "", name: match[2] ?? "", problems });
  }
  return tunnels;
}

function beside(documents: Documents): DocumentProblem[] {
  return documents.problems.filter((problem) => !problem.subject?.startsWith("VpnTunnel "));
}

async function loadProfile(profile: NonNullable<LoadOptions["profile"]>): Promise<LoadedTunnel> {
  const stem = basename(profile.path)
    .replace(/\.[^.]*$/, "")
    .toLowerCase();
  const name =
    stem
      .replace(/[^a-z0-9-]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 63) || "profile";
  const identity = { namespace: "default", name };
  let text: string;
  try {
    text = await readFile(profile.path, "utf8");
  } catch (error) {
    const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
    const problem = `${profile.path}: cannot be read (${code ?? "unknown error"}): check the path given with --profile`;
    return { ok: false, ...identity, problems: [problem] };
  }
  const source: ProfileText = { text, place: profile.path };
  return { ...identity, ...tunnelFromProfile(source, identity, profile) };
}

/** Two tunnels cannot share a port or an interface: the later one is refused. */
function refuseSharing(tunnels: readonly LoadedTunnel[]): LoadedTunnel[] {
  const users = new Map<string, string>();
  return tunnels.map((tunnel) => {
    if (!tunnel.ok) return tunnel;
    const problems: string[] = [];
    for (const [thing, advice] of sharedThings(tunnel.config)) {
      const user = users.get(thing);
      if (user === undefined) users.set(thing, `${tunnel.namespace}/${tunnel.name}`);
      else
        problems.push(
          `VpnTunnel ${tunnel.namespace}/${tunnel.name}: ${thing} is used by tunnel ${user} too: ${advice}`,
        );
    }
    if (problems.length === 0) return tunnel;
    return { ok: false, namespace: tunnel.namespace, name: tunnel.name, problems };
  });
}

function sharedThings(config: TunnelConfig): [string, string][] {
  const things: [string, string][] = [];
  if (config.role.kind === "listen") {
    const protocol = config.role.protocol.toUpperCase();
    things.push([
      `${protocol} port ${config.role.port}`,
      "give one of them another spec.listen.port",
    ]);
  }
  if (config.device.name !== undefined) {
    things.push([
      `interface ${config.device.name}`,
      "give one of them another spec.workloads.interface",
    ]);
  }
  return things;
}
