/**
 * OpenVPN 2.7 on a Debian that has 2.6: a Debian unstable root made once by mmdebstrap and kept in
 * the cache folder; the program runs in it by chroot, in a namespace like any other.
 */
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { online } from "./owner.ts";
import { ensureCommands } from "./packages.ts";
import { run, runFine } from "./process.ts";
import { cacheFolder } from "./scratch.ts";

const BOOTSTRAP_TIMEOUT_MS = 300_000;
/** Where the peer's own folder appears inside the root. */
const FOLDER_IN_ROOT = "/mnt";

/** The root folder with OpenVPN 2.7 in it, made at the first call on a machine. */
export async function openvpn27Root(): Promise<string> {
  const root = join(cacheFolder(), "openvpn-2.7");
  if (existsSync(join(root, "usr/sbin/openvpn"))) return root;
  await ensureCommands(["mmdebstrap"]);
  process.stderr.write("fairlead: making a Debian unstable root for OpenVPN 2.7\n");
  const draft = `${root}.${process.pid}`;
  await mkdir(cacheFolder(), { recursive: true });
  await runFine(
    online([
      ...["mmdebstrap", "--aptopt=Acquire::Check-Valid-Until false", "--variant=apt"],
      ...["--include=openvpn", "sid", draft, await debianMirror()],
    ]),
    { timeoutMs: BOOTSTRAP_TIMEOUT_MS },
  );
  // Two tests may have made one each: whoever comes second drops its own.
  try {
    await rename(draft, root);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(join(root, "usr/sbin/openvpn"))) throw error;
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

/** Debian's mirror as apt on this machine knows it. */
async function debianMirror(): Promise<string> {
  const { stdout } = await run([
    ...["apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN) $(LABEL)"],
    "Created-By: Packages",
  ]);
  const line = stdout.split("\n").find((text) => text.endsWith(" Debian Debian"));
  const mirror = line?.split(" ")[0];
  if (mirror === undefined) throw new Error("apt names no Debian mirror to take OpenVPN 2.7 from");
  return mirror;
}
