import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { UplinkConfig } from "../control/tunnel-config.ts";
import { placeUplinks, type UplinkPlaces } from "./uplink-places.ts";

const PLACES = 8;
const wayOf = (config: UplinkConfig): string =>
  "interface" in config ? config.interface : config.sourceAddress;

const ways = fc.uniqueArray(fc.integer({ min: 0, max: 11 }), { minLength: 1, maxLength: PLACES });
const declarations = fc.array(
  ways.chain((numbers) =>
    fc.constant(
      numbers.map((number, at): UplinkConfig => {
        const base = { name: `u${number}-${at}`, priority: at };
        return number % 3 === 0
          ? { ...base, sourceAddress: `10.${number}.0.0/16` }
          : { ...base, interface: `up${number}` };
      }),
    ),
  ),
  { minLength: 1, maxLength: 8 },
);

test("an uplink keeps its number through every change that declares it", () => {
  fc.assert(
    fc.property(declarations, (changes) => {
      let places: UplinkPlaces = [];
      for (const declared of changes) {
        const before = places;
        places = placeUplinks(before, declared, PLACES);
        assert.equal(places.length, PLACES);
        const staying = places.filter((one) => one?.isLeaving === false);
        assert.deepEqual(
          staying.map((one) => one?.config.name).sort(),
          declared.map((config) => config.name).sort(),
          "each declared uplink has one number, with what is declared of it now",
        );
        for (const [place, one] of before.entries()) {
          if (one === undefined) continue;
          const way = wayOf(one.config);
          const now = places[place];
          const isDeclared = declared.some((config) => wayOf(config) === way);
          if (isDeclared) {
            assert.equal(now === undefined ? "" : wayOf(now.config), way);
            assert.equal(now?.isLeaving, false);
          } else if (now !== undefined && wayOf(now.config) === way) {
            assert(now.isLeaving);
          } else {
            const taken = places.filter((other) => other !== undefined).length;
            assert.equal(taken, PLACES, "a leaving one gives way only when all numbers are taken");
          }
        }
      }
    }),
  );
});
