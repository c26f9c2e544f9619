/** `fairlead capture` at a tunnel that carries pings, read by tshark. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createStanding, GOOD_PEER, type Standing } from "../test/faults/standing.ts";
import { ensureCommands } from "../test/support/packages.ts";
import type { Outcome } from "../test/support/process.ts";

const LAUNCHER = join(import.meta.dirname, "..", "fairlead");

test("a capture opens in tshark, with peers as interfaces, directions and what became of each frame", {
  timeout: 180_000,
}, async (context) => {
  await ensureCommands(["tshark"]);
  await using standing = await createStanding();
  const { ours, place, scratch, host } = standing;

  await context.test("every frame once, with where it came in and where it went", async () => {
    const rows = await captureRows(standing, "--count", "20");
    assert.equal(rows.length, 20);
    const requests = rows.filter((row) => row.type === "8");
    assert(requests.length >= 5, JSON.stringify(rows));
    for (const row of requests) {
      assert.equal(row.interface, GOOD_PEER);
      assert.equal(row.direction, "0x00000001");
      assert.equal(row.comment, `from ${GOOD_PEER} to tap`);
    }
    const replies = rows.filter((row) => row.type === "0");
    assert(replies.length >= 5);
    assert(replies.every((row) => row.interface === "tap"));
    assert(replies.every((row) => row.comment === `from tap to ${GOOD_PEER}`));
    assert.equal(statSync(scratch.file("out.pcapng")).mode & 0o777, 0o600, "frames are decrypted");
  });

  await context.test("--peer notes what goes to the peer as well", async () => {
    const rows = await captureRows(standing, "--peer", GOOD_PEER, "--count", "20");
    assert(rows.every((row) => row.interface === GOOD_PEER));
    const outward = rows.filter((row) => row.direction === "0x00000002");
    assert(outward.length >= 5);
    assert(outward.every((row) => row.comment === `to ${GOOD_PEER}`));
  });

  await context.test("--station and --group keep what is asked for", async () => {
    const rows = await captureRows(standing, "--station", "02:00:00:00:00:99", "--seconds", "1");
    assert.deepEqual(rows, []);
    const mac = (await host.run(["cat", "/sys/class/net/good0/address"])).trim();
    const own = await captureRows(standing, "--station", mac, "--count", "5");
    assert.equal(own.length, 5);
    await using _query = host.start(["ping", "-i", "0.2", "-I", "good0", "239.1.2.3"]);
    const group = await captureRows(standing, "--group", "239.1.2.3", "--count", "3");
    assert(group.some((row) => row.target === "239.1.2.3"));
    assert(group.every((row) => row.type !== "0"));
  });

  await context.test("--bytes bounds the file, --snap each frame", async () => {
    await captureRows(standing, "--bytes", "2000", "--snap", "60");
    const { size } = statSync(scratch.file("out.pcapng"));
    assert(size > 1000 && size < 2100, String(size));
  });

  await context.test("the socket is the user's alone", () => {
    const path = join(place.folder, "run", `${ours.pid}.capture`);
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  const refusals: readonly [string, RegExp, ...string[]][] = [
    ["an unknown peer", /no peer nobody; there is tap, good-peer/, "--peer", "nobody"],
    ["an unknown tunnel", /no tunnel other runs here; there is lab\/good/, "--tunnel", "other"],
    ["no MAC address", /abc is not a MAC address/, "--station", "abc"],
    ["no group", /10\.20\.0\.1 is not a multicast group/, "--group", "10.20.0.1"],
    ["no number", /--count is a number above 0/, "--count", "many"],
    ["no folder", /name another file/, "-w", "/nowhere/file"],
  ];
  for (const [name, text, ...parameters] of refusals) {
    await context.test(`${name} is refused with what would be right`, async () => {
      const { status, stderr } = await capture(standing, ...parameters);
      assert.equal(status, 2, stderr);
      assert.match(stderr, text);
    });
  }

  await context.test("captures leave nothing running", async () => {
    const { counters } = (await ours.tunnel()) ?? assert.fail();
    assert.equal(counters["capture.missed"], 0);
    assert.deepEqual(standing.stream.missing(), []);
  });
});

interface Row {
  readonly interface: string;
  readonly direction: string;
  readonly comment: string;
  readonly type: string;
  readonly target: string;
}

async function captureRows(
  standing: Standing,
  ...parameters: readonly string[]
): Promise<readonly Row[]> {
  const file = standing.scratch.file("out.pcapng");
  const outcome = await capture(standing, "-w", file, ...parameters);
  assert.equal(outcome.status, 0, outcome.stderr);
  assert.match(outcome.stderr, /^fairlead: \d+ frames, 0 missed$/m);
  const fields = [
    ...["frame.interface_name", "frame.packet_flags", "frame.comment"],
    ...["icmp.type", "ip.dst"],
  ].flatMap((field) => ["-e", field]);
  const text = await standing.host.run([
    ...["tshark", "-r", file, "-T", "fields", "-E", "separator=|", ...fields],
  ]);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [name = "", direction = "", comment = "", type = "", target = ""] = line.split("|");
      return { interface: name, direction, comment, type, target };
    });
}

async function capture(
  { host, place }: Standing,
  ...parameters: readonly string[]
): Promise<Outcome> {
  const folder = join(place.folder, "run");
  return await host.try([LAUNCHER, "capture", "--run", folder, ...parameters]);
}
