/** The rights that the systemd unit in `examples/` leaves: enough for a tunnel, and none too many. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ExitStatus } from "../../cli/exit-status.ts";
import { listenDocuments, writeDocuments } from "../support/documents.ts";
import { printProfile } from "../support/fairlead-peer.ts";
import { createHosts, ping } from "../support/hosts.ts";
import { Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const UNIT = readFileSync(join(ROOT, "examples", "fairlead.service"), "utf8");

/** The unit's capabilities, as setpriv names them. */
function capabilities(): readonly string[] {
  const [, names = ""] = /^CapabilityBoundingSet=(.*)$/m.exec(UNIT) ?? [];
  return names.split(" ").map((name) => name.replace("CAP_", "").toLowerCase());
}

test("the unit's capabilities are enough for a tunnel, and without NET_ADMIN it says so", {
  timeout: 90_000,
}, async () => {
  await ensureCommands(["setpriv"]);
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { host, other } = await createHosts(network, ["host", "other"]);
  const file = await writeDocuments(scratch.file("a.yaml"), listenDocuments({ peers: ["box"] }));
  const folder = scratch.file("host");
  const places = ["--state", join(folder, "state"), "--run", join(folder, "run")];
  const command = (granted: readonly string[]): readonly string[] => [
    ...["setpriv", "--no-new-privs", "--inh-caps=-all"],
    `--bounding-set=${["-all", ...granted.map((name) => `+${name}`)].join(",")}`,
    ...[join(ROOT, "fairlead"), "up", "-f", file, ...places],
  ];
  const granted = capabilities();
  assert(granted.includes("net_admin"));
  const refused = await host.try(command(granted.filter((name) => name !== "net_admin")));
  assert.equal(refused.status, ExitStatus.NotPermitted, refused.stderr);

  await using ours = host.start(command(granted));
  await ours.waitForOutput(/"msg":"tunnel started"/);
  await using stock = await OpenvpnPeer.start({
    namespace: other,
    folder: scratch.file("other"),
    config: `${await printProfile("box", file, { folder })}\ndev tap0\n`,
  });
  await stock.waitUntilUp();
  assert.deepEqual(await ping(other, "10.20.0.1"), { sent: 3, received: 3 });
  assert.equal(await ours.stop(), 0);
  assert.equal((await host.try(["ip", "link", "show", "seg0"])).status, 1, "nothing is left");
});
