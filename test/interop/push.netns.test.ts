/** What is pushed, and pushed anew: more than one message holds, and PUSH_UPDATE of OpenVPN 2.7. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PingStream } from "../support/hosts.ts";
import type { Namespace } from "../support/netns.ts";
import { waitFor } from "../support/wait.ts";
import { createLink } from "./links.ts";

const MINUTE = { timeout: 60_000 };
/** Together longer than the 1024 bytes of one control message. */
const MANY = Array.from({ length: 60 }, (_, index) => `route 198.18.${index}.0 255.255.255.0`);

for (const release of ["2.6", "2.7"] as const) {
  test(
    `a push of stock ${release} that needs several messages is taken as one`,
    MINUTE,
    async () => {
      const stockLines = MANY.map((line) => `push "${line}"`);
      await using link = await createLink({ release, role: "client", stockLines });
      for (const line of [MANY[0], MANY.at(-1)]) assert(link.stock.log.includes(line ?? ""), line);
      const parts = link.stock.log.match(/push-continuation [12]/g) ?? [];
      assert(parts.length >= 2, "stock cut it into parts");
      assert.equal(link.oursAddress.startsWith("10.20.0."), true);
    },
  );
}

test("a stock 2.7 server changes an address while frames flow", MINUTE, async () => {
  await using link = await createLink({ release: "2.7", role: "client" });
  const { ours, oursHost, stock, stockHost, oursAddress } = link;
  const before = (await ours.tunnel())?.peers[0]?.since;
  // The far end reaches the old address until it is changed, and the new one from then on.
  await using stream = new PingStream(stockHost, oursAddress, 0.02);
  await waitFor("the stream to flow", () => stream.received > 5);
  await update(stock, "ifconfig 10.20.0.77 255.255.255.0,dns server 1 address 198.51.100.1");
  await ours.waitForLog(
    /the server changes ifconfig 10\.20\.0\.77 255\.255\.255\.0; without meaning here: dns/,
  );
  await waitFor("the new address", async () =>
    (await addressesOf(oursHost)).includes("10.20.0.77/24"),
  );
  assert(!(await addressesOf(oursHost)).includes(oursAddress), "the old one is gone");
  await using other = new PingStream(stockHost, "10.20.0.77", 0.02);
  await waitFor("frames to the new address", () => other.received > 5);
  assert.equal((await ours.tunnel())?.peers[0]?.since, before, "the session is the same");
  await update(stock, "-ifconfig");
  await waitFor("no address", async () => !(await addressesOf(oursHost)).includes("10.20.0."));
});

for (const release of ["2.6", "2.7"] as const) {
  test(`our push of several messages is taken as one by stock ${release}`, MINUTE, async () => {
    const fromSegment = Array.from({ length: 60 }, (_, index) => `198.18.${index}.0/24`);
    const routes = { fromSegment };
    await using link = await createLink({ release, role: "server", device: "tun", routes });
    assert.match(link.stock.log, /push-continuation 2/);
    const routed = await link.stockHost.run(["ip", "-4", "route", "show", "dev", "tun0"]);
    for (const network of fromSegment) assert(routed.includes(network), network);
  });
}

async function update(
  stock: { manage: (command: string) => Promise<readonly string[]> },
  options: string,
): Promise<void> {
  const answer = await stock.manage(`push-update-broad "${options}"`);
  assert.match(answer.at(-1) ?? "", /^SUCCESS/, answer.join("\n"));
}

async function addressesOf(host: Namespace): Promise<string> {
  return await host.run(["ip", "-o", "-4", "address", "show", "dev", "seg0"]);
}
