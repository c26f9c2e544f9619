/**
 * The system programs that tests, lab and bench use, and the Debian packages they come from. As
 * root on Debian what is missing is installed, and said; elsewhere one line names it.
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { OperatingError } from "../../common/operating-error.ts";
import { online } from "./owner.ts";
import { cacheFolder } from "./scratch.ts";

const DEBIAN_PACKAGES = {
  // The bridge plug-in of CNI, which is in nobody's search path.
  "/usr/lib/cni/bridge": "containernetworking-plugins",
  buildah: "buildah",
  busybox: "busybox-static",
  containerd: "containerd",
  "avahi-daemon": "avahi-daemon",
  "avahi-publish": "avahi-utils",
  "dbus-daemon": "dbus",
  dnsmasq: "dnsmasq-base",
  ip: "iproute2",
  iperf: "iperf",
  iptables: "iptables",
  iperf3: "iperf3",
  mmdebstrap: "mmdebstrap",
  nft: "nftables",
  sysctl: "procps",
  openssl: "openssl",
  openvpn: "openvpn",
  ping: "iputils-ping",
  runc: "runc",
  setpriv: "util-linux",
  smcroutectl: "smcroute",
  socat: "socat",
  tshark: "tshark",
  tcpdump: "tcpdump",
} as const;

/** A program this module knows the package of. */
export type SystemCommand = keyof typeof DEBIAN_PACKAGES;

/** Makes sure that the programs are there, or throws one line that names what to install. */
export async function ensureCommands(commands: readonly SystemCommand[]): Promise<void> {
  const missing = commands.filter((command) => !isInstalled(command));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((command) => DEBIAN_PACKAGES[command]))];
  const names = packages.join(" ");
  if (process.getuid?.() !== 0 || !isInstalled("apt-get")) {
    throw new OperatingError(
      "program-missing",
      `${missing.join(", ")} not found: install ${names} (names of Debian's packages)`,
    );
  }
  process.stderr.write(`fairlead: installing system packages: ${names}\n`);
  if (aptInstall(packages)) return;
  const isUpdated = aptGet(["update"]);
  if (!isUpdated || !aptInstall(packages)) {
    throw new OperatingError(
      "program-missing",
      `apt-get could not install ${names}; its lines above say why`,
    );
  }
}

function isInstalled(command: string): boolean {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  const places = command.startsWith("/") ? [command] : folders.map((one) => join(one, command));
  return places.some((place) => {
    const stat = statSync(place, { throwIfNoEntry: false });
    return stat?.isFile() === true && (stat.mode & 0o111) !== 0;
  });
}

function aptInstall(packages: readonly string[]): boolean {
  return aptGet(["install", "-y", "--no-install-recommends", ...packages]);
}

/** One at a time: of two, apt-get refuses the second. */
function aptGet(parameters: readonly string[]): boolean {
  mkdirSync(cacheFolder(), { recursive: true });
  const lock = ["flock", join(cacheFolder(), ".apt-lock")];
  const [program = "", ...rest] = online([...lock, "apt-get", "-q", ...parameters]);
  const { status } = spawnSync(program, rest, {
    stdio: ["ignore", process.stderr.fd, process.stderr.fd],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return status === 0;
}
