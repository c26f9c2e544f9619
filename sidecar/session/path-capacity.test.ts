import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PathCapacity, type PathCounts } from "./path-capacity.ts";

const PROBE_MS = 50;
const PACKET_BYTES = 1400;

/** One direction of a link, millisecond by millisecond: a queue in front of a rate, loss and jitter. */
interface Link {
  /** Bytes each millisecond. */
  readonly rate: number;
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly queueMs: number;
  readonly loss: number;
  readonly seed: number;
}

/** So much is offered for so long, as a share of the link's rate. */
interface Phase {
  readonly share: number;
  readonly durationMs: number;
}

class Run {
  readonly capacity: PathCapacity = new PathCapacity();
  /** What the arrival of each probe found. */
  readonly seen: { readonly atMs: number; readonly bytes: number }[] = [];
  readonly #link: Link;
  #random: number;
  #nowMs = 2 ** 15 - 300;
  #sent = 2 ** 32 - 100_000;
  #arrived = 2 ** 32 - 100_000;
  #queue = 0;

  constructor(link: Link) {
    this.#link = link;
    this.#random = link.seed;
  }

  phase({ share, durationMs }: Phase): void {
    const { rate, delayMs, jitterMs, queueMs, loss } = this.#link;
    let credit = 0;
    for (let ms = 0; ms < durationMs; ms++) {
      this.#nowMs += 1;
      for (credit += share * rate; credit >= PACKET_BYTES; credit -= PACKET_BYTES) {
        this.#sent += PACKET_BYTES;
        const isLost = this.#chance() < loss || this.#queue > queueMs * rate;
        if (!isLost) this.#queue += PACKET_BYTES;
      }
      const left = Math.min(this.#queue, rate);
      this.#queue -= left;
      this.#arrived += left;
      if (this.#nowMs % PROBE_MS !== 0 || this.#chance() < loss) continue;
      // All that is in front of the probe arrives before it does.
      const waitMs = Math.round(delayMs + this.#queue / rate + this.#chance() * jitterMs);
      const counts: PathCounts = {
        sentBytes: this.#sent >>> 0,
        sentMs: this.#nowMs & 0xffff,
        arrivedBytes: Math.floor(this.#arrived + this.#queue) >>> 0,
        // Clocks begin anywhere.
        arrivedMs: (this.#nowMs + waitMs + 12_345) & 0xffff,
      };
      this.seen.push({ atMs: this.#nowMs + waitMs, bytes: this.#arrived + this.#queue });
      this.capacity.look(counts, loss, (this.#nowMs + waitMs) | 0);
    }
  }

  /** The most that arrived between any two probes a quarter of a second apart, bytes a second. */
  most(): number {
    let most = 0;
    for (const [at, from] of this.seen.entries()) {
      for (let next = at + 1; next < Math.min(this.seen.length, at + 80); next++) {
        const to = this.seen[next] as { atMs: number; bytes: number };
        const ms = to.atMs - from.atMs;
        if (ms >= 250) most = Math.max(most, ((to.bytes - from.bytes) / ms) * 1000);
      }
    }
    return most;
  }

  #chance(): number {
    this.#random = (Math.imul(this.#random, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#random / 2 ** 32;
  }
}

const calm: Link = {
  ...{ rate: 1000, delayMs: 20, jitterMs: 0, queueMs: 80, loss: 0, seed: 1 },
};
const link = fc.record({
  rate: fc.integer({ min: 60, max: 20_000 }),
  delayMs: fc.integer({ min: 0, max: 300 }),
  jitterMs: fc.constantFrom(0, 3, 20),
  queueMs: fc.constantFrom(15, 50, 500),
  loss: fc.constantFrom(0, 0.01, 0.05),
  seed: fc.nat(),
});
const phases = fc.array(
  fc.record({
    share: fc.double({ min: 0, max: 2, noNaN: true }),
    durationMs: fc.integer({ min: 1, max: 3000 }),
  }),
  { minLength: 1, maxLength: 8 },
);

test("nothing is known before there was load", () => {
  const run = new Run(calm);
  run.phase({ share: 0, durationMs: 60_000 });
  assert.equal(run.capacity.bytesPerSecond, 0);
  run.phase({ share: 0.01, durationMs: 60_000 });
  assert.equal(run.capacity.bytesPerSecond, 0, "80 kbit/s are no load");
});

test("it never claims more than arrived within a quarter of a second, whatever the load and the link", () => {
  fc.assert(
    fc.property(link, phases, (one, load) => {
      const run = new Run(one);
      for (const phase of load) run.phase(phase);
      assert(run.capacity.bytesPerSecond <= run.most() * 1.0001 + 1);
    }),
    { numRuns: 200 },
  );
});

test("a path that was offered more than it takes is full, and told to within a tenth", () => {
  fc.assert(
    fc.property(link, fc.double({ min: 1.3, max: 3, noNaN: true }), (one, share) => {
      // A queue of two packets, or one that is shorter than the jitter, is told from neither.
      const queueMs = Math.max(one.queueMs, 50);
      const jitterMs = Math.min(one.jitterMs, 3);
      const run = new Run({ ...one, rate: one.rate + 200, jitterMs, queueMs });
      run.phase({ share: 0.1, durationMs: 2000 });
      run.phase({ share, durationMs: 6000 });
      const bytes = (one.rate + 200) * 1000;
      assert(run.capacity.isFull);
      assert(Math.abs(run.capacity.bytesPerSecond / bytes - 1) < 0.1, `${bytes}`);
    }),
    { numRuns: 100 },
  );
});

test("a path that takes all it is offered is not full, and has carried that", () => {
  fc.assert(
    fc.property(link, fc.double({ min: 0.3, max: 0.7, noNaN: true }), (one, share) => {
      // Bursts of packets longer than a slow link's millisecond queue by themselves.
      const run = new Run({ ...one, rate: one.rate + 2000 });
      run.phase({ share: 0, durationMs: 2000 });
      run.phase({ share, durationMs: 6000 });
      const bytes = (one.rate + 2000) * 1000 * share * (1 - one.loss);
      assert.equal(run.capacity.isFull, false);
      const told = run.capacity.bytesPerSecond / bytes;
      assert(told > 0.9 && told < 1.15, `${told}`);
    }),
    { numRuns: 100 },
  );
});

test("a path that got slower is told anew while it is used, and one that was idle keeps its figure", () => {
  const run = new Run(calm);
  run.phase({ share: 1.5, durationMs: 5000 });
  const before = run.capacity.bytesPerSecond;
  run.phase({ share: 0, durationMs: 40_000 });
  assert.equal(run.capacity.bytesPerSecond, before);
  assert.equal(run.capacity.isFull, false, "it may take more by now");
  const slower = new Run({ ...calm, rate: 300 });
  slower.capacity.tell(before, true);
  slower.phase({ share: 0.1, durationMs: 2000 });
  slower.phase({ share: 1.2, durationMs: 8000 });
  assert(Math.abs(slower.capacity.bytesPerSecond / 300_000 - 1) < 0.1);
});

test("a dead path's figure is gone with it", () => {
  const run = new Run(calm);
  run.phase({ share: 1.5, durationMs: 5000 });
  run.capacity.forget();
  assert.deepEqual([run.capacity.bytesPerSecond, run.capacity.isFull], [0, false]);
});
