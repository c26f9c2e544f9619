/**
 * One seed's run of two to eight whole sidecars: they come up, a time of troubles follows, the network
 * heals, and in the end everybody must hear everybody. One invariant: nothing here reads a clock or a
 * random source but the seed's, so the same seed runs the same way.
 */
import assert from "node:assert/strict";
import type { TunnelConfig, UplinksConfig } from "../../sidecar/control/tunnel-config.ts";
import { HELD_SEGMENTS_MAX } from "../../sidecar/limits.ts";
import { PROBE_BYTES } from "../../sidecar/wire/probe.ts";
import { standInTls } from "../support/stand-in-tls.ts";
import { EVERYBODY, Ledger } from "./ledger.ts";
import { Machine } from "./machine.ts";
import { type Datagram, goodWay, Network, type Uplink } from "./network.ts";
import { seedCrypto } from "./seeded-crypto.ts";
import { simulatedConfig } from "./simulated-config.ts";
import { REORDER_MS_MAX, SimulatedSidecar, type World } from "./simulated-sidecar.ts";
import { Chance, Timeline } from "./timeline.ts";
import { Troubles } from "./troubles.ts";

/** What a run came to. */
export interface PlanesOutcome {
  readonly sidecars: number;
  readonly frames: number;
  readonly delivered: number;
  readonly troubles: number;
  /** Segments that later ones waited for. */
  readonly inOrder: number;
}

const PORT = 1194;
const PORT_OF_CLIENTS = 5000;
const GATEWAY = 0;
/** First address of the listening end, of uplinks, of their NATs. */
const Address = {
  gateway: 0x0a00_0001,
  uplink: 0x0b00_0000,
  nat: 0x0c00_0000,
  attacker: 0x0d00_0001,
};
/** Everybody is up within this time on a network without faults. */
const START_MS = 30_000;
const TROUBLES_MS = 2000;
/** After its faults the network is whole: retries, back-offs and timeouts included. */
const HEALED_MS = 180_000;
const FRAME_BYTES_MAX = 1300;
/** Turns of the event loop without anything new after which real TLS is taken to be at rest. */
const QUIET_TURNS_OF_TLS = 4;
/** Ten times what the busiest run takes. */
const STEPS_MAX = 1_000_000;

/** A run. */
export class PlanesSimulation {
  readonly #chance: Chance;
  readonly #timeline = new Timeline();
  readonly #ledger = new Ledger();
  readonly #network: Network;
  readonly #machines: Machine[] = [];
  readonly #sidecars: SimulatedSidecar[] = [];
  readonly #world: World;
  readonly #family: 4 | 6;
  readonly #replay: number | "Auto";
  readonly #isTwoPeer: boolean;
  readonly #quietTurns: number;
  #hasStirred = false;
  #steps = 0;
  #isTalking = true;

  /** With TLS of its own, or the stand-in. */
  constructor(seed: number, createTls?: World["createTls"]) {
    const chance = new Chance(seed);
    this.#chance = chance;
    this.#quietTurns = createTls === undefined ? 1 : QUIET_TURNS_OF_TLS;
    this.#network = new Network(this.#timeline, chance);
    this.#family = chance.is(0.5) ? 4 : 6;
    this.#replay = chance.pick<number | "Auto">([64, 256, 1024, 8192, "Auto"]);
    const timeline = this.#timeline;
    this.#world = {
      timeline,
      chance,
      ledger: this.#ledger,
      createTls:
        createTls ??
        ((commonName) =>
          standInTls({
            random: chance.next,
            defer: (task) => timeline.after(0, task),
            names: { client: commonName, server: commonName },
          })),
      // One run in four lives through the wrap of the clock.
      firstMs: chance.is(0.25) ? 0x7fff_ffff - 3000 : 0,
      stirred: () => {
        this.#hasStirred = true;
      },
    };
    // Most runs are small: two ends find most faults, and eight cost four times as much.
    const clients = chance.pick([1, 1, 1, 1, 2, 2, 3, 3, 4, 7]);
    this.#isTwoPeer = clients === 1 && chance.is(0.5);
    this.#build(clients);
  }

  /** Runs it; throws what does not hold. */
  async run(): Promise<PlanesOutcome> {
    const restore = seedCrypto(this.#chance);
    try {
      this.#start();
      await this.#until(() => this.#sidecars.every(({ isUp }) => isUp), START_MS, "all come up");
      this.#talk();
      const troubles = new Troubles({
        world: this.#world,
        network: this.#network,
        machines: this.#machines.slice(1),
        sidecars: this.#sidecars,
        restart: (number) => this.#startOne(number),
      });
      this.#attack();
      const endMs = this.#timeline.nowMs + TROUBLES_MS;
      await this.#until(() => this.#timeline.nowMs >= endMs, 2 * TROUBLES_MS, "time passes");
      troubles.heal();
      this.#network.tap = undefined;
      this.#isTalking = false;
      await this.#until(() => this.#sidecars.every(({ isUp }) => isUp), HEALED_MS, "all come back");
      await this.#allHearAll();
      this.#cutForGood();
      await this.#allHearAll();
      this.#checkEnd();
      return {
        sidecars: this.#sidecars.length,
        frames: this.#ledger.sentCount,
        delivered: this.#ledger.deliveredCount,
        troubles: troubles.count,
        inOrder: this.#sidecars.reduce((sum, { order }) => sum + order.putInOrder, 0),
      };
    } finally {
      restore();
    }
  }

  #build(clients: number): void {
    const chance = this.#chance;
    const gateway = new Machine(this.#network, this.#family);
    for (let count = chance.between(1, 2); count > 0; count--) {
      const address = Address.gateway + gateway.addressesHeld.length;
      gateway.addressesHeld.push(address);
      this.#network.listen(address, gateway);
    }
    this.#machines.push(gateway);
    for (let client = 1; client <= clients; client++) {
      const machine = new Machine(this.#network, this.#family);
      const uplinks = chance.pick([1, 2, 3]);
      for (let at = 0; at < uplinks; at++) this.#addUplink(machine, at);
      this.#machines.push(machine);
    }
  }

  #addUplink(machine: Machine, at: number): void {
    const number = this.#network.uplinks.length + 1;
    const delayMs = this.#chance.between(1, 60);
    const uplink: Uplink = {
      name: `up${at}`,
      index: at + 2,
      owner: machine,
      address: Address.uplink + number * 256,
      isUp: true,
      out: goodWay(delayMs),
      back: goodWay(delayMs),
      nat: this.#chance.is(0.4) ? Address.nat + number : undefined,
      mappings: new Map(),
    };
    machine.uplinks.push(uplink);
    this.#network.uplinks.push(uplink);
  }

  #start(): void {
    for (let number = 0; number < this.#machines.length; number++) this.#startOne(number);
  }

  #startOne(number: number): void {
    const machine = this.#machines[number];
    assert(machine !== undefined);
    const before = this.#sidecars[number];
    const config = before?.config ?? this.#configOf(number, machine);
    this.#sidecars[number] = new SimulatedSidecar(this.#world, number, config, machine);
    this.#hasStirred = true;
  }

  #configOf(number: number, machine: Machine): TunnelConfig {
    const chance = this.#chance;
    const clients = this.#machines.slice(1).map((_, at) => `box-${at + 1}`);
    const [gateway] = this.#machines;
    const hosts = (gateway?.addressesHeld ?? []).map((one) => gateway?.textOf(one) ?? "");
    const peers = clients.map((name) => ({ name, commonName: name, stations: [], networks: [] }));
    const remotes = hosts.map((host) => ({ host, port: PORT, protocol: "Udp" as const }));
    const ownPort = chance.is(0.5) ? {} : { localPort: PORT_OF_CLIENTS + number };
    const hasUplinkSet = number !== GATEWAY && (machine.uplinks.length > 1 || chance.is(0.5));
    return simulatedConfig({
      name: number === GATEWAY ? "gateway" : `box-${number}`,
      role:
        number === GATEWAY
          ? { kind: "listen", port: PORT, protocol: "Udp", peers }
          : { kind: "dial", remotes, order: "Random", ...ownPort },
      link: this.#isTwoPeer ? "TwoPeer" : "Segment",
      replayPackets: this.#replay,
      ...(hasUplinkSet ? { uplinks: this.#uplinksOf(machine) } : {}),
    });
  }

  #uplinksOf(machine: Machine): UplinksConfig {
    const chance = this.#chance;
    const uplinks = machine.uplinks.map(({ name }, at) => {
      const priority = chance.is(0.3) ? 1 : at + 1;
      return { name, interface: name, priority, weight: chance.between(1, 4) };
    });
    const policy = chance.pick<UplinksConfig["policy"]>([
      ...(["Failover", "Duplicate", "Fec", "Balance"] as const),
    ]);
    const block = { dataPackets: 10, parityPackets: 3, maxDelayMs: 30, isAdaptive: chance.is(0.5) };
    return {
      policy,
      ...(policy === "Fec" ? { parity: block } : {}),
      copies: chance.between(1, machine.uplinks.length),
      reorderMs: chance.pick([0, 1, 10, REORDER_MS_MAX]),
      probe: {
        intervalMs: chance.pick([20, 50, 100]),
        downAfter: 4,
        upAfter: chance.between(1, 5),
        maxLossPercent: 20,
        lossWindow: 200,
      },
      uplinks,
    };
  }

  /** Programs on every machine send frames, to everybody and to each other. */
  #talk(): void {
    this.#machines.forEach((machine, number) => {
      const say = (): void => {
        if (!this.#isTalking) return;
        const burst = this.#chance.is(0.05) ? this.#chance.between(2, 20) : 1;
        for (let count = 0; count < burst; count++) this.#sayOne(machine, number);
        this.#timeline.after(this.#chance.between(2, 60), say);
      };
      this.#timeline.after(this.#chance.between(1, 30), say);
    });
  }

  #sayOne(machine: Machine, number: number, to?: number): void {
    const chance = this.#chance;
    const others = this.#machines.map((_, at) => at).filter((at) => at !== number);
    const [first = EVERYBODY, ...rest] = others;
    const target = to ?? (chance.is(0.5) ? EVERYBODY : chance.pick([first, ...rest]));
    const bytes = chance.is(0.2) ? chance.between(0, FRAME_BYTES_MAX) : chance.between(40, 120);
    machine.frameIn(this.#ledger.create(number, target, bytes));
  }

  /**
   * Somebody on the path hears everything towards the gateway: replays it from elsewhere, at once or
   * later, and forges. He may never be sent a frame.
   */
  #attack(): void {
    if (this.#chance.is(0.5)) return;
    const source = { address: Address.attacker, port: 4444 };
    const heard: Datagram[] = [];
    const send = (datagram: Datagram): void => this.#network.inject({ ...datagram, source });
    this.#network.tap = (datagram) => {
      if (this.#chance.is(0.03)) this.#timeline.after(0, () => send(datagram));
      if (this.#chance.is(0.03)) heard.push(datagram);
      const old = heard.length > 0 && this.#chance.is(0.02) ? heard.shift() : undefined;
      if (old !== undefined) send(old);
      if (this.#chance.is(0.02)) send(this.#forged(datagram));
    };
    this.#network.attackerAddress = source.address;
    this.#network.attacker = (datagram) => {
      const isFrame = datagram.sealed !== undefined && datagram.sealed.frame >= 0;
      assert(!isFrame, "nobody is sent frames who never answered a challenge");
      const isSmall = datagram.sealed === undefined || datagram.bytes.length <= PROBE_BYTES + 28;
      assert(isSmall, "an address that is being checked gets a challenge and no more");
    };
  }

  #forged(datagram: Datagram): Datagram {
    const bytes = Uint8Array.from(datagram.bytes);
    const from = this.#chance.between(0, Math.min(12, bytes.length - 1));
    for (let at = from; at < bytes.length; at++) bytes[at] = this.#chance.between(0, 255);
    return { ...datagram, bytes, sealed: undefined };
  }

  /** A frame from each end to each other, again and again until it is heard: nothing is stuck. */
  async #allHearAll(): Promise<void> {
    const sent: { readonly from: number; readonly to: number; readonly number: number }[] = [];
    const say = (): void => {
      this.#machines.forEach((machine, from) => {
        for (let to = 0; to < this.#machines.length; to++) {
          if (to === from) continue;
          this.#sayOne(machine, from, to);
          sent.push({ from, to, number: this.#ledger.lastNumber });
        }
      });
    };
    const isHeard = (from: number, to: number): boolean =>
      sent.some(
        (one) => one.from === from && one.to === to && this.#ledger.isDelivered(to, one.number),
      );
    const pairs = this.#machines.flatMap((_, from) =>
      this.#machines.flatMap((_, to) => (from === to ? [] : [[from, to] as const])),
    );
    for (let round = 0; round < 20; round++) {
      say();
      const endMs = this.#timeline.nowMs + 1000;
      await this.#until(() => this.#timeline.nowMs >= endMs, 2000, "time passes");
      if (pairs.every(([from, to]) => isHeard(from, to))) return;
    }
    const missing = pairs.filter(([from, to]) => !isHeard(from, to));
    assert.fail(`not heard in the end: ${missing.map((pair) => pair.join(" to ")).join(", ")}`);
  }

  /** Whoever has another uplink loses one, silently: only probes can tell. */
  #cutForGood(): void {
    for (const { uplinks } of this.#machines) {
      const [first, ...rest] = uplinks;
      if (first === undefined || rest.length === 0) continue;
      const { out, back } = this.#chance.pick([first, ...rest]);
      out.isCut = true;
      back.isCut = true;
    }
  }

  /** Memory is bounded and given back. */
  #checkEnd(): void {
    const clients = this.#machines.length - 1;
    for (const sidecar of this.#sidecars) {
      const { plane } = sidecar.loop;
      assert(plane.order.table.heldCount < HELD_SEGMENTS_MAX, "places for segments are left");
      const counters = sidecar.counters();
      assert(plane.sessions.count <= (sidecar.number === GATEWAY ? clients : 1), "no old sessions");
      assert(plane.known.size <= 2 * clients, "no old session ids");
      for (const name of ["ring.noticeFull", "ring.orderFull", "switch.loopBlocked"]) {
        assert.equal(counters[name], 0, `sidecar ${sidecar.number}: ${name}`);
      }
    }
    for (const sidecar of this.#sidecars) sidecar.close();
    for (const machine of this.#machines.slice(1)) {
      assert(machine.socketCount <= 1, "sockets of uplinks were closed");
    }
  }

  async #until(isDone: () => boolean, limitMs: number, what: string): Promise<void> {
    const deadlineMs = this.#timeline.nowMs + limitMs;
    while (!isDone()) {
      while (this.#hasStirred) {
        this.#hasStirred = false;
        for (let turn = 0; turn < this.#quietTurns; turn++) await settled();
      }
      assert(this.#timeline.step(), `${what}: nothing is planned any more`);
      this.#steps += 1;
      assert(this.#steps < STEPS_MAX, `${what}: packets go round and round`);
      const isLate = this.#timeline.nowMs > deadlineMs;
      assert(!isLate, `${what}: not within ${limitMs} ms`);
    }
  }
}

/** Lets promises settle. */
function settled(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setImmediate(resolve);
  return promise;
}
