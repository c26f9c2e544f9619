/**
 * What happens to the uplinks of a soak, at random and by a seed: silent cuts one way and both, loss, links
 * that go down, addresses that go away and come back as others. One invariant: `heal` leaves every uplink as
 * it was built, but for its address.
 */

import { GATEWAY_ADDRESS, loseEach, UPLINKS, type UplinkHosts } from "../lab/uplink-hosts.ts";
import type { Chance } from "../simulation/timeline.ts";
import { pause } from "../support/wait.ts";

type End = "gateway" | "box";
const LASTS_MS_MAX = 3000;
const CALM_MS_MAX = 2000;
const LOSS_PERCENT_MAX = 20;
/** Last bytes of the addresses that a box has by turns. */
const HOST_NUMBER_FIRST = 20;
const HOST_NUMBER_LAST = 200;

/** Troubles on all uplinks at once, each in its own rhythm. */
export class SoakTroubles {
  count = 0;
  readonly #hosts: UplinkHosts;
  readonly #chance: Chance;
  readonly #loss: Record<End, Map<string, number>> = { gateway: new Map(), box: new Map() };
  /** Each box's address by its interface. */
  readonly #addresses = new Map<string, string>(
    UPLINKS.map((uplink) => [uplink.interface, uplink.box]),
  );
  #isOver = false;

  constructor(hosts: UplinkHosts, chance: Chance) {
    this.#hosts = hosts;
    this.#chance = chance;
  }

  /** Until `deadlineMs` of `performance.now()`; the uplinks are whole again when it resolves. */
  async run(deadlineMs: number): Promise<void> {
    this.#isOver = false;
    await Promise.all([...UPLINKS.keys()].map((place) => this.#trouble(place, deadlineMs)));
  }

  async #trouble(place: number, deadlineMs: number): Promise<void> {
    const chance = this.#chance;
    while (performance.now() < deadlineMs && !this.#isOver) {
      this.count += 1;
      const happen = chance.pick([
        () => this.#cut(place),
        () => this.#lose(place),
        () => this.#down(place),
        () => this.#readdress(place),
      ]);
      try {
        await happen();
      } catch (error) {
        this.#isOver = true;
        throw error;
      }
      await pause(chance.between(0, CALM_MS_MAX));
    }
  }

  /** Silent, one way or both. */
  async #cut(place: number): Promise<void> {
    const which = this.#chance.between(1, 3);
    await this.#setLoss(place, (which & 1) !== 0 ? 100 : 0, (which & 2) !== 0 ? 100 : 0);
    await this.#last();
    await this.#setLoss(place, 0, 0);
  }

  async #lose(place: number): Promise<void> {
    const share = (): number => this.#chance.between(0, LOSS_PERCENT_MAX);
    await this.#setLoss(place, share(), share());
    await this.#last();
    await this.#setLoss(place, 0, 0);
  }

  async #down(place: number): Promise<void> {
    const device = nameOf(place);
    await this.#hosts.box.ip(`link set ${device} down`);
    await this.#last();
    await this.#hosts.box.ip(`link set ${device} up`);
    await this.#route(place);
  }

  /** Gone for a moment or exchanged at once, for another of the same network. */
  async #readdress(place: number): Promise<void> {
    const { box } = this.#hosts;
    const device = nameOf(place);
    const old = this.#addresses.get(device) ?? "";
    const last = this.#chance.between(HOST_NUMBER_FIRST, HOST_NUMBER_LAST);
    const next = old.replace(/\d+$/, String(last));
    await box.ip(`address del ${old}/24 dev ${device}`);
    if (this.#chance.is(0.7)) await this.#last();
    await box.ip(`address add ${next}/24 dev ${device}`);
    this.#addresses.set(device, next);
    await this.#route(place);
  }

  /** The kernel takes routes away with a link or an address. */
  async #route(place: number): Promise<void> {
    const device = nameOf(place);
    const via = UPLINKS[place]?.gateway;
    const route = `${GATEWAY_ADDRESS} via ${via} dev ${device} metric ${place + 1}`;
    await this.#hosts.box.ip(`route replace ${route}`);
  }

  async #setLoss(place: number, gateway: number, box: number): Promise<void> {
    const device = nameOf(place);
    this.#loss.gateway.set(device, gateway);
    this.#loss.box.set(device, box);
    for (const end of ["gateway", "box"] as const) {
      await loseEach(this.#hosts[end], this.#loss[end]);
    }
  }

  async #last(): Promise<void> {
    await pause(this.#chance.between(20, LASTS_MS_MAX));
  }
}

function nameOf(place: number): string {
  return UPLINKS[place]?.interface ?? "";
}
