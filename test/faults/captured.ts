/** What a test captured of a session, and what the host's socket and process say of themselves. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { readFrames } from "../support/pcap.ts";

const ETHERNET_IP_UDP_BYTES = 14 + 20 + 8;

/** UDP payloads of a capture file, in hex. */
export function readCapture(path: string): readonly string[] {
  const payloads = readFrames(path).map(({ bytes }) =>
    bytes.toString("hex", ETHERNET_IP_UDP_BYTES),
  );
  assert(payloads.length > 10, `${payloads.length} packets were captured`);
  return payloads;
}

/** Resident memory of a process. */
export function rssKib(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** Datagrams that the kernel dropped at the tunnel's socket (last column of /proc/net/udp6). */
export function socketDrops(table: string, tunnelPort: number): number {
  const port = `:${tunnelPort.toString(16).toUpperCase().padStart(4, "0")} `;
  const line = table.split("\n").find((text) => text.includes(port));
  assert(line !== undefined, "the tunnel's socket is there");
  return Number(line.trim().split(/\s+/).at(-1));
}
