/**
 * A Unix socket in the run folder that only the user who runs the process can connect to. One
 * invariant: the folder is made with mode 0700 and the socket has mode 0600; what connects is one
 * of a bounded number.
 */

import { chmodSync, mkdirSync, unlinkSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { OperatingError } from "../common/operating-error.ts";

/** How a socket is served. */
export interface RunSocketOptions {
  readonly folder: string;
  /** Name in the folder. */
  readonly name: string;
  /** What it is for, in errors. */
  readonly purpose: string;
  /** Clients served at once; more are turned away. */
  readonly clientsMax: number;
  /** A client that ends its half still gets the rest of ours. */
  readonly allowHalfOpen?: boolean;
  readonly connected: (socket: Socket) => void;
}

/** A socket that is served. */
export interface RunSocket {
  readonly path: string;
  close(): Promise<void>;
}

/** Serves the socket. Throws an OperatingError when it cannot. */
export async function serveRunSocket(options: RunSocketOptions): Promise<RunSocket> {
  const { folder, name, purpose } = options;
  const path = join(folder, name);
  const clients = new Set<Socket>();
  const server = createServer({ allowHalfOpen: options.allowHalfOpen ?? false }, (socket) => {
    clients.add(socket);
    socket.on("close", () => clients.delete(socket));
    socket.on("error", () => socket.destroy());
    options.connected(socket);
  });
  server.maxConnections = options.clientsMax;
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
    const message = `the ${purpose} socket ${path} cannot be made (${String(cause)}); name a writable folder with --run`;
    throw new OperatingError(`${purpose}Socket`, message, { cause });
  }
  return {
    path,
    close: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      for (const socket of clients) socket.destroySoon();
      await promise;
      removeIfThere(path);
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  // Nobody else can connect in the moment before its mode is set.
  const umask = process.umask(0o177);
  server.listen(path, () => resolve());
  process.umask(umask);
  return promise;
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}
