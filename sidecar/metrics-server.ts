/**
 * The metrics of this process over HTTP, for Prometheus. One invariant: it listens only where it was
 * told to, answers GET of one path, and changes nothing.
 */
import { createServer, type Server } from "node:http";
import { isIP } from "node:net";
import { OperatingError } from "../common/operating-error.ts";
import type { ProcessStatus } from "./control/status.ts";
import { metricsText } from "./metrics-text.ts";

const HOST_DEFAULT = "127.0.0.1";
/** Who scrapes is one program or two; more are turned away. */
const CLIENTS_MAX = 16;
/** A client that does not ask, or does not read, is cut off. */
const CLIENT_MS_MAX = 5000;

/** Where metrics are served. */
export interface MetricsPlace {
  readonly host: string;
  readonly port: number;
}

/** A server that runs. */
export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/** `9464`, `0.0.0.0:9464` or `[::]:9464`; undefined: it is none of these. */
export function readMetricsPlace(text: string): MetricsPlace | undefined {
  const match = /^(?:(\[[^\]]+\]|[^:]+):)?(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const host = (match[1] ?? HOST_DEFAULT).replace(/^\[|\]$/g, "");
  const port = Number(match[2]);
  return port <= 65_535 && isIP(host) !== 0 ? { host, port } : undefined;
}

/** Serves `/metrics` there; port 0 lets the system choose. Throws an OperatingError when it cannot. */
export async function serveMetrics(
  place: MetricsPlace,
  status: () => ProcessStatus,
): Promise<MetricsServer> {
  const server = createServer({ requestTimeout: CLIENT_MS_MAX }, (request, response) => {
    const [code, text] = answer(request.method ?? "", request.url ?? "", status);
    response.writeHead(code, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
    response.end(text);
  });
  server.maxConnections = CLIENTS_MAX;
  server.setTimeout(CLIENT_MS_MAX, (socket) => socket.destroy());
  await listening(server, place);
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : place.port,
    close: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      server.closeAllConnections();
      await promise;
    },
  };
}

function answer(
  method: string,
  path: string,
  status: () => ProcessStatus,
): readonly [number, string] {
  if (method !== "GET" && method !== "HEAD") return [405, "GET alone is answered here\n"];
  if (path !== "/metrics") return [404, "there is /metrics\n"];
  return [200, metricsText(status())];
}

async function listening(server: Server, { host, port }: MetricsPlace): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (error: NodeJS.ErrnoException) => {
    const text = `the metrics cannot be served at ${host}, port ${port} (${error.code}): name another place with --metrics`;
    reject(new OperatingError("metricsPlace", text, { cause: error }));
  });
  server.listen(port, host, resolve);
  await promise;
}
