/**
 * The face of TLS inside the control channel: bytes in, bytes out, no socket. Whatever stands
 * behind it (Node's own TLS; a seeded stand-in in simulation) calls the handlers from the event
 * loop, never from within `receive` or `write`'s caller being half done.
 */

/** Who the other end proved to be, judged after the TLS handshake. */
export interface TlsPeer {
  /** Why it must not be believed; absent when every check that was asked for passed. */
  readonly problem?: string;
  readonly commonName?: string;
  /** SHA-256 of its certificate, upper-case hex with colons. */
  readonly fingerprint?: string;
  /** Its certificate's serial number, in hex. */
  readonly serialNumber?: string;
  /** End of its certificate's validity, as the certificate says it. */
  readonly validTo?: string;
  /** For instance "TLSv1.3". */
  readonly protocol: string;
}

/** What the engine tells its owner. */
export interface TlsHandlers {
  readonly ciphertext: (bytes: Buffer) => void;
  readonly secure: (peer: TlsPeer) => void;
  readonly plaintext: (bytes: Buffer) => void;
  /** The handshake or a record failed; `code` is stable (OpenSSL's or Node's). */
  readonly failed: (code: string, message: string) => void;
}

/** One TLS connection over memory. */
export interface TlsEngine {
  /** Ciphertext that arrived, in order. */
  receive(bytes: Buffer): void;
  /** One control message; each leaves in a record of its own. */
  write(bytes: Buffer): void;
  /** RFC 5705 without context. Only between `secure` and `destroy`. */
  exportKeyingMaterial(bytes: number, label: string): Buffer;
  destroy(): void;
}

/** Makes the engine of one key id. */
export type TlsEngineFactory = (role: "client" | "server", handlers: TlsHandlers) => TlsEngine;
