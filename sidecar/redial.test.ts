import assert from "node:assert/strict";
import { test } from "node:test";
import { Redial } from "./redial.ts";

const NAMES = ["a", "b", "c"].map((name) => ({ name }));
const PATIENT_MS = 750;

function names(redial: Redial): string {
  return redial
    .ordered(NAMES)
    .map(({ name }) => name)
    .join("");
}

test("behind a replica that was lost the next one comes first, in haste for ten seconds", () => {
  const redial = new Redial();
  assert.equal(names(redial), "abc");
  assert.deepEqual([redial.answerMs(0), redial.pauseMs(PATIENT_MS, 0)], [4000, PATIENT_MS]);
  redial.lost({ name: "a", isOurs: true }, { begunMs: 0, upMs: 700 }, 60_000);
  assert.equal(names(redial), "bca");
  assert.deepEqual([redial.answerMs(60_000), redial.pauseMs(PATIENT_MS, 60_000)], [700, 50]);
  assert.deepEqual(
    [redial.answerMs(70_000), redial.pauseMs(PATIENT_MS, 70_000)],
    [4000, PATIENT_MS],
  );
  redial.lost({ name: "c", isOurs: true }, { begunMs: 0, upMs: 1 }, 80_000);
  assert.equal(names(redial), "abc");
  assert.equal(redial.answerMs(80_000), 300);
});

test("there is no haste towards a stock server, nor after a session that did not last", () => {
  const redial = new Redial();
  redial.lost({ name: "a", isOurs: false }, { begunMs: 0, upMs: 100 }, 60_000);
  assert.equal(redial.answerMs(60_000), 4000);
  redial.lost({ name: "a", isOurs: true }, { begunMs: 59_000, upMs: 59_000 }, 60_000);
  assert.equal(redial.pauseMs(PATIENT_MS, 60_000), PATIENT_MS);
  redial.lost({ name: "elsewhere", isOurs: true }, { begunMs: 0, upMs: 100 }, 60_000);
  assert.equal(names(redial), "abc");
});
