/**
 * Why a tunnel cannot start or go on, in words for the person who runs it. One invariant: each
 * code has one exit status in `cli/exit-status.ts`, and each message says what to do next.
 */

import { OperatingError } from "../common/operating-error.ts";

/** Causes that end a tunnel which was never up. */
export type TunnelFailure =
  | "notPermitted"
  | "noTunDevice"
  | "interfaceMissing"
  | "interfaceFailed"
  | "cannotBind"
  | "nameUnresolved"
  | "noAnswer"
  | "certificateRefused"
  | "authenticationFailed"
  | "noCommonCipher"
  | "mtuMismatch"
  | "optionRefused"
  | "internal";

/** A tunnel's failure; `code` is one of `TunnelFailure`. */
export class TunnelError extends OperatingError {
  readonly failure: TunnelFailure;

  constructor(failure: TunnelFailure, message: string, options?: { readonly cause?: unknown }) {
    super(failure, message, options);
    this.failure = failure;
  }
}
