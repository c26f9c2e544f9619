/**
 * What one packet costs in the router, by the number of routes: source check and longest prefix match
 * for known networks in a fixed shuffled order, from peer to peer with the hop taken off. Prints a
 * table. One table per process, as in the data plane.
 *
 *     node test/bench/router-micro.ts [routes]
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseNetwork } from "../../crds/ip-network.ts";
import { Counters } from "../../sidecar/counters.ts";
import * as limits from "../../sidecar/limits.ts";
import { IcmpAnswers } from "../../sidecar/switch/answers.ts";
import { type PrefixRow, prefixWords } from "../../sidecar/switch/prefix-table.ts";
import { Router } from "../../sidecar/switch/router.ts";
import { addressWords } from "../../sidecar/uplink/address-words.ts";

const ROUTE_COUNTS = [10, 1000, 16_384];
const PEERS = 64;
const PACKETS = 2_000_000;
const ROUNDS = 5;
const PACKET_BYTES = 64;
const HOPS = 64;

function measure(routes: number): number {
  const counters = new Counters();
  const own = { own4: addressWords("172.16.0.1"), own6: undefined };
  const { PORTS_MAX: portsMax, OWNERS_MAX: ownersMax } = limits;
  const answers = new IcmpAnswers({ ...own, portsMax, counters });
  const sizes = { portsMax, ownersMax };
  const router = new Router({
    isStraight: false,
    isPeerToPeer: true,
    ...sizes,
    answers,
    counters,
  });
  router.setTable(prefixWords(rowsOf(routes)));
  for (let peer = 1; peer <= PEERS; peer++) router.setOwner(peer, peer, 1500);
  const view = new DataView(new SharedArrayBuffer(256 * PACKET_BYTES));
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    best = Math.min(best, run(router, view, routes, true) - run(router, view, routes, false));
  }
  return best;
}

/** /24 networks, one peer's after the other's. */
function rowsOf(routes: number): PrefixRow[] {
  return Array.from({ length: routes }, (_, route) => {
    const text = `10.${route >>> 8}.${route & 255}.0/24`;
    const network = parseNetwork(text);
    if (network === undefined) throw new Error(text);
    return { network, owner: ownerOf(route) };
  });
}

/** Source and target of another peer, both spread over the whole table; ns a packet. */
function run(router: Router, view: DataView, routes: number, isCounted: boolean): number {
  let delivered = 0;
  let source = 1;
  const startNs = process.hrtime.bigint();
  for (let packet = 0; packet < PACKETS; packet++) {
    source = (source + 7919) % routes;
    const target = (source + 1) % routes;
    const start = (packet & 255) * PACKET_BYTES;
    view.setUint32(start, 0x4500_0000 | PACKET_BYTES);
    view.setUint32(start + 4, 0);
    view.setUint32(start + 8, (HOPS << 24) | 0x0011_0000);
    view.setInt32(start + 12, addressOf(source));
    view.setInt32(start + 16, addressOf(target));
    const port = ownerOf(source);
    if (isCounted) delivered += router.decide(view, start, start + PACKET_BYTES, port);
    else delivered += port;
  }
  const spentNs = Number(process.hrtime.bigint() - startNs) / PACKETS;
  if (isCounted && delivered !== PACKETS) throw new Error(`${delivered} were forwarded`);
  return spentNs;
}

function addressOf(route: number): number {
  return 0x0a00_0007 | (route << 8);
}

function ownerOf(route: number): number {
  return 1 + (route % PEERS);
}

function main(): void {
  const only = process.argv[2];
  if (only !== undefined) {
    console.log(JSON.stringify(measure(Number(only))));
    return;
  }
  console.log("routes  decide ns/packet");
  for (const routes of ROUTE_COUNTS) {
    const file = fileURLToPath(import.meta.url);
    const child = spawnSync(process.execPath, [file, String(routes)], { encoding: "utf8" });
    if (child.status !== 0) throw new Error(child.stderr);
    const ns = JSON.parse(child.stdout) as number;
    console.log(`${String(routes).padStart(6)}  ${ns.toFixed(1).padStart(16)}`);
  }
}

main();
