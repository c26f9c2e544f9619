/** A peer without key export: data keys come from the TLS 1.0 PRF, both ways (openvpn-rfc 5.2). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exchange } from "../support/exchange.ts";
import { IS_FULL } from "../support/full.ts";
import { createLink } from "./links.ts";

const BYTES = 2_000_000;
// Its Debian is an old one that mirrors drop some day, and takes a minute to fetch.
const skip = !IS_FULL && "runs with `./fairlead test full`";

for (const role of ["server", "client"] as const) {
  test(`OpenVPN 2.5, we are the ${role}: keys by the PRF, renewed under way`, {
    timeout: 600_000,
    skip,
  }, async () => {
    await using link = await createLink({ release: "2.5", role, stockLines: ["reneg-sec 5"] });
    const { stock, oursHost, stockHost, oursAddress } = link;
    const send = async (): Promise<unknown> =>
      await exchange({ from: stockHost, to: oursHost, address: oursAddress, bytes: BYTES });
    assert.match(stock.log, /OpenVPN 2\.5\./);
    assert.doesNotMatch(stock.log, /tls-ekm/);
    await send();
    await stock.waitForLog(/Control Channel: TLS[\s\S]*Control Channel: TLS/, 60_000);
    await send();
  });
}
