/**
 * The operator's own small HTTP server: `/healthz` (the process lives), `/readyz` (its copies are
 * there), `/metrics` (Prometheus). It answers GET alone and tells nothing about any resource.
 */
import { createServer, type Server } from "node:http";
import { OperatingError } from "../common/operating-error.ts";

/** What the server tells. */
export interface HttpFacts {
  readonly isReady: () => boolean;
  readonly metrics: () => string;
}

/** A server that runs. */
export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens on all addresses; port 0 lets the system choose. */
export async function serveHttp(port: number, facts: HttpFacts): Promise<HttpServer> {
  const server = createServer((request, response) => {
    const [status, text] = answer(request.method ?? "", request.url ?? "", facts);
    response.writeHead(status, { "content-type": "text/plain; version=0.0.4" });
    response.end(text);
  });
  await listening(server, port);
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    close: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      server.closeAllConnections();
      await promise;
    },
  };
}

function answer(method: string, path: string, facts: HttpFacts): readonly [number, string] {
  if (method !== "GET") return [405, "GET alone is answered here\n"];
  if (path === "/healthz") return [200, "ok\n"];
  if (path === "/metrics") return [200, facts.metrics()];
  if (path !== "/readyz") return [404, "there are /healthz, /readyz and /metrics\n"];
  return facts.isReady() ? [200, "ok\n"] : [503, "the first lists are not read yet\n"];
}

async function listening(server: Server, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (error: NodeJS.ErrnoException) => {
    const text = `port ${port} cannot be bound (${error.code}): name another with --port`;
    reject(new OperatingError("port-unusable", text, { cause: error }));
  });
  server.listen(port, resolve);
  await promise;
}
