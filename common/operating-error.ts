/**
 * The one error class that every part shares: something outside the program went wrong (a file, a
 * document, a key, the network), as opposed to a programmer's error, which is an `assert`.
 *
 * This folder holds what the parts that may not import each other have in common, and only that.
 * Invariant: a message says what is wrong and what to do next, and carries no secret.
 */

/** Something outside the program is wrong. Subclasses fix `code`; nobody reads the message. */
export class OperatingError extends Error {
  /** Stable name of what went wrong, for decisions: `document-unreadable`. */
  readonly code: string;

  constructor(code: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}
