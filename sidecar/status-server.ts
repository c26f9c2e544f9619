/**
 * The status of this process on a Unix socket: whoever connects gets one JSON document and the
 * end of the stream. One invariant: only the user that runs the process can connect, and what
 * connects can change nothing.
 */

import type { ProcessStatus } from "./control/status.ts";
import { type RunSocket, serveRunSocket } from "./run-socket.ts";

/** Clients served at once; more are turned away. */
const CLIENTS_MAX = 16;
/** A client that does not read is cut off. */
const CLIENT_MS_MAX = 2000;

/** Serves `status()` in the folder, as `<pid>.sock`. Throws an OperatingError when it cannot. */
export async function serveStatus(folder: string, status: () => ProcessStatus): Promise<RunSocket> {
  return await serveRunSocket({
    folder,
    name: `${process.pid}.sock`,
    purpose: "status",
    clientsMax: CLIENTS_MAX,
    connected: (socket) => {
      socket.setTimeout(CLIENT_MS_MAX, () => socket.destroy());
      socket.end(`${JSON.stringify(status())}\n`);
    },
  });
}
