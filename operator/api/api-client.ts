/**
 * Calls to the API server: JSON in, JSON out, and watches as lines. Configuration and credentials
 * come from @kubernetes/client-node; its generated calls are not used, because they turn timestamps
 * into dates and do not cover watches. One invariant: one connection pool for the whole process.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent, request as httpsRequest, type RequestOptions } from "node:https";
import type { KubeConfig } from "@kubernetes/client-node";
import type { Clock } from "../clock.ts";
import { ANSWER_BYTES_MAX, API_CONNECTIONS_MAX, LINE_BYTES_MAX } from "../limits.ts";
import { ApiError, ApiUnreachableError } from "./api-error.ts";

/** One call. */
export interface ApiCall {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly timeoutMs?: number;
}

/** What the parts of the operator need of the API server. */
export interface Api {
  call<Answer>(call: ApiCall): Promise<Answer>;
  /** Each line of the answer, until the server ends it or the signal aborts. */
  lines(call: ApiCall, signal: AbortSignal): AsyncIterable<string>;
}

const CALL_TIMEOUT_MS = 15_000;
/** Tokens of service accounts rotate in an hour; the file is read again long before. */
const CREDENTIALS_MS_MAX = 30_000;

interface Credentials {
  readonly options: RequestOptions;
  readonly takenMs: number;
}

/** The client. */
export class ApiClient implements Api {
  readonly #config: KubeConfig;
  readonly #server: URL;
  readonly #clock: Clock;
  readonly #agent: Agent = new Agent({ keepAlive: true, maxSockets: API_CONNECTIONS_MAX });
  #credentials: Credentials | undefined;

  constructor(config: KubeConfig, clock: Clock) {
    const cluster = config.getCurrentCluster();
    if (cluster === null) throw new ApiUnreachableError("kubeconfig", { code: "no cluster named" });
    this.#config = config;
    this.#server = new URL(cluster.server);
    this.#clock = clock;
  }

  async call<Answer>(call: ApiCall): Promise<Answer> {
    const response = await this.#send(call, AbortSignal.timeout(call.timeoutMs ?? CALL_TIMEOUT_MS));
    const text = await textOf(call, response);
    return JSON.parse(text) as Answer;
  }

  async *lines(call: ApiCall, signal: AbortSignal): AsyncIterable<string> {
    const response = await this.#send(call, signal);
    let rest = "";
    try {
      for await (const chunk of response.setEncoding("utf8")) {
        rest += chunk as string;
        const lines = rest.split("\n");
        rest = lines.pop() ?? "";
        if (rest.length > LINE_BYTES_MAX) throw tooLong(call);
        yield* lines;
      }
    } catch (error) {
      if (signal.aborted || error instanceof ApiUnreachableError) throw error;
      throw new ApiUnreachableError(nameOf(call), error);
    } finally {
      response.destroy();
    }
  }

  /** Closes what is idle; calls under way end by themselves. */
  close(): void {
    this.#agent.destroy();
  }

  async #send(call: ApiCall, signal: AbortSignal): Promise<IncomingMessage> {
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const { options } = await this.#currentCredentials();
    const headers = { ...options.headers, accept: "application/json", ...bodyHeaders(call, body) };
    const send = this.#server.protocol === "https:" ? httpsRequest : httpRequest;
    const all = { ...options, method: call.method, headers, signal };
    const request = send(this.#url(call), all);
    const response = await answered(request, body, nameOf(call));
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    throw await refusal(call, status, response);
  }

  #url(call: ApiCall): URL {
    const url = new URL(call.path, this.#server);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    return url;
  }

  async #currentCredentials(): Promise<Credentials> {
    const nowMs = this.#clock.nowMs();
    const known = this.#credentials;
    if (known !== undefined && nowMs - known.takenMs < CREDENTIALS_MS_MAX) return known;
    const options: RequestOptions = {};
    await this.#config.applyToHTTPSOptions(options);
    if (this.#server.protocol === "https:") options.agent = this.#agent;
    else delete options.agent;
    this.#credentials = { options, takenMs: nowMs };
    return this.#credentials;
  }
}

function bodyHeaders(call: ApiCall, body: string | undefined): Record<string, string | number> {
  if (body === undefined) return {};
  const type = call.contentType ?? "application/json";
  return { "content-type": type, "content-length": Buffer.byteLength(body) };
}

function answered(
  request: ClientRequest,
  body: string | undefined,
  name: string,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request.on("response", resolve);
  request.on("error", (error) => reject(new ApiUnreachableError(name, error)));
  request.end(body);
  return promise;
}

async function textOf(call: ApiCall, response: IncomingMessage): Promise<string> {
  const parts: string[] = [];
  let length = 0;
  try {
    for await (const chunk of response.setEncoding("utf8")) {
      parts.push(chunk as string);
      length += (chunk as string).length;
      if (length > ANSWER_BYTES_MAX) throw tooLong(call);
    }
  } catch (error) {
    if (error instanceof ApiUnreachableError) throw error;
    throw new ApiUnreachableError(nameOf(call), error);
  }
  return parts.join("");
}

async function refusal(
  call: ApiCall,
  status: number,
  response: IncomingMessage,
): Promise<ApiError> {
  const text = await textOf(call, response);
  const seconds = Number(response.headers["retry-after"]);
  const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
  const { reason, message } = parseStatus(text);
  return new ApiError(nameOf(call), { status, reason, message }, retryAfterMs);
}

function parseStatus(text: string): { readonly reason: string; readonly message: string } {
  try {
    const value = JSON.parse(text) as { reason?: string; message?: string };
    return { reason: value.reason ?? "Unknown", message: value.message ?? "" };
  } catch (error) {
    if (error instanceof SyntaxError) return { reason: "Unknown", message: text.slice(0, 200) };
    throw error;
  }
}

function tooLong(call: ApiCall): ApiUnreachableError {
  return new ApiUnreachableError(nameOf(call), { code: "answer too long" });
}

function nameOf(call: ApiCall): string {
  return `${call.method} ${call.path}`;
}
