/**
 * Idle echoes, compared fairly: all contenders are up at once, each on a pair of hosts of its own, and
 * take turns every few hundred milliseconds. A shared machine is slow for seconds at a time; turns
 * this short let every contender meet the same seconds.
 */
import { join } from "node:path";
import { Network } from "../support/netns.ts";
import type { Contender, Pair, RunningContender } from "./contender.ts";
import { echoFigures, measureTcp, type PingFigures, sendEchoes } from "./measure.ts";

const TURNS = 20;
const ECHOES_PER_TURN = 200;
const WARM_SECONDS = 2;

interface Side {
  readonly contender: Contender;
  readonly pair: Pair;
  readonly running: RunningContender;
  readonly timesMs: number[];
}

/** Makes a pair of hosts for one contender; they end with the stack. */
export async function makePair(stack: AsyncDisposableStack, folder: string): Promise<Pair> {
  const network = stack.use(await Network.create());
  const near = await network.namespace("near");
  const far = await network.namespace("far");
  await network.cable({ namespace: near, interface: "up0" }, { namespace: far, interface: "up0" });
  await near.addresses("up0", "192.0.2.1/24");
  await far.addresses("up0", "192.0.2.2/24");
  return { near, far, nearUnderlay: "192.0.2.1", folder };
}

/** One round: every contender's figures over the same stretch of time. */
export async function compareEchoes(
  contenders: readonly Contender[],
  folder: string,
): Promise<ReadonlyMap<Contender, PingFigures>> {
  await using stack = new AsyncDisposableStack();
  const sides: Side[] = [];
  for (const contender of contenders) {
    const pair = await makePair(stack, join(folder, contender.name));
    const running = stack.use(await contender.start(pair));
    // The first seconds warm caches and just-in-time compilers, as in anything that has run a while.
    await measureTcp(pair, running, WARM_SECONDS);
    sides.push({ contender, pair, running, timesMs: [] });
  }
  for (let turn = 0; turn < TURNS; turn++) {
    // Each follows each as often: none is always the one that finds the caches cold.
    const order = turn % 2 === 0 ? sides : sides.toReversed();
    for (const { pair, running, timesMs } of order) {
      timesMs.push(...(await sendEchoes(pair, running, ECHOES_PER_TURN)));
    }
  }
  const sent = TURNS * ECHOES_PER_TURN;
  return new Map(sides.map(({ contender, timesMs }) => [contender, echoFigures(timesMs, sent)]));
}
