/** Errors of the authority and of its file store. None of them carries key material. */

import { OperatingError } from "../common/operating-error.ts";

/** A certificate or key text that cannot be used: damaged, of another kind, or not a pair. */
export class CertificateError extends OperatingError {
  constructor(message: string, cause?: unknown) {
    super("certificate-unusable", message, cause === undefined ? undefined : { cause });
  }
}

/** A text that is not an OpenVPN static key. */
export class StaticKeyError extends OperatingError {
  constructor(message: string) {
    super("static-key-unusable", message);
  }
}

/** The state directory cannot be read, written or locked. */
export class StoreError extends OperatingError {
  constructor(message: string, cause?: unknown) {
    super("store-unusable", message, cause === undefined ? undefined : { cause });
  }
}

/** A profile cannot be printed from what the resources say. */
export class ProfileError extends OperatingError {
  constructor(message: string) {
    super("profile-impossible", message);
  }
}
