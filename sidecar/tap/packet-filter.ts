/**
 * What this host's kernel may carry between a routed tunnel and its other interfaces: forwarding
 * switched on, a fence around it, and masquerading, in one table of nftables that bears the tunnel's
 * name. One invariant: `close`, or the next start after a kill, removes the table and switches
 * forwarding off again where it was off; nobody else's tables are touched.
 */

import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { TunnelError } from "../tunnel-error.ts";

/** What the resource asks for. */
export interface FilterWish {
  /** `namespace/name` of the tunnel. */
  readonly owner: string;
  readonly interface: string;
  /** Networks that what comes out of the tunnel may go on to. */
  readonly networks: readonly string[];
  readonly masquerade: boolean;
  /** Groups may go on, where a multicast router of this host takes them. */
  readonly hasGroups: boolean;
}

/** IPv6 ones, and those of IPv4. */
const GROUPS: readonly string[] = ["ff00::/8", "224.0.0.0/4"];

/** An empty chain of this name says that forwarding was off before. */
const WAS_OFF: Readonly<Record<string, string>> = { 4: "was_off_4", 6: "was_off_6" };
const SWITCHES: Readonly<Record<string, string>> = {
  4: "/proc/sys/net/ipv4/ip_forward",
  6: "/proc/sys/net/ipv6/conf/all/forwarding",
};

/** The table of one tunnel. */
export class PacketFilter {
  readonly #owner: string;

  private constructor(owner: string) {
    this.#owner = owner;
  }

  /**
   * Sets what is asked for, after sweeping what a killed run left; undefined when nothing is. The
   * `problems` are sentences for the log: what could not be had is not worth the tunnel.
   */
  static open(wish: FilterWish): { filter: PacketFilter | undefined; problems: readonly string[] } {
    sweepFilter(wish.owner);
    if (wish.networks.length === 0 && !wish.masquerade) return { filter: undefined, problems: [] };
    const { turnedOn, problems } = turnOn(familiesOf(wish));
    const outcome = nft(["-f", "-"], tableText(wish, turnedOn));
    if (outcome.isFine) return { filter: new PacketFilter(wish.owner), problems };
    for (const family of turnedOn) switchForwarding(family, "0");
    throw new TunnelError(
      "interfaceFailed",
      `spec.routes: nftables does not take the tunnel's table: ${outcome.text}`,
    );
  }

  close(): void {
    sweepFilter(this.#owner);
  }
}

/** Removes the table of a tunnel, and undoes what it says was done; nothing when there is none. */
export function sweepFilter(owner: string): void {
  const table = tableName(owner);
  const listed = nft(["list", "table", "inet", table], "");
  if (!listed.isFine) return;
  for (const [family, chain] of Object.entries(WAS_OFF)) {
    if (listed.text.includes(`chain ${chain} `)) switchForwarding(family, "0");
  }
  nft(["delete", "table", "inet", table], "");
}

function tableName(owner: string): string {
  return `fairlead/${owner}`;
}

/** Families in which something is to be carried; what is masqueraded has no network of its own. */
function familiesOf({ networks, masquerade }: FilterWish): readonly string[] {
  const has6 = networks.some((network) => network.includes(":"));
  const has4 = networks.some((network) => !network.includes(":"));
  return [...(has4 || (masquerade && !has6) ? ["4"] : []), ...(has6 ? ["6"] : [])];
}

function turnOn(families: readonly string[]): { turnedOn: string[]; problems: string[] } {
  const turnedOn: string[] = [];
  const problems: string[] = [];
  for (const family of families) {
    if (readSwitch(family) === "1") continue;
    if (switchForwarding(family, "1")) turnedOn.push(family);
    else {
      const name = SWITCHES[family]?.slice("/proc/sys/".length).replaceAll("/", ".");
      problems.push(
        `this machine does not forward IPv${family} and may not be told to: set ${name}=1 (of a pod, in securityContext.sysctls)`,
      );
    }
  }
  return { turnedOn, problems };
}

function readSwitch(family: string): string {
  try {
    return readFileSync(SWITCHES[family] ?? "", "utf8").trim();
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    return "";
  }
}

function switchForwarding(family: string, value: "0" | "1"): boolean {
  try {
    writeFileSync(SWITCHES[family] ?? "", value);
    return true;
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    return false;
  }
}

function tableText(wish: FilterWish, turnedOn: readonly string[]): string {
  const { owner, interface: name, networks, masquerade, hasGroups } = wish;
  const allowed = [...networks, ...(hasGroups ? GROUPS : [])].map(
    (network) => `    ${network.includes(":") ? "ip6" : "ip"} daddr ${network} accept`,
  );
  return [
    `table inet ${tableName(owner)} {`,
    ...turnedOn.map((family) => `  chain ${WAS_OFF[family]} { }`),
    "  chain from_tunnel {",
    "    type filter hook forward priority filter; policy accept;",
    `    iifname != "${name}" accept`,
    `    oifname "${name}" accept`,
    "    ct state established,related accept",
    ...allowed,
    "    counter drop",
    "  }",
    ...(masquerade
      ? [
          "  chain leaving {",
          "    type nat hook postrouting priority srcnat; policy accept;",
          `    iifname "${name}" oifname != "${name}" masquerade`,
          `    iifname != "${name}" oifname "${name}" masquerade`,
          "  }",
        ]
      : []),
    "}",
    "",
  ].join("\n");
}

function nft(parameters: readonly string[], input: string): { isFine: boolean; text: string } {
  const { error, status, stdout, stderr } = spawnSync("nft", parameters, {
    input,
    encoding: "utf8",
  });
  if (error !== undefined) {
    const isMissing = "code" in error && error.code === "ENOENT";
    const text = isMissing ? "the program nft is not here: install nftables" : error.message;
    return { isFine: false, text };
  }
  const text = status === 0 ? stdout : stderr.trim().split("\n")[0] || `status ${status}`;
  return { isFine: status === 0, text };
}
