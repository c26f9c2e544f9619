/** What `fairlead doctor` looks at on this host: its tunnels' status, and what the kernel does beside them. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import type { ProcessStatus } from "../sidecar/control/status.ts";
import {
  type AddressEntry,
  addresses,
  type Link,
  links,
  type Route,
  routes,
} from "../sidecar/native/native.ts";

/** Everything that is looked at. */
export interface HostFacts {
  readonly processes: readonly ProcessStatus[];
  readonly links: readonly Link[];
  readonly addresses: readonly AddressEntry[];
  /** Of all tables. */
  readonly routes: readonly Route[];
  /** Interfaces whose reverse path filter is strict: what comes in elsewhere than its route goes is dropped. */
  readonly strict: ReadonlySet<string>;
  /** A rule set for IP that drops what it forwards by default sees bridged frames too. */
  readonly isBridgeFiltered: boolean;
  /** What may not be read, in words. */
  readonly hidden: readonly string[];
}

const STRICT = 1;
const runFile = promisify(execFile);

/** What the kernel does beside these processes. */
export async function readHostFacts(processes: readonly ProcessStatus[]): Promise<HostFacts> {
  const hidden: string[] = [];
  const present = links().links;
  return {
    processes,
    links: present,
    addresses: addresses().addresses,
    routes: routes().routes,
    strict: new Set(present.map(({ name }) => name).filter(isStrict)),
    isBridgeFiltered:
      setting("bridge/bridge-nf-call-iptables") === 1 && (await dropsForwarded(hidden)),
    hidden,
  };
}

/** Linux takes the greater of the interface's value and that of all (ip-sysctl, rp_filter). */
function isStrict(name: string): boolean {
  const values = ["all", name].map((one) => setting(`ipv4/conf/${one}/rp_filter`) ?? 0);
  return Math.max(...values) === STRICT;
}

/** A number below /proc/sys/net; undefined where this kernel has none. */
function setting(path: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/sys/net/${path}`, "utf8"));
  } catch {
    return undefined;
  }
}

interface Chain {
  readonly chain?: { readonly family: string; readonly hook?: string; readonly policy?: string };
}

/** Whether a chain for IPv4 drops what no rule of it accepts. */
async function dropsForwarded(hidden: string[]): Promise<boolean> {
  try {
    const { stdout } = await runFile("nft", ["-j", "list", "chains"]);
    const { nftables } = JSON.parse(stdout) as { readonly nftables: readonly Chain[] };
    return nftables.some(
      ({ chain }) =>
        chain?.hook === "forward" &&
        chain.policy === "drop" &&
        (chain.family === "ip" || chain.family === "inet"),
    );
  } catch {
    hidden.push("the packet filter (nft list chains)");
    return false;
  }
}
