import assert from "node:assert/strict";
import { test } from "node:test";
import pino from "pino";
import { TunnelError } from "./tunnel-error.ts";
import { TunnelMtu } from "./tunnel-mtu.ts";

const log = pino({ level: "silent" });

test("the interface has what both ends agree on and the paths take, and never less than 1280", () => {
  const set: number[] = [];
  const mtu = new TunnelMtu(1500, { setMtu: (bytes) => set.push(bytes) }, log);
  mtu.follow(0);
  mtu.follow(1344);
  mtu.follow(1344);
  mtu.agree(1400);
  mtu.follow(1204);
  mtu.follow(9000);
  mtu.agree(1300);
  mtu.follow(0);
  assert.deepEqual(set, [1344, 1280, 1400, 1300]);
  assert.equal(mtu.bytes, 1300);
});

test("where the interface may not be changed it keeps what it has, and the tunnel goes on", () => {
  const setMtu = (): void => {
    throw new TunnelError("notPermitted", "changing interfaces needs root or CAP_NET_ADMIN");
  };
  const mtu = new TunnelMtu(1500, { setMtu }, log);
  mtu.follow(1344);
  assert.equal(mtu.bytes, 1500);
  assert.throws(() => mtu.agree(1400), TunnelError);
});
