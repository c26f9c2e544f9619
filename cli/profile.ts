/** `fairlead profile`: the client file of one VpnPeer, ready for stock OpenVPN. */
import { OperatingError } from "../common/operating-error.ts";
import { loadPeerProfile } from "../sidecar/control/peer-profile.ts";
import type { ClusterFlags } from "./cluster-facts.ts";
import { asksCluster } from "./cluster-flags.ts";
import { ExitStatus } from "./exit-status.ts";
import { UsageError } from "./process-state.ts";

/** The options as commander hands them over. */
export interface ProfileFlags extends ClusterFlags {
  readonly file?: readonly string[];
  readonly state: string;
}

/** Prints the profile on standard output; it holds the peer's private key. */
export async function run(peer: string, flags: ProfileFlags): Promise<ExitStatus> {
  if (flags.file === undefined && asksCluster(flags)) return await fromCluster(peer, flags);
  if (flags.file === undefined) {
    throw new UsageError(
      "name the tunnel's resource files with -f, or its namespace in a cluster with -n",
    );
  }
  try {
    const profile = await loadPeerProfile({
      paths: flags.file,
      stateDirectory: flags.state,
      peer,
      wallMs: Date.now(),
    });
    if (profile.ok) {
      process.stdout.write(profile.text);
      return ExitStatus.Fine;
    }
    for (const problem of profile.problems) process.stderr.write(`fairlead: ${problem}\n`);
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    process.stderr.write(`fairlead: ${error.message}\n`);
  }
  return ExitStatus.InvalidResource;
}

/** The profile of the peer's Secret. */
async function fromCluster(peer: string, flags: ProfileFlags): Promise<ExitStatus> {
  const { openCluster, readProfile } = await import("./cluster-facts.ts");
  const [first = "", second] = peer.split("/");
  const named = second === undefined ? flags : { ...flags, namespace: first };
  const cluster = openCluster(named);
  try {
    const profile = await readProfile(cluster, second ?? first);
    if (profile.text !== undefined) {
      process.stdout.write(profile.text);
      return ExitStatus.Fine;
    }
    process.stderr.write(`fairlead: ${profile.problem}\n`);
    return ExitStatus.InvalidResource;
  } finally {
    cluster.api.close();
  }
}
