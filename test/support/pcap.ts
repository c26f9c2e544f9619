/** Reads what tcpdump wrote, in the libpcap file format with microseconds, little endian. */
import { readFileSync } from "node:fs";
import type { Namespace } from "./netns.ts";
import type { Program } from "./process.ts";

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;

/** One frame, and when the kernel saw it. */
export interface CapturedFrame {
  readonly timeMs: number;
  readonly bytes: Buffer;
}

/** The whole frames of a capture file. */
export function readFrames(path: string): readonly CapturedFrame[] {
  const file = readFileSync(path);
  const frames: CapturedFrame[] = [];
  for (let offset = FILE_HEADER_BYTES; offset + RECORD_HEADER_BYTES <= file.length; ) {
    const timeMs = file.readUInt32LE(offset) * 1000 + file.readUInt32LE(offset + 4) / 1000;
    const start = offset + RECORD_HEADER_BYTES;
    offset = start + file.readUInt32LE(offset + 8);
    if (offset <= file.length) frames.push({ timeMs, bytes: file.subarray(start, offset) });
  }
  return frames;
}

/** Starts tcpdump on an interface; `filter` as tcpdump's own. */
export async function startCapture(
  host: Namespace,
  where: { readonly device: string; readonly file: string; readonly filter: string },
): Promise<Program> {
  const options = ["-i", where.device, "-U", "--immediate-mode", "-w", where.file, where.filter];
  const capture = host.start(["tcpdump", ...options]);
  await capture.waitForOutput(/listening on/);
  return capture;
}
