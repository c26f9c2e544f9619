/** What is between the ports of a plane, as the worker makes it: a switch or a router. */

import type { Counters } from "./counters.ts";
import { GROUP_MEMBERSHIP_MS, OWNERS_MAX, PORTS_MAX } from "./limits.ts";
import type { Plane } from "./plane.ts";
import type { SegmentParts } from "./segment.ts";
import { IcmpAnswers } from "./switch/answers.ts";
import { Forwarding } from "./switch/forwarding.ts";
import { GroupProxy } from "./switch/group-proxy.ts";
import type { GroupTable } from "./switch/group-table.ts";
import type { PrefixWords } from "./switch/prefix-table.ts";
import { Router } from "./switch/router.ts";
import { addressWords } from "./uplink/address-words.ts";
import type { WorkerData } from "./worker-data.ts";

/** Makes the switch of its parts, or the router. */
export function createSwitching(
  data: Pick<WorkerData, "routing">,
  segment: SegmentParts,
  around: { readonly counters: Counters; readonly nowMs: number },
): Pick<Plane, "forwarding" | "router"> {
  const { routing } = data;
  const { counters } = around;
  if (routing === undefined) {
    const forwarding = new Forwarding({ ...segment.parts, portsMax: PORTS_MAX, counters });
    return { forwarding, router: undefined };
  }
  const { own4, own6, isStraight, isPeerToPeer, followsPaths } = routing;
  const answers = new IcmpAnswers({
    own4: own4 === undefined ? undefined : addressWords(own4),
    own6: own6 === undefined ? undefined : addressWords(own6),
    portsMax: PORTS_MAX,
    counters,
  });
  const router = new Router({
    isStraight,
    isPeerToPeer,
    followsPaths,
    portsMax: PORTS_MAX,
    ownersMax: OWNERS_MAX,
    answers,
    counters,
    ...(segment.groups === undefined ? {} : { groups: createProxy(segment.groups, around) }),
  });
  return { forwarding: undefined, router };
}

function createProxy(
  table: GroupTable,
  around: { readonly counters: Counters; readonly nowMs: number },
): GroupProxy {
  const membershipMs = GROUP_MEMBERSHIP_MS;
  return new GroupProxy({ table, portsMax: PORTS_MAX, membershipMs, ...around });
}

/** Gives the router the table that was posted, if it was. */
export function takeRoutes(router: Router | undefined, posted: PrefixWords | undefined): void {
  if (posted !== undefined) router?.setTable(posted);
}
