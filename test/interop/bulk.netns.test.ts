/** Much random data each way, hashes equal; a gigabyte in the long run. */
import { test } from "node:test";
import { exchange } from "../support/exchange.ts";
import { IS_FULL } from "../support/full.ts";
import { createLink } from "./links.ts";

const BYTES = IS_FULL ? 1_000_000_000 : 50_000_000;

for (const role of ["server", "client"] as const) {
  test(`${BYTES / 1e6} MB each way, we are the ${role}`, { timeout: 900_000 }, async (context) => {
    await using link = await createLink({ release: role === "server" ? "2.7" : "2.6", role });
    const { oursHost, stockHost, oursAddress } = link;
    const seconds = await exchange({
      from: stockHost,
      to: oursHost,
      address: oursAddress,
      bytes: BYTES,
    });
    const rate = ((2 * 8 * BYTES) / seconds / 1e9).toFixed(2);
    context.diagnostic(`${seconds.toFixed(1)} s, ${rate} Gb/s both ways together`);
  });
}
