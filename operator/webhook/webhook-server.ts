/**
 * The HTTPS server that the API server asks before it makes an object (admission.k8s.io/v1). It
 * changes nothing by itself: an answer is a pure function of the request and of what the operator
 * knows. Invariant: every request that is one gets an answer with its uid, or the object is refused.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { OperatingError } from "../../common/operating-error.ts";
import type { KubeObject } from "../api/object.ts";
import { ADMISSION_BYTES_MAX, ADMISSION_CALLERS_MAX } from "../limits.ts";
import type { WebhookKeys } from "./webhook-keys.ts";

/** What is asked. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly namespace?: string;
  readonly object: KubeObject;
}

/** What is answered. */
export type AdmissionAnswer =
  | { readonly allowed: true; readonly patch: readonly object[] }
  | { readonly allowed: false; readonly message: string };

/** Decides; `path` is that of the webhook. */
export type Admit = (path: string, request: AdmissionRequest) => AdmissionAnswer;

/** How long one request may take: the API server waits for five seconds. */
const REQUEST_MS_MAX = 5_000;

/** A webhook server. It listens once it has keys. */
export class WebhookServer {
  readonly #admit: Admit;
  readonly #port: number;
  #server: Server | undefined;

  constructor(port: number, admit: Admit) {
    this.#port = port;
    this.#admit = admit;
  }

  get isListening(): boolean {
    return this.#server?.listening === true;
  }

  /** Serves with these keys; connections that are open keep theirs. */
  async serve(keys: WebhookKeys): Promise<void> {
    const { certificatePem: cert, privateKeyPem: key } = keys.server;
    if (this.#server !== undefined) {
      this.#server.setSecureContext({ cert, key });
      return;
    }
    const server = createServer({ cert, key, minVersion: "TLSv1.2" }, (request, response) => {
      void this.#answer(request, response);
    });
    server.requestTimeout = REQUEST_MS_MAX;
    server.headersTimeout = REQUEST_MS_MAX;
    server.maxConnections = ADMISSION_CALLERS_MAX;
    // A caller that does not believe us, or a port scan: nobody's business but its own.
    server.on("tlsClientError", (_, socket) => socket.destroy());
    this.#server = server;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", (error: NodeJS.ErrnoException) => {
      const text = `webhook port ${this.#port} cannot be bound (${error.code}): name another with --webhook-port`;
      reject(new OperatingError("port-unusable", text, { cause: error }));
    });
    server.listen(this.#port, resolve);
    await promise;
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    server.closeIdleConnections();
    setImmediate(() => server.closeAllConnections());
    await promise;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = request.method === "POST" ? await textOf(request) : undefined;
    const asked = body === undefined ? undefined : requestOf(body);
    if (asked === undefined) {
      response.writeHead(400, { "content-type": "text/plain" });
      response.end("POST an AdmissionReview of admission.k8s.io/v1 here\n");
      return;
    }
    // The API server adds its own patience as a query.
    const [path = ""] = (request.url ?? "").split("?");
    const answer = this.#admit(path, asked);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(reviewOf(asked.uid, answer)));
  }
}

async function textOf(request: IncomingMessage): Promise<string | undefined> {
  const parts: string[] = [];
  let length = 0;
  try {
    for await (const chunk of request.setEncoding("utf8")) {
      parts.push(chunk as string);
      length += (chunk as string).length;
      if (length > ADMISSION_BYTES_MAX) return undefined;
    }
  } catch (error) {
    // The caller went away in the middle: there is nobody to answer.
    if (error instanceof Error && "code" in error) return undefined;
    throw error;
  }
  return parts.join("");
}

function requestOf(body: string): AdmissionRequest | undefined {
  try {
    const review = JSON.parse(body) as { readonly request?: Partial<AdmissionRequest> } | null;
    const { object, uid } = review?.request ?? {};
    if (typeof uid !== "string" || typeof object?.metadata !== "object") return undefined;
    return review?.request as AdmissionRequest;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function reviewOf(uid: string, answer: AdmissionAnswer): object {
  const review = { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview" };
  if (!answer.allowed) {
    const status = { code: 403, reason: "Forbidden", message: answer.message };
    return { ...review, response: { uid, allowed: false, status } };
  }
  if (answer.patch.length === 0) return { ...review, response: { uid, allowed: true } };
  const patch = Buffer.from(JSON.stringify(answer.patch), "utf8").toString("base64");
  return { ...review, response: { uid, allowed: true, patchType: "JSONPatch", patch } };
}
