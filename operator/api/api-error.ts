/** What can go wrong with a call to the API server, told apart by numbers, never by text. */
import { OperatingError } from "../../common/operating-error.ts";

/** The API server answered, and refused. */
export class ApiError extends OperatingError {
  /** HTTP status. */
  readonly status: number;
  /** `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, … */
  readonly reason: string;
  /** What a 429 or 503 asks us to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(
    call: string,
    answer: { readonly status: number; readonly reason: string; readonly message: string },
    retryAfterMs?: number,
  ) {
    super("api-refused", `${call}: ${answer.status} ${answer.reason}: ${answer.message}`);
    this.status = answer.status;
    this.reason = answer.reason;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The API server could not be asked, or did not answer in time. */
export class ApiUnreachableError extends OperatingError {
  constructor(call: string, cause: unknown) {
    const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? "no answer";
    super("api-unreachable", `${call}: the API server cannot be reached (${code})`, { cause });
  }
}

/** Whether an error is the API server's answer with this status. */
export function hasStatus(error: unknown, status: number): error is ApiError {
  return error instanceof ApiError && error.status === status;
}
