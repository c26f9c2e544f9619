/**
 * S4: the uplink's address goes away under a running socket. Every step of the reported sequence,
 * each under a stream of echoes at 5 ms: no step may silence it for longer than 200 ms, and no
 * step may need a new handshake. The same steps with a stock client, run first, show what
 * happens without: it falls silent at the first one and stays so until something brings its address back.
 * The three run at the same time, each in hosts of its own: what they do is wait.
 */
import { join } from "node:path";
import { printProfile } from "../support/fairlead-peer.ts";
import type { Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { pause } from "../support/wait.ts";
import type { LabResult } from "./lab-result.ts";
import type { Screen } from "./screen.ts";
import {
  buildUplinkHosts,
  echo,
  GATEWAY_ADDRESS,
  startGateway,
  startUplinkTunnel,
  UPLINKS,
  type UplinkHosts,
  uplinkSetOf,
} from "./uplink-hosts.ts";

const ECHO_INTERVAL_MS = 5;
const STEP_ECHOES = 400;
/** A step of the stock client has failed when it is silent for so long: nearly to its end. */
const BROKEN_GAP_MS = 1000;
const GAP_MS_MAX = 200;
const [A, B] = UPLINKS;

/** One step: what is done to the box's network, as `ip` commands. */
interface Step {
  readonly name: string;
  readonly commands: readonly string[];
}

const ROUTE_A = `${GATEWAY_ADDRESS} via ${A.gateway} dev ${A.interface} metric 1`;

/** The reported sequence; each step leaves from where the last one ended. */
const STEPS: readonly Step[] = [
  { name: "link down", commands: [`link set ${A.interface} down`] },
  {
    name: "link up again",
    commands: [`link set ${A.interface} up`, `route add ${ROUTE_A}`],
  },
  { name: "address deleted", commands: [`address del ${A.box}/24 dev ${A.interface}`] },
  {
    name: "address added back",
    commands: [`address add ${A.box}/24 dev ${A.interface}`, `route replace ${ROUTE_A}`],
  },
  {
    name: "address deleted and the route moved",
    commands: [
      `address del ${A.box}/24 dev ${A.interface}`,
      `route replace ${GATEWAY_ADDRESS} via ${B.gateway} dev ${B.interface} metric 1`,
    ],
  },
  {
    name: "another address on the first uplink",
    commands: [`address add 192.0.2.77/24 dev ${A.interface}`, `route replace ${ROUTE_A}`],
  },
  {
    name: "the address in use deleted",
    commands: [`address del 192.0.2.77/24 dev ${A.interface}`],
  },
  {
    name: "a more specific route appears",
    commands: [
      `address add ${A.box}/24 dev ${A.interface}`,
      `route add ${GATEWAY_ADDRESS} via ${A.gateway} dev ${A.interface} metric 0`,
    ],
  },
];

/** What one step came to. */
interface StepFigures {
  readonly step: string;
  readonly gapMs: number;
  readonly lost: number;
}

/** What S4 found. */
export interface S4Result extends LabResult {
  readonly scenario: "S4";
  readonly peer: string;
  readonly brokenFailed: boolean;
  readonly stockGapMsMax: number;
  /** Steps of the stock client that were silent for a second and longer. */
  readonly stockFailed: number;
  readonly gapMsMax: number;
  readonly setGapMsMax: number;
  readonly handshakes: number;
  readonly stockSteps: readonly StepFigures[];
  readonly steps: readonly StepFigures[];
  readonly setSteps: readonly StepFigures[];
}

/** Runs S4: a stock client, ours without uplinks declared, ours with an UplinkSet. */
export async function runS4(
  network: Network,
  options: { readonly folder: string; readonly screen: Screen },
): Promise<S4Result> {
  const { screen, folder } = options;
  screen.step("S4, broken first: a stock client, the same steps");
  const stock = await buildUplinkHosts(network, "-stock");
  const routed = await buildUplinkHosts(network, "-plain");
  const declared = await buildUplinkHosts(network, "-set");
  const [stockSteps, plain, set] = await Promise.all([
    runStockSteps(stock, join(folder, "stock")),
    runSteps(routed, join(folder, "plain"), undefined),
    runSteps(declared, join(folder, "set"), uplinkSetOf(2, "Failover")),
  ]);
  tell(screen, stockSteps);
  screen.step("S4, right: wherever routing says");
  tell(screen, plain.steps);
  screen.step("S4, right: an UplinkSet of two with Failover");
  tell(screen, set.steps);
  const gapMsMax = Math.max(...plain.steps.map((step) => step.gapMs));
  const setGapMsMax = Math.max(...set.steps.map((step) => step.gapMs));
  const handshakes = plain.handshakes + set.handshakes;
  const stockGapMsMax = Math.max(...stockSteps.map((step) => step.gapMs));
  const stockFailed = stockSteps.filter((step) => step.gapMs >= BROKEN_GAP_MS).length;
  const brokenFailed = stockFailed > 0;
  return {
    scenario: "S4",
    peer: "fairlead",
    brokenFailed,
    frames: plain.received + set.received,
    pass: brokenFailed && gapMsMax <= GAP_MS_MAX && setGapMsMax <= GAP_MS_MAX && handshakes === 2,
    stockGapMsMax,
    stockFailed,
    gapMsMax,
    setGapMsMax,
    handshakes,
    stockSteps,
    steps: plain.steps,
    setSteps: set.steps,
  };
}

async function runSteps(
  hosts: UplinkHosts,
  folder: string,
  set: ReturnType<typeof uplinkSetOf> | undefined,
): Promise<{ steps: StepFigures[]; handshakes: number; received: number }> {
  await using tunnel = await startUplinkTunnel(hosts, folder, set);
  await pause(1000);
  const steps = await takeSteps(hosts);
  const handshakes = [...tunnel.gateway.log.matchAll(/"peer connected"/g)].length;
  const received = steps.reduce((sum, step) => sum + STEP_ECHOES - step.lost, 0);
  return { steps, handshakes, received };
}

/** Every step, each in the first third of a stream of echoes. */
async function takeSteps(hosts: UplinkHosts): Promise<StepFigures[]> {
  const steps: StepFigures[] = [];
  for (const { name, commands } of STEPS) {
    const count = { count: STEP_ECHOES, intervalMs: ECHO_INTERVAL_MS };
    const echoes = await echo(hosts, count, async () => {
      await pause((STEP_ECHOES * ECHO_INTERVAL_MS) / 3);
      for (const command of commands) await hosts.box.ip(command);
    });
    steps.push({ step: name, gapMs: echoes.gapMsMax, lost: echoes.lost });
  }
  return steps;
}

function tell(screen: Screen, steps: readonly StepFigures[]): void {
  for (const { step, gapMs, lost } of steps) {
    screen.step(`  ${step}: longest gap ${gapMs} ms, ${lost} lost`);
  }
}

/** The same with a stock client whose socket keeps its source address, as in the report. */
async function runStockSteps(hosts: UplinkHosts, folder: string): Promise<StepFigures[]> {
  await using gateway = await startGateway(hosts, folder);
  const profile = await printProfile("box", gateway.file, { folder: gateway.folder });
  const config = profile.replace(/^nobind$/m, `local ${A.box}\nlport 0`);
  await using client = await OpenvpnPeer.start({ namespace: hosts.box, folder, config });
  await client.waitUntilUp();
  await pause(500);
  return await takeSteps(hosts);
}
