/**
 * Which number each declared uplink has, as its path has it on the wire. Pure. One invariant: an
 * uplink that goes on being declared keeps its number, whatever else is declared; one that is not
 * any more keeps it as leaving, until its number is needed.
 */

import type { UplinkConfig } from "../control/tunnel-config.ts";

/** An uplink by its number. */
export interface PlacedUplink {
  readonly config: UplinkConfig;
  /** It is no longer declared, and in use until another one is. */
  readonly isLeaving: boolean;
}

/** Uplinks by their numbers; undefined: nobody has the number. */
export type UplinkPlaces = readonly (PlacedUplink | undefined)[];

/** Gives every declared uplink a number below `placesMax`; there are no more of them than that. */
export function placeUplinks(
  before: UplinkPlaces,
  declared: readonly UplinkConfig[],
  placesMax: number,
): UplinkPlaces {
  const places: (PlacedUplink | undefined)[] = Array.from({ length: placesMax }, (_, place) => {
    const known = before[place];
    return known === undefined ? undefined : { config: known.config, isLeaving: true };
  });
  const others = declared.filter((config) => {
    const place = places.findIndex(
      (one) => one?.isLeaving === true && isSameWay(one.config, config),
    );
    if (place < 0) return true;
    places[place] = { config, isLeaving: false };
    return false;
  });
  for (const config of others) {
    const free = places.indexOf(undefined);
    const place = free >= 0 ? free : places.findIndex((one) => one?.isLeaving === true);
    places[place] = { config, isLeaving: false };
  }
  return places;
}

/** Whether two declarations mean the same way out, whatever it is called and what it is worth. */
export function isSameWay(one: UplinkConfig, other: UplinkConfig): boolean {
  return "interface" in one
    ? "interface" in other && one.interface === other.interface
    : "sourceAddress" in other && one.sourceAddress === other.sourceAddress;
}
