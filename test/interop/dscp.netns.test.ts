/** What the packets of a tunnel look like outside: their traffic class, by capture. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ensureCommands } from "../support/packages.ts";
import { waitFor } from "../support/wait.ts";
import { createLink } from "./links.ts";

/** Expedited forwarding, with "ECN capable" set by the sender. */
const CLASS_INSIDE = "0xba";
/** The same DSCP; ECN is nobody's outside. */
const CLASS_OUTSIDE = { 4: /tos 0xb8,/, 6: /class 0xb8,/ };

for (const family of [4, 6] as const) {
  for (const isCopied of [true, false]) {
    const name = `copyDscp ${isCopied}: IPv${family} packets around those of class EF`;
    test(name, async () => {
      await ensureCommands(["tcpdump"]);
      await using link = await createLink({
        release: "2.6",
        role: "server",
        family,
        transport: { copyDscp: isCopied },
      });
      const { oursHost, stockAddress } = link;
      // Whole pings of 300 bytes: nothing else of the tunnel is that long.
      const long = "udp src port 1194 and greater 330";
      const command = ["tcpdump", "-i", "up0", "-n", "-v", "-l", "--immediate-mode", long];
      await using capture = oursHost.start(command);
      await capture.waitForOutput(/listening on/);
      await oursHost.run([
        "ping",
        "-c",
        "3",
        "-i",
        "0.2",
        "-s",
        "300",
        "-Q",
        CLASS_INSIDE,
        stockAddress,
      ]);
      const lines = await waitFor(
        () => `three packets of the tunnel: ${capture.output}`,
        () => {
          const seen = capture.output
            .split("\n")
            .filter((line) => /\b(tos|hlim|class)\b/.test(line));
          return Promise.resolve(seen.length >= 3 ? seen : undefined);
        },
        20_000,
      );
      const marked = lines.filter((line) => CLASS_OUTSIDE[family].test(line));
      assert.equal(marked.length, isCopied ? lines.length : 0, lines.join("\n"));
    });
  }
}
