/**
 * Other releases of OpenVPN on a Debian that has 2.6: a root of another Debian made once by
 * mmdebstrap and kept in the cache folder; the program runs in it by chroot, in a namespace like
 * any other.
 */
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { debianMirror } from "./debian-mirror.ts";
import { online } from "./owner.ts";
import { ensureCommands } from "./packages.ts";
import { runFine } from "./process.ts";
import { cacheFolder } from "./scratch.ts";

const BOOTSTRAP_TIMEOUT_MS = 300_000;
/** Where the peer's own folder appears inside the root. */
const FOLDER_IN_ROOT = "/mnt";

/** Which Debian has a release: 2.5 is the last one without key export (RFC 5705). */
const SUITES = { "2.5": "bullseye", "2.7": "sid" } as const;

/** The releases that come in a root of their own. */
export type RootedRelease = keyof typeof SUITES;

/** The root folder with this release of OpenVPN in it, made at the first call on a machine. */
export async function openvpnRoot(release: RootedRelease): Promise<string> {
  const root = join(cacheFolder(), `openvpn-${release}`);
  if (existsSync(join(root, "usr/sbin/openvpn"))) return root;
  await ensureCommands(["mmdebstrap"]);
  const suite = SUITES[release];
  process.stderr.write(`fairlead: making a Debian ${suite} root for OpenVPN ${release}\n`);
  const draft = `${root}.${process.pid}`;
  await mkdir(cacheFolder(), { recursive: true });
  // Of two tests that need it the second waits, and finds it made.
  const script =
    '[ -e "$0/usr/sbin/openvpn" ] || { draft=$1; shift; "$@" && mv -T "$draft" "$0"; }';
  const make = [
    ...["mmdebstrap", "--aptopt=Acquire::Check-Valid-Until false", "--variant=apt"],
    ...["--include=openvpn", suite, draft, await debianMirror()],
  ];
  const command = ["flock", `${root}.lock`, "sh", "-c", script, root, draft, ...make];
  try {
    await runFine(online(command), { timeoutMs: 2 * BOOTSTRAP_TIMEOUT_MS });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return root;
}

/**
 * The command that runs `parameters` as openvpn in `root`, with `folder` as its working folder.
 * The mounts live in the mount namespace that `ip netns exec` makes, and end with the program.
 */
export function chrootCommand(
  root: string,
  folder: string,
  parameters: readonly string[],
): readonly string[] {
  const script = [
    'mount --bind /dev "$0/dev"',
    'mount -t proc proc "$0/proc"',
    `mount --bind "$1" "$0${FOLDER_IN_ROOT}"`,
    'root=$0; shift; exec chroot "$root" openvpn "$@"',
  ].join(" && ");
  return ["sh", "-c", script, root, folder, "--cd", FOLDER_IN_ROOT, ...parameters];
}
