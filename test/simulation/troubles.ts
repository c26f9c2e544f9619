/**
 * What goes wrong in a simulated network, at seeded times: bad lines, cuts, links and addresses that go
 * and come, NATs that forget, keys renewed in the middle of it, programs killed. One invariant: `heal`
 * leaves every uplink as good as new.
 */
import { Dialling } from "../../sidecar/dialling.ts";
import type { Machine } from "./machine.ts";
import type { Network, Uplink, Way } from "./network.ts";
import type { SimulatedSidecar, World } from "./simulated-sidecar.ts";

/** What troubles happen to. */
export interface Victims {
  readonly world: World;
  readonly network: Network;
  /** Of the dialling ends. */
  readonly machines: readonly Machine[];
  readonly sidecars: SimulatedSidecar[];
  /** Starts a killed program again. */
  readonly restart: (number: number) => void;
}

const EVERY_MS_MAX = 400;
const LASTS_MS_MAX = 1200;

/** All troubles of a run. */
export class Troubles {
  count = 0;
  readonly #victims: Victims;
  readonly #undo = new Set<() => void>();
  #isOver = false;

  constructor(victims: Victims) {
    this.#victims = victims;
    for (const uplink of victims.network.uplinks) {
      this.#worsen(uplink.out);
      this.#worsen(uplink.back);
    }
    this.#next();
  }

  /** Ends all of them, and lets nothing new begin. */
  heal(): void {
    this.#isOver = true;
    for (const undo of [...this.#undo]) undo();
    for (const { out, back } of this.#victims.network.uplinks) {
      for (const way of [out, back]) {
        const none = { loss: 0, burstBegin: 0, burstEnd: 1, isInBurst: false, isCut: false };
        Object.assign(way, none, { doubled: 0, damaged: 0, jitterMs: 0, bytesMax: 65_535 });
      }
    }
  }

  #next(): void {
    const { chance, timeline } = this.#victims.world;
    timeline.after(chance.between(10, EVERY_MS_MAX), () => {
      if (this.#isOver) return;
      this.count += 1;
      const happen = chance.pick([
        () => this.#cut(),
        () => this.#link(),
        () => this.#address(),
        () => this.#forget(),
        () => this.#renew(),
        () => this.#kill(),
        () => this.#line(),
      ]);
      happen();
      this.#next();
    });
  }

  /** A line's character, for good: most lose a little, some in bursts, some reorder, some damage. */
  #worsen(way: Way): void {
    const { chance } = this.#victims.world;
    if (chance.is(0.6)) way.loss = chance.next() * 0.25;
    if (chance.is(0.3))
      Object.assign(way, { burstBegin: 0.02, burstEnd: 0.1 + chance.next() * 0.5 });
    if (chance.is(0.6)) way.jitterMs = chance.between(1, chance.is(0.2) ? 400 : 40);
    if (chance.is(0.5)) way.doubled = chance.next() * 0.2;
    if (chance.is(0.4)) way.damaged = chance.next() * 0.1;
    if (chance.is(0.2)) way.bytesMax = chance.between(1260, 1480);
  }

  #line(): void {
    const { out, back } = this.#anUplink();
    const { chance } = this.#victims.world;
    this.#worsen(chance.is(0.5) ? out : back);
  }

  /** Silent, one way or both. */
  #cut(): void {
    const { out, back } = this.#anUplink();
    const { chance } = this.#victims.world;
    const which = chance.between(1, 3);
    out.isCut = (which & 1) !== 0;
    back.isCut = (which & 2) !== 0;
    this.#later(() => {
      out.isCut = false;
      back.isCut = false;
    });
  }

  #link(): void {
    const uplink = this.#anUplink();
    uplink.isUp = false;
    this.#tell(uplink);
    this.#later(() => {
      uplink.isUp = true;
      this.#tell(uplink);
    });
  }

  /** Gone, and after a while there is another one or the same again; or exchanged at once. */
  #address(): void {
    const uplink = this.#anUplink();
    const { chance } = this.#victims.world;
    if (uplink.address === 0) return;
    const next = chance.is(0.5) ? uplink.address : uplink.address + 1;
    if (chance.is(0.3)) {
      uplink.address += 1;
      this.#tell(uplink);
      return;
    }
    uplink.address = 0;
    this.#tell(uplink);
    this.#later(() => {
      uplink.address = next;
      this.#tell(uplink);
    });
  }

  #forget(): void {
    this.#victims.network.rebind(this.#anUplink());
  }

  #renew(): void {
    const { sidecars, world } = this.#victims;
    sidecars[world.chance.between(0, sidecars.length - 1)]?.end.renegotiateAll();
    world.stirred();
  }

  /** A dialling program dies without a word and comes back, with its old port if it has one. */
  #kill(): void {
    const { sidecars, world } = this.#victims;
    const number = world.chance.between(0, sidecars.length - 1);
    const sidecar = sidecars[number];
    if (!world.chance.is(0.4) || !(sidecar?.end instanceof Dialling) || sidecar.isGone) return;
    sidecar.crash();
    this.#later(() => this.#victims.restart(number));
  }

  /** Netlink speaks, at once or a little later. */
  #tell(uplink: Uplink): void {
    const machine = this.#victims.machines.find(({ uplinks }) => uplinks.includes(uplink));
    const { timeline, chance } = this.#victims.world;
    timeline.after(chance.between(0, 5), () => machine?.changed());
  }

  #anUplink(): Uplink {
    const { uplinks } = this.#victims.network;
    const [first, ...rest] = uplinks;
    if (first === undefined) throw new Error("a run has uplinks");
    return this.#victims.world.chance.pick([first, ...rest]);
  }

  #later(undo: () => void): void {
    const { chance, timeline } = this.#victims.world;
    const once = (): void => {
      if (this.#undo.delete(once)) undo();
    };
    this.#undo.add(once);
    timeline.after(chance.between(20, LASTS_MS_MAX), once);
  }
}
