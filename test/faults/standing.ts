/**
 * A host with one process of ours: a good tunnel with a peer that pings it, and beside it whatever
 * a test adds. What goes wrong with one tunnel must not be felt in the other.
 */
import assert from "node:assert/strict";
import { type Fields, listenDocuments, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts, PingStream } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

/** Port of the good tunnel. */
export const GOOD_PORT = 1190;
/** Its peer. */
export const GOOD_PEER = "good-peer";

/** The host, its process, and the stream through the good tunnel. */
export interface Standing extends AsyncDisposable {
  readonly host: Namespace;
  /** Another host on the same underlay, 192.0.2.2. */
  readonly other: Namespace;
  /** A third one, 192.0.2.3. */
  readonly third: Namespace;
  readonly ours: FairleadPeer;
  readonly scratch: Scratch;
  readonly stream: PingStream;
  /** The good tunnel's file. */
  readonly file: string;
  /** Its process's folder. */
  readonly place: { readonly folder: string };
}

/** Documents of the good tunnel, with further peers and fields if wished. */
export function goodDocuments(
  peers: readonly string[] = [GOOD_PEER],
  fields: { readonly transport?: Fields } = {},
): readonly Fields[] {
  return listenDocuments({
    ...fields,
    name: "good",
    interface: "good0",
    port: GOOD_PORT,
    peers,
    security: { controlWrap: "TlsCrypt" },
  });
}

/**
 * Starts the process with the good tunnel, its peer and the stream. `prepare` runs before the
 * peer connects.
 */
export async function createStanding(
  prepare?: (place: Pick<Standing, "other" | "scratch">) => Promise<void>,
  documents: readonly Fields[] = goodDocuments(),
): Promise<Standing> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { host, other, third } = await createHosts(network, ["host", "other", "third"]);
  const file = await writeDocuments(scratch.file("good.yaml"), documents);
  const place = { folder: scratch.file("host") };
  const ours = stack.use(await startFairlead(host, [file], place));
  await ours.waitForLog(/"tunnel":"lab\/good".*"msg":"tunnel started"/);
  await prepare?.({ other, scratch });
  const stock = stack.use(
    await OpenvpnPeer.start({
      namespace: other,
      folder: scratch.file("other"),
      config: `${await printProfile(GOOD_PEER, file, place)}\ndev good0\n`,
    }),
  );
  await stock.waitUntilUp();
  const stream = stack.use(new PingStream(other, "10.20.0.1", 0.02));
  await waitFor("the good tunnel's pings", () => stream.received > 3);
  const kept = stack.move();
  return {
    ...{ host, other, third, ours, scratch, stream, file, place },
    [Symbol.asyncDispose]: async () => await kept.disposeAsync(),
  };
}

/** Asserts that the stream still flows and has lost nothing so far. */
export async function assertFlowing({ stream }: Pick<Standing, "stream">): Promise<void> {
  const before = stream.received;
  await waitFor("the good tunnel to go on", () => stream.received > before + 5, 5000);
  assert.deepEqual(stream.missing(), [], "the good tunnel lost nothing");
}

/** One line of the JSON log. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly tunnel?: string;
}

/** The error lines (level 50) of a process. Throws on a line that is not JSON. */
export function errorLines(log: string): readonly LogLine[] {
  return log
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as LogLine)
    .filter((line) => line.level >= 50);
}
