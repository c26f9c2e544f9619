/**
 * A printed profile in the hands of stock OpenVPN, in namespaces of its own: it connects, an
 * unbound multicast program joins and sends on the tap, and without the route it does not.
 */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createAuthority, issueCertificate } from "./certificate.ts";
import { printProfile } from "./profile.ts";
import { generateStaticKey, printStaticKey } from "./static-key.ts";

const HAS_OPENVPN = spawnSync("openvpn", ["--version"]).error === undefined;
const IS_ROOT = process.getuid?.() === 0;
const SKIP = IS_ROOT && HAS_OPENVPN ? false : "needs root and openvpn";
const PREFIX = `flprof${process.pid}`;
const UP_WITHIN_MS = 20_000;

/** Joins and sends as programs do that name no interface; prints which interface was joined. */
const MULTICAST_PROGRAM = `
const s = require("node:dgram").createSocket("udp4");
s.bind(5000, () => {
  s.addMembership("239.1.2.3");
  s.send("hello", 5000, "239.1.2.3", () => {
    const lines = require("node:fs").readFileSync("/proc/net/igmp", "utf8").split("\\n");
    let device = "";
    for (const line of lines) {
      const named = /^\\d+\\s+(\\S+)/.exec(line);
      if (named) device = named[1];
      if (line.includes("030201EF")) console.log(device);
    }
    s.close();
  });
});`;

interface World {
  readonly directory: string;
  readonly children: ChildProcess[];
}

function ip(...words: string[]): void {
  execFileSync("ip", words, { stdio: "pipe" });
}

function inNamespace(name: string, ...command: string[]): string {
  return execFileSync("ip", ["netns", "exec", `${PREFIX}-${name}`, ...command], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function build(context: TestContext): World {
  const world: World = {
    directory: mkdtempSync(join(tmpdir(), "fairlead-profile-")),
    children: [],
  };
  context.after(async () => {
    for (const child of world.children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
    for (const name of ["a", "b"]) spawnSync("ip", ["netns", "del", `${PREFIX}-${name}`]);
    rmSync(world.directory, { recursive: true });
  });
  for (const name of ["a", "b"]) ip("netns", "add", `${PREFIX}-${name}`);
  ip(
    "-n",
    `${PREFIX}-a`,
    "link",
    "add",
    "up0",
    "type",
    "veth",
    "peer",
    "name",
    "up0",
    "netns",
    `${PREFIX}-b`,
  );
  for (const [name, address] of [
    ["a", "192.0.2.1"],
    ["b", "192.0.2.2"],
  ] as const) {
    ip("-n", `${PREFIX}-${name}`, "address", "add", `${address}/24`, "dev", "up0");
    ip("-n", `${PREFIX}-${name}`, "link", "set", "up0", "up");
    ip("-n", `${PREFIX}-${name}`, "link", "set", "lo", "up");
  }
  ip("-n", `${PREFIX}-b`, "route", "add", "default", "via", "192.0.2.1");
  return world;
}

async function files(directory: string): Promise<void> {
  const wallMs = Date.now();
  const base = { lifetimeDays: 30, wallMs };
  const authority = await createAuthority({ commonName: "test", ...base });
  const server = await issueCertificate(authority, {
    ...base,
    commonName: "gateway",
    use: "server",
  });
  const pair = await issueCertificate(authority, { ...base, commonName: "viewer", use: "client" });
  const key = generateStaticKey();
  const profile = printProfile({
    tunnel: { namespace: "lab", name: "testbed-a" },
    peer: "viewer",
    remotes: [{ host: "192.0.2.1", port: 1194 }],
    order: "Random",
    interfaceName: "tb0",
    authorityPem: authority.certificatePem,
    pair,
    serverName: "gateway",
    wrap: { kind: "TlsCrypt", key },
    dataCiphers: ["AES-256-GCM", "CHACHA20-POLY1305"],
    mtu: 1420,
    mssFixBytes: 1400,
    replayWindow: { packets: "Auto", seconds: 10 },
    multicast: { bridges: false, routes: ["224.0.0.0/4"], anyAddress4: "10.20.0.1" },
  });
  const config = [
    "mode server\ntls-server\ndev tap0\ndev-type tap\nproto udp\nport 1194\ndh none\nkeepalive 1 5",
    "ifconfig 10.20.0.1 255.255.255.0\nifconfig-pool 10.20.0.200 10.20.0.239 255.255.255.0",
    'tun-mtu 1420\nremote-cert-tls client\ndata-ciphers AES-256-GCM\npush "route-gateway 10.20.0.1"',
    `<ca>\n${authority.certificatePem}</ca>\n<cert>\n${server.certificatePem}</cert>`,
    `<key>\n${server.privateKeyPem}</key>\n<tls-crypt>\n${printStaticKey(key)}</tls-crypt>\n`,
  ];
  writeFileSync(join(directory, "server.conf"), config.join("\n"), { mode: 0o600 });
  writeFileSync(join(directory, "viewer.ovpn"), profile, { mode: 0o600 });
  const broken = profile.replaceAll(/^route .*\n/gm, "");
  writeFileSync(join(directory, "broken.ovpn"), broken, { mode: 0o600 });
}

function start(world: World, name: string, file: string): ChildProcess {
  const log = join(world.directory, `${file}.log`);
  const command = ["openvpn", "--config", join(world.directory, file), "--log", log];
  const child = spawn("ip", ["netns", "exec", `${PREFIX}-${name}`, ...command], {
    stdio: "ignore",
  });
  world.children.push(child);
  return child;
}

async function isUp(world: World, file: string): Promise<void> {
  const limit = Date.now() + UP_WITHIN_MS;
  const read = (): string => readFileSync(join(world.directory, `${file}.log`), "utf8");
  while (!read().includes("Initialization Sequence Completed")) {
    assert.ok(Date.now() < limit, read());
    await sleep(50);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  await gone;
}

test("stock OpenVPN runs the profile, and multicast leaves by the tap", {
  skip: SKIP,
  timeout: 60_000,
}, async (context) => {
  const world = build(context);
  await files(world.directory);
  start(world, "a", "server.conf");
  await sleep(300);

  const broken = start(world, "b", "broken.ovpn");
  await sleep(100);
  await isUp(world, "broken.ovpn");
  assert.equal(inNamespace("b", process.execPath, "-e", MULTICAST_PROGRAM).trim(), "up0");
  await stop(broken);

  start(world, "b", "viewer.ovpn");
  await sleep(100);
  await isUp(world, "viewer.ovpn");
  assert.equal(inNamespace("b", process.execPath, "-e", MULTICAST_PROGRAM).trim(), "tb0");
  const route = inNamespace("b", "ip", "route", "get", "239.1.2.3");
  assert.match(route, /^multicast 239\.1\.2\.3 dev tb0 src 10\.20\.0\.2/);
  assert.match(inNamespace("b", "ip", "route", "get", "255.255.255.255"), /dev up0/);
  assert.match(inNamespace("b", "ip", "link", "show", "dev", "tb0"), /mtu 1420/);
  assert.match(inNamespace("b", "ping", "-c", "1", "-W", "2", "10.20.0.1"), /1 received/);
});
