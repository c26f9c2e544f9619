/**
 * Two ends in virtual time, the dialling one over uplinks of different delays, at the default probes: how
 * long a silent failure of the uplink in use goes unnoticed, how often a path is taken for dead that is not,
 * and what a replay window makes of the skew between uplinks. One invariant: the same seed runs the same way.
 */
import assert from "node:assert/strict";
import type { UplinksConfig } from "../../sidecar/control/tunnel-config.ts";
import type { PathSet } from "../../sidecar/session/path-set.ts";
import { standInTls } from "../support/stand-in-tls.ts";
import { Ledger } from "./ledger.ts";
import { Machine } from "./machine.ts";
import { goodWay, Network, type Uplink } from "./network.ts";
import { seedCrypto } from "./seeded-crypto.ts";
import { simulatedConfig } from "./simulated-config.ts";
import { SimulatedSidecar, type World } from "./simulated-sidecar.ts";
import { Chance, Timeline } from "./timeline.ts";

const PORT = 1194;
const GATEWAY_ADDRESS = 0x0a00_0001;
const UPLINK_ADDRESS = 0x0b00_0100;
const START_MS_MAX = 30_000;
/** The last packet has arrived by then. */
const DRAIN_MS = 500;
/** A path that died is steady again within this time: ten replies in a row, at this loss. */
const RECOVERY_MS_MAX = 60_000;

/** Defaults of an UplinkSet. */
const PROBE: UplinksConfig["probe"] = {
  intervalMs: 50,
  downAfter: 4,
  upAfter: 10,
  maxLossPercent: 20,
  lossWindow: 200,
};

/** What differs between runs. */
export interface PairWish {
  readonly policy: "Failover" | "Duplicate";
  /** One way, of each uplink. */
  readonly delaysMs: readonly number[];
  /** Of every uplink, each way, from the start on. */
  readonly loss: number;
  readonly replayPackets: number | "Auto";
}

/** Two ends and the network between them. */
export class PairSimulation {
  readonly #chance: Chance;
  readonly #timeline = new Timeline();
  readonly #uplinks: Uplink[] = [];
  readonly #dialler: SimulatedSidecar;
  readonly #gateway: SimulatedSidecar;
  readonly #restore: () => void;
  readonly #wish: PairWish;
  readonly #box: Machine;
  readonly #ledger = new Ledger();
  /** A bit for each path. */
  readonly #allAlive: number;
  #hasStirred = true;

  constructor(seed: number, wish: PairWish) {
    const { policy, delaysMs, replayPackets } = wish;
    this.#wish = wish;
    this.#allAlive = 2 ** delaysMs.length - 1;
    this.#chance = new Chance(seed);
    this.#restore = seedCrypto(this.#chance);
    const network = new Network(this.#timeline, this.#chance);
    const [gateway, box] = [new Machine(network, 4), new Machine(network, 4)];
    this.#box = box;
    gateway.addressesHeld.push(GATEWAY_ADDRESS);
    network.listen(GATEWAY_ADDRESS, gateway);
    for (const [at, delayMs] of delaysMs.entries()) {
      const ways = [goodWay(delayMs), goodWay(delayMs)] as const;
      const uplink: Uplink = {
        ...{ name: `up${at}`, index: at + 2, owner: box, address: UPLINK_ADDRESS + at * 256 },
        ...{ isUp: true, out: ways[0], back: ways[1], nat: undefined, mappings: new Map() },
      };
      box.uplinks.push(uplink);
      network.uplinks.push(uplink);
      this.#uplinks.push(uplink);
    }
    const world = this.#world();
    const host = gateway.textOf(GATEWAY_ADDRESS);
    const peers = [{ name: "box-1", commonName: "box-1", stations: [], networks: [] }];
    const common = { link: "TwoPeer", replayPackets } as const;
    const listening = simulatedConfig({
      ...{ ...common, name: "gateway" },
      role: { kind: "listen", port: PORT, protocol: "Udp", peers },
    });
    const dialling = simulatedConfig({
      ...{ ...common, name: "box-1" },
      role: { kind: "dial", remotes: [{ host, port: PORT, protocol: "Udp" }], order: "Random" },
      uplinks: {
        ...{ policy, copies: delaysMs.length, reorderMs: 0, probe: PROBE },
        uplinks: box.uplinks.map(({ name }, at) => ({ name, interface: name, priority: at + 1 })),
      },
    });
    this.#gateway = new SimulatedSidecar(world, 0, listening, gateway);
    this.#dialler = new SimulatedSidecar(world, 1, dialling, box);
  }

  /** Until every path lives. */
  async start(): Promise<void> {
    await this.#until(() => this.#dialler.isUp && this.#isWhole(), START_MS_MAX);
    for (const { out, back } of this.#uplinks)
      for (const way of [out, back]) way.loss = this.#wish.loss;
  }

  /** Lets time pass while nothing is wrong but the loss; how often an end took a path for dead. */
  async falseAlarms(durationMs: number): Promise<{ dialling: number; listening: number }> {
    const alarms = { dialling: 0, listening: 0 };
    const living = { dialling: this.#allAlive, listening: this.#allAlive };
    const endMs = this.#timeline.nowMs + durationMs;
    await this.#until(() => {
      for (const end of ["dialling", "listening"] as const) {
        const now = this.#living(end);
        if ((living[end] & ~now) !== 0) alarms[end] += 1;
        living[end] = now;
      }
      return this.#timeline.nowMs >= endMs;
    }, durationMs + 1000);
    return alarms;
  }

  /** Cuts the uplink in use, one way or both, without a word; milliseconds until it is left. */
  async cutInUse(): Promise<number> {
    const paths = this.#paths("dialling");
    const path = paths?.sendPaths[0] ?? 0;
    const uplink = this.#uplinks[path];
    assert(paths !== undefined && uplink !== undefined);
    const which = this.#chance.between(1, 3);
    const cutMs = this.#timeline.nowMs;
    uplink.out.isCut = (which & 1) !== 0;
    uplink.back.isCut = (which & 2) !== 0;
    await this.#until(() => !paths.isActive(path), 10_000);
    const foundMs = this.#timeline.nowMs - cutMs;
    uplink.out.isCut = false;
    uplink.back.isCut = false;
    await this.#until(() => this.#isWhole(), RECOVERY_MS_MAX);
    const calmMs = this.#timeline.nowMs + this.#chance.between(1, 500);
    await this.#until(() => this.#timeline.nowMs >= calmMs, 1000);
    return foundMs;
  }

  /** What an uplink loses on the way out from now on. */
  lose(place: number, share: number): void {
    const uplink = this.#uplinks[place];
    assert(uplink !== undefined);
    uplink.out.loss = share;
  }

  /** Small frames from the dialling end; how many left, came out, and were too old for the window. */
  async stream(
    framesPerMs: number,
    durationMs: number,
  ): Promise<{ sent: number; delivered: number; behind: number }> {
    const behind = (): number => this.#gateway.counters()["rx.replayBehind"] ?? 0;
    const before = { delivered: this.#ledger.deliveredCount, behind: behind() };
    for (let at = 0; at < durationMs; at++) {
      this.#timeline.after(at, () => {
        for (let frame = 0; frame < framesPerMs; frame++) {
          this.#box.frameIn(this.#ledger.create(1, 0, 0));
        }
      });
    }
    const endMs = this.#timeline.nowMs + durationMs + DRAIN_MS;
    await this.#until(() => this.#timeline.nowMs >= endMs, durationMs + 2 * DRAIN_MS);
    return {
      sent: framesPerMs * durationMs,
      delivered: this.#ledger.deliveredCount - before.delivered,
      behind: behind() - before.behind,
    };
  }

  /** Probes that the dialling end has sent. */
  get probesSent(): number {
    return this.#dialler.counters()["tx.probes"] ?? 0;
  }

  close(): void {
    this.#dialler.crash();
    this.#gateway.crash();
    this.#restore();
  }

  #world(): World {
    const [timeline, chance] = [this.#timeline, this.#chance];
    return {
      ...{ timeline, chance, ledger: this.#ledger, firstMs: 0 },
      createTls: (commonName) =>
        standInTls({
          random: chance.next,
          defer: (task) => timeline.after(0, task),
          names: { client: commonName, server: commonName },
        }),
      stirred: () => {
        this.#hasStirred = true;
      },
    };
  }

  #paths(end: "dialling" | "listening"): PathSet | undefined {
    const sidecar = end === "dialling" ? this.#dialler : this.#gateway;
    return sidecar.loop.plane.sessions.at(1)?.paths;
  }

  /** A bit for each path that lives. */
  #living(end: "dialling" | "listening"): number {
    const paths = this.#paths(end);
    if (paths === undefined) return 0;
    return [...this.#uplinks.keys()].reduce(
      (bits, path) => bits | (paths.isAlive(path) ? 1 << path : 0),
      0,
    );
  }

  #isWhole(): boolean {
    return (["dialling", "listening"] as const).every(
      (end) => this.#living(end) === this.#allAlive,
    );
  }

  async #until(isDone: () => boolean, limitMs: number): Promise<void> {
    const deadlineMs = this.#timeline.nowMs + limitMs;
    while (!isDone()) {
      while (this.#hasStirred) {
        this.#hasStirred = false;
        const { promise, resolve } = Promise.withResolvers<void>();
        setImmediate(resolve);
        await promise;
      }
      assert(this.#timeline.step(), "something is always planned");
      assert(this.#timeline.nowMs <= deadlineMs, `not within ${limitMs} ms`);
    }
  }
}
