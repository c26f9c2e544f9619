/**
 * The status of this process on a Unix socket: whoever connects gets one JSON document and the
 * end of the stream. One invariant: only the user that runs the process can connect, and what
 * connects can change nothing.
 */

import { chmodSync, mkdirSync, unlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { OperatingError } from "../common/operating-error.ts";
import type { ProcessStatus } from "./control/status.ts";

/** Clients served at once; more are turned away. */
const CLIENTS_MAX = 16;
/** A client that does not read is cut off. */
const CLIENT_MS_MAX = 2000;

/** Serves `status()` in the folder, as `<pid>.sock`. Throws an OperatingError when it cannot. */
export async function serveStatus(
  folder: string,
  status: () => ProcessStatus,
): Promise<{ readonly path: string; close(): Promise<void> }> {
  const path = join(folder, `${process.pid}.sock`);
  const server = createServer((socket) => {
    socket.setTimeout(CLIENT_MS_MAX, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.end(`${JSON.stringify(status())}\n`);
  });
  server.maxConnections = CLIENTS_MAX;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    removeIfThere(path);
    await listen(server, path);
    chmodSync(path, 0o600);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
    if (code === "EACCES" || code === "EPERM") {
      const message = `the folder ${folder} may not be written: run as root, or name another one with --run`;
      throw new OperatingError("notPermitted", message, { cause });
    }
    const message = `the status socket ${path} cannot be made (${String(cause)}); name a writable folder with --run`;
    throw new OperatingError("statusSocket", message, { cause });
  }
  return {
    path,
    close: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      await promise;
      removeIfThere(path);
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(path, () => resolve());
  return promise;
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}
