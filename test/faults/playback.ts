/**
 * Plays frames back onto a wire, in the order in which they come on its input, in hex, one a line:
 *
 *     node playback.ts BRIDGE PER-SECOND
 *
 * and prints how many there were.
 */
import { text as readAll } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { Injector } from "./injector.ts";

/** This file, as a program to start. */
export const PLAYBACK: string = import.meta.filename;

async function main([bridge = "", perSecond = ""]: readonly string[]): Promise<void> {
  const lines = (await readAll(process.stdin)).split("\n").filter((line) => line !== "");
  const injector = new Injector(bridge);
  const startMs = performance.now();
  let sent = 0;
  for (const line of lines) {
    sent += injector.write([injector.frame(0).write(line, "hex")]);
    const aheadMs = (sent / Number(perSecond)) * 1000 - (performance.now() - startMs);
    if (aheadMs > 1) await sleep(aheadMs);
  }
  process.stdout.write(`${sent}\n`);
}

if (import.meta.main) await main(process.argv.slice(2));
