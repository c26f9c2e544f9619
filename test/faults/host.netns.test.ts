/** A host that cannot carry a tunnel: no /dev/net/tun, no rights. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { listenDocuments, writeDocuments } from "../support/documents.ts";
import { createHosts } from "../support/hosts.ts";
import { Network } from "../support/netns.ts";
import type { Outcome } from "../support/process.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";
import { errorLines } from "./standing.ts";

/** Of proc(5)'s stat, counted from 1. */
const NICE_FIELD = 19;
const FIELDS_BEFORE = 3;
const LAUNCHER = join(import.meta.dirname, "..", "..", "fairlead");

interface Case {
  readonly name: string;
  readonly status: number;
  readonly text: RegExp;
  /** The command in front of `fairlead up`, given an empty folder. */
  readonly wrapper: (folder: string) => readonly string[];
}

const CASES: readonly Case[] = [
  {
    name: "no /dev/net/tun",
    status: 12,
    text: /\/dev\/net\/tun does not exist: load the module \(modprobe tun\), or give the container/,
    wrapper: (folder) => [
      ...["unshare", "--mount", "sh", "-c"],
      ...['mount --bind "$0" /dev/net && exec "$@"', folder],
    ],
  },
  {
    name: "a /dev/net/tun that may not be opened",
    status: 12,
    text: /\/dev\/net\/tun may not be opened: allow the device to this container/,
    // A device on a file system without devices is what a container without the device meets.
    wrapper: (folder) => [
      ...["unshare", "--mount", "sh", "-c"],
      [
        'mount -t tmpfs -o nodev tmpfs "$0"',
        'mknod "$0/tun" c 10 200',
        'mount --bind "$0" /dev/net && exec "$@"',
      ].join(" && "),
      folder,
    ],
  },
  {
    name: "no right to change the network",
    status: 11,
    text: /needs root or CAP_NET_ADMIN/,
    wrapper: () => ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"],
  },
];

for (const { name, status, text, wrapper } of CASES) {
  test(`${name}: status ${status} and one line that says what to do`, async () => {
    const outcome = await up(wrapper);
    assert.equal(outcome.status, status, outcome.stderr);
    const lines = errorLines(outcome.stderr);
    assert.equal(lines.length, 1, outcome.stderr);
    assert.match(lines[0]?.msg ?? "", text);
  });
}

test("an ordinary user: status 11 and one line that says what to do", async () => {
  const outcome = await up(() => [
    "setpriv",
    "--reuid",
    "65534",
    "--regid",
    "65534",
    "--clear-groups",
  ]);
  assert.equal(outcome.status, 11, outcome.stderr);
  assert.equal(outcome.stderr.trim().split("\n").length, 1, outcome.stderr);
  assert.match(outcome.stderr, /root/);
});

async function up(wrapper: Case["wrapper"]): Promise<Outcome> {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const { host } = await createHosts(network, ["host"]);
  const file = await writeDocuments(scratch.file("up.yaml"), listenDocuments({ peers: ["box"] }));
  await mkdir(scratch.file("empty"));
  const folders = ["--state", scratch.file("state"), "--run", scratch.file("run")];
  return await host.try([
    ...wrapper(scratch.file("empty")),
    ...[LAUNCHER, "up", "-f", file, ...folders],
  ]);
}

/** Waits until the data path's thread of a tunnel started behind `wrapper` has this niceness. */
async function untilNice(nice: number, ...wrapper: readonly string[]): Promise<void> {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const { server } = await createHosts(network, ["server"]);
  const documents = await writeDocuments(scratch.file("a.yaml"), listenDocuments({ peers: ["a"] }));
  const folders = ["--state", scratch.file("state"), "--run", scratch.file("run")];
  await using program = server.start([...wrapper, LAUNCHER, "up", "-f", documents, ...folders]);
  await program.waitForOutput(/tunnel started/);
  const tasks = `/proc/${program.pid}/task`;
  await waitFor(`a data path at niceness ${nice}`, async () => {
    const threads = await readdir(tasks);
    const stats = threads.map((thread) => readFileSync(`${tasks}/${thread}/stat`, "utf8"));
    const stat = stats.find((one) => one.includes("(WorkerThread)"));
    const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
    return Number(fields[NICE_FIELD - FIELDS_BEFORE]) === nice;
  });
}

test("the data path's thread goes before others where it may, and runs where it may not", async () => {
  await untilNice(-10);
  await untilNice(0, "setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice");
});
