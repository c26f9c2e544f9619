/** `fairlead capture`: the frames of a running tunnel, decrypted, at the switch, for Wireshark. */
import { closeSync, openSync, writeSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import {
  CaptureMessage,
  type CaptureNames,
  type CaptureRequest,
  type CaptureTally,
  MessageReader,
  readFrame,
} from "../sidecar/control/capture-messages.ts";
import type { ProcessStatus, TunnelStatus } from "../sidecar/control/status.ts";
import { CaptureFile } from "./capture-file.ts";
import { ExitStatus } from "./exit-status.ts";
import { packageVersion } from "./package-version.ts";
import { stopSignal, UsageError } from "./process-state.ts";
import { readProcesses } from "./status.ts";

/** The options as commander hands them over. */
export interface CaptureFlags {
  readonly run: string;
  readonly tunnel?: string;
  readonly peer?: string;
  readonly station?: string;
  readonly group?: string;
  readonly write?: string;
  readonly count?: string;
  readonly seconds?: string;
  readonly bytes?: string;
  readonly snap: string;
}

interface Limits {
  readonly count: number;
  readonly seconds: number;
  readonly bytes: number;
}

const TAP = "tap";
const STDOUT = "-";
const CAPTURE_FILE_MODE = 0o600;

/** Captures until a signal or a limit. */
export async function run(flags: CaptureFlags): Promise<ExitStatus> {
  const limits = {
    count: numberOf("--count", flags.count),
    seconds: numberOf("--seconds", flags.seconds),
    bytes: numberOf("--bytes", flags.bytes),
  };
  if (flags.write === undefined && process.stdout.isTTY) {
    throw new UsageError(
      "frames are no text: name a file with -w, or pipe them on (fairlead capture | tshark -r -)",
    );
  }
  const snapBytes = numberOf("--snap", flags.snap);
  const found = await findTunnel(flags);
  if (found === undefined) {
    process.stderr.write(
      `fairlead: nothing runs here: no status socket answers in ${flags.run} (start with fairlead up, or name its folder with --run)\n`,
    );
    return ExitStatus.NoAnswer;
  }
  const { pid, tunnel } = found;
  const name = `${tunnel.namespace}/${tunnel.name}`;
  const request: CaptureRequest = {
    tunnel: name,
    snapBytes,
    ...(flags.peer === undefined ? {} : { peer: peerOf(tunnel, flags.peer) }),
    ...(flags.station === undefined ? {} : { station: flags.station }),
    ...(flags.group === undefined ? {} : { group: flags.group }),
  };
  const output = openOutput(flags.write ?? STDOUT);
  try {
    const path = join(flags.run, `${pid}.capture`);
    return await capture(path, { request, limits, output, signal: stopSignal() });
  } finally {
    output.close();
  }
}

interface Found {
  readonly pid: number;
  readonly tunnel: TunnelStatus;
}

/** The tunnel that was named, or the only one. */
async function findTunnel({ run: folder, tunnel }: CaptureFlags): Promise<Found | undefined> {
  const processes: readonly ProcessStatus[] = await readProcesses(folder);
  if (processes.length === 0) return undefined;
  const all = processes.flatMap(({ pid, tunnels }) => tunnels.map((one) => ({ pid, tunnel: one })));
  const names = all.map(({ tunnel: one }) => `${one.namespace}/${one.name}`).join(", ");
  if (tunnel === undefined) {
    const [only, ...others] = all;
    if (only === undefined) throw new UsageError("no tunnel runs here: fairlead status says why");
    if (others.length > 0) throw new UsageError(`several tunnels run here: name one of ${names}`);
    return only;
  }
  const wanted = all.find(({ tunnel: one }) =>
    [one.name, `${one.namespace}/${one.name}`].includes(tunnel),
  );
  if (wanted === undefined) {
    throw new UsageError(`no tunnel ${tunnel} runs here; there is ${names || "none"}`);
  }
  return wanted;
}

function peerOf({ peers }: TunnelStatus, peer: string): string {
  if (peer === TAP || peers.some(({ name }) => name === peer)) return peer;
  const names = [TAP, ...peers.map(({ name }) => name)].join(", ");
  throw new UsageError(`the tunnel has no peer ${peer}; there is ${names}`);
}

interface Output {
  write(bytes: Buffer): Promise<void>;
  close(): void;
}

/** Decrypted frames: nobody else may read the file. */
function openOutput(target: string): Output {
  if (target === STDOUT) {
    return {
      write: async (bytes) => {
        if (process.stdout.write(bytes)) return;
        const { promise, resolve } = Promise.withResolvers<void>();
        process.stdout.once("drain", resolve);
        process.stdout.once("error", resolve);
        process.stdout.once("close", resolve);
        await promise;
      },
      close: () => undefined,
    };
  }
  try {
    const file = openSync(target, "w", CAPTURE_FILE_MODE);
    return {
      write: async (bytes) => {
        writeSync(file, bytes);
      },
      close: () => closeSync(file),
    };
  } catch (error) {
    throw new UsageError(`${target} cannot be written (${String(error)}): name another file`);
  }
}

interface Job {
  readonly request: CaptureRequest;
  readonly limits: Limits;
  readonly output: Output;
  readonly signal: AbortSignal;
}

async function capture(path: string, job: Job): Promise<ExitStatus> {
  const { request, limits, output, signal } = job;
  const socket = connect({ path, allowHalfOpen: true });
  socket.on("error", () => undefined);
  socket.write(`${JSON.stringify(request)}\n`);
  const finish = (): void => {
    socket.end();
  };
  signal.addEventListener("abort", finish, { once: true });
  const timer = limits.seconds === Infinity ? undefined : setTimeout(finish, limits.seconds * 1000);
  try {
    return await write(socket, { ...job, output, finish });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", finish);
    socket.destroy();
  }
}

/** Reads the stream and writes the file. */
async function write(
  socket: Socket,
  { request, limits, output, finish }: Job & { readonly finish: () => void },
): Promise<ExitStatus> {
  const file = new CaptureFile(request.tunnel, request.snapBytes);
  const reader = new MessageReader();
  const head = file.head(packageVersion());
  let bytes = head.length;
  let frames = 0;
  let missed: number | undefined;
  let isFull = false;
  await output.write(head);
  for await (const chunk of socket) {
    const blocks: Buffer[] = [];
    for (const { kind, payload } of reader.take(chunk as Buffer) ?? []) {
      if (kind === CaptureMessage.names) {
        const names = JSON.parse(Buffer.from(payload).toString("utf8")) as CaptureNames;
        if (names.problem !== undefined) throw new UsageError(names.problem);
        file.takeNames(names);
      } else if (kind === CaptureMessage.tally) {
        missed = (JSON.parse(Buffer.from(payload).toString("utf8")) as CaptureTally).missed;
      } else {
        const frame = readFrame(payload);
        if (frame === undefined || isFull) continue;
        const block = file.frame(frame);
        isFull = frames + 1 >= limits.count || bytes + block.length > limits.bytes;
        if (bytes + block.length <= limits.bytes) {
          blocks.push(block);
          bytes += block.length;
          frames += 1;
        }
        if (isFull) finish();
      }
    }
    if (blocks.length > 0) await output.write(Buffer.concat(blocks));
  }
  if (missed === undefined) {
    process.stderr.write("fairlead: the process ended before it answered: is it still running?\n");
    return ExitStatus.NoAnswer;
  }
  await output.write(file.tail(Date.now(), missed));
  process.stderr.write(`fairlead: ${frames} frames, ${missed} missed\n`);
  return ExitStatus.Fine;
}

function numberOf(option: string, text: string | undefined): number {
  if (text === undefined) return Infinity;
  const value = Number(text);
  if (!(value > 0)) throw new UsageError(`${option} is a number above 0`);
  return value;
}
