import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePushReply } from "./push-options.ts";
import { readPushUpdate } from "./push-update.ts";

const current = parsePushReply([
  "ifconfig 10.20.0.7 255.255.255.0",
  "ifconfig-ipv6 fd20::7/64 fd20::1",
  "route-gateway 10.20.0.1",
  "tun-mtu 1500",
  "peer-id 3",
  "cipher AES-256-GCM",
]);

test("what may change is changed, the rest stays", () => {
  const update = readPushUpdate(current, ["ifconfig 10.20.0.9 255.255.0.0", "tun-mtu 1400"]);
  assert.deepEqual(update.pushed, {
    ...current,
    address4: { address: "10.20.0.9", prefixBits: 16 },
    mtuBytes: 1400,
  });
  assert.deepEqual(update.taken, ["ifconfig 10.20.0.9 255.255.0.0", "tun-mtu 1400"]);
  assert.deepEqual([update.ignored, update.refused], [[], []]);
});

test("a minus takes an option back, and one behind it sets it anew", () => {
  const { pushed } = readPushUpdate(current, ["-ifconfig", "-ifconfig-ipv6", "-?topology"]);
  assert.deepEqual([pushed.address4, pushed.address6], [undefined, undefined]);
  assert.equal(pushed.routeGateway, "10.20.0.1");
  const again = readPushUpdate(current, ["-ifconfig", " ifconfig 10.20.0.8 255.255.255.0"]);
  assert.equal(again.pushed.address4?.address, "10.20.0.8");
});

test("routes of a family are replaced by the first one, a minus takes them back", () => {
  const networks = (...options: string[]): string[] =>
    readPushUpdate(routed, options).pushed.routes.map(({ network }) => network);
  const routed = parsePushReply(["route 10.1.0.0 255.255.0.0", "route-ipv6 fd30::/64"]);
  const two = ["route 10.2.0.0 255.255.0.0", "route 10.3.0.0 255.255.0.0"];
  assert.deepEqual(networks(...two), ["fd30::/64", "10.2.0.0/16", "10.3.0.0/16"]);
  assert.deepEqual(networks("-route"), ["fd30::/64"]);
  assert.deepEqual(networks("-route-ipv6"), ["10.1.0.0/16"]);
  assert.deepEqual(networks(), ["10.1.0.0/16", "fd30::/64"]);
});

test("DNS means as little as in a PUSH_REPLY, and is named", () => {
  const options = ["dhcp-option DNS 198.51.100.1", "-dns", "redirect-gateway def1"];
  const update = readPushUpdate(current, options);
  assert.deepEqual(update.ignored, options);
  assert.deepEqual(update.pushed, current);
});

test("with an option that cannot change nothing is taken, unless it is marked as optional", () => {
  for (const bad of [
    "cipher AES-128-GCM",
    "peer-id 9",
    "ping 3",
    "protocol-flags tls-ekm",
    "auth-token x",
    "ifconfig 10.20.0.300 255.255.255.0",
    "tun-mtu 9",
    "constructor",
    "-cipher",
  ]) {
    const update = readPushUpdate(current, ["ifconfig 10.20.0.9 255.255.255.0", bad]);
    assert.deepEqual([update.refused, update.pushed], [[bad], current], bad);
    const optional = readPushUpdate(current, ["ifconfig 10.20.0.9 255.255.255.0", `?${bad}`]);
    assert.deepEqual([optional.refused, optional.ignored], [[], [`?${bad}`]], bad);
    assert.equal(optional.pushed.address4?.address, "10.20.0.9");
    assert.equal(optional.pushed.cipher, "AES-256-GCM");
  }
});
