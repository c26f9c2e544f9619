/**
 * Node's TLS over an in-memory Duplex, as either end of an OpenVPN control channel. One
 * invariant: a peer without `problem` chained to our authority (where there is one), matched a
 * pinned fingerprint (where there are any), and had the asked-for use and name. A certificate
 * that fails still completes TLS, so that the reason can be sent as AUTH_FAILED: Node itself
 * would cut the connection without an alert.
 */
import { constants, type X509Certificate } from "node:crypto";
import { Duplex } from "node:stream";
import tls from "node:tls";
import type { SecurityConfig } from "../../control/tunnel-config.ts";
import type { TlsEngine, TlsEngineFactory, TlsHandlers, TlsPeer } from "./tls-engine.ts";

const EXTENDED_KEY_USAGE = { server: "1.3.6.1.5.5.7.3.1", client: "1.3.6.1.5.5.7.3.2" } as const;
/** A ClientHello of 334 bytes instead of 1568: one control packet, not two. */
const CURVES = "X25519:P-256:P-384:P-521";
/** Certificates are judged in `judgePeer`, in one place for both ends; nothing passes without it. */
const ASKS_FOR_CERTIFICATE = { requestCert: true, rejectUnauthorized: false } as const;

/** An engine factory for one tunnel's identity and the peers that it believes. */
export function nodeTlsEngines(security: SecurityConfig, wallMs: () => number): TlsEngineFactory {
  const believes: Beliefs = { security, wallMs };
  const context = {
    cert: security.identity?.certificatePem,
    key: security.identity?.privateKeyPem,
    ...(security.caPem === undefined ? { ca: [] } : { ca: security.caPem }),
    ...(security.crlPem === undefined ? {} : { crl: security.crlPem }),
    minVersion: `TLSv${security.tlsVersionMin}` as const,
    ...(security.tlsVersionMax === undefined
      ? {}
      : { maxVersion: `TLSv${security.tlsVersionMax}` as const }),
    ecdhCurve: CURVES,
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...ASKS_FOR_CERTIFICATE,
  };
  // Made once for all sessions: reading certificates and keys costs more than what they are read for.
  let clientContext: tls.SecureContext | undefined;
  const servers = new Servers(context);
  return (role, handlers) => {
    const pipe = new MemoryPipe(handlers.ciphertext);
    if (role === "client") {
      clientContext ??= tls.createSecureContext(context);
      const socket = tls.connect({
        secureContext: clientContext,
        ...ASKS_FOR_CERTIFICATE,
        socket: pipe,
        checkServerIdentity: () => undefined,
      });
      socket.once("secureConnect", () => handlers.secure(judgePeer(socket, believes)));
      return new NodeTlsEngine(pipe, handlers, socket);
    }
    const engine = new NodeTlsEngine(pipe, handlers);
    servers.accept(pipe, {
      secure: (socket) => {
        engine.adopt(socket);
        handlers.secure(judgePeer(socket, believes));
      },
      failed: (error) => engine.fail(error),
    });
    return engine;
  };
}

/** What becomes of one handshake of a server: one of the two, once. */
interface Acceptance {
  readonly secure: (socket: tls.TLSSocket) => void;
  readonly failed: (error: NodeJS.ErrnoException) => void;
}

/** Servers that are kept for the next handshake. */
const SERVERS_KEPT = 16;

/**
 * Node's TLS servers of one identity. A bare server-side TLSSocket judges every certificate alike: only
 * tls.Server is right. One invariant: a server has at most one handshake under way, so that its events are that
 * handshake's; one whose handshake did not succeed may still speak of it and is not used again.
 */
class Servers {
  readonly #options: tls.TlsOptions;
  readonly #idle: tls.Server[] = [];

  constructor(options: tls.TlsOptions) {
    this.#options = options;
  }

  accept(pipe: Duplex, { secure, failed }: Acceptance): void {
    const server = this.#idle.pop() ?? tls.createServer(this.#options);
    server.once("tlsClientError", failed);
    server.once("secureConnection", (socket) => {
      server.removeListener("tlsClientError", failed);
      if (this.#idle.length < SERVERS_KEPT) this.#idle.push(server);
      secure(socket);
    });
    server.emit("connection", pipe);
  }
}

/** What peers are judged by. */
interface Beliefs {
  readonly security: SecurityConfig;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

/** Every check of the other end's certificate; OpenVPN's own, since names are not host names. */
function judgePeer(socket: tls.TLSSocket, beliefs: Beliefs): TlsPeer {
  const protocol = socket.getProtocol() ?? "unknown";
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { protocol, problem: "it sent no certificate" };
  const commonName = commonNameOf(certificate);
  const peer = {
    protocol,
    fingerprint: certificate.fingerprint256,
    serialNumber: certificate.serialNumber,
    validTo: certificate.validTo,
    ...(commonName === undefined ? {} : { commonName }),
  };
  const problem = certificateProblem(socket, certificate, beliefs);
  return problem === undefined ? peer : { ...peer, problem };
}

function certificateProblem(
  socket: tls.TLSSocket,
  certificate: X509Certificate,
  { security, wallMs }: Beliefs,
): string | undefined {
  const hasPins = security.peerFingerprints.length > 0;
  if (security.caPem === undefined && !hasPins)
    return "there is no authority or fingerprint to judge it by";
  if (security.caPem !== undefined && socket.authorized !== true) {
    return describeVerifyError(String(socket.authorizationError ?? "not verified"), certificate);
  }
  if (hasPins && !security.peerFingerprints.includes(certificate.fingerprint256)) {
    return `its fingerprint ${certificate.fingerprint256} is not among the accepted ones`;
  }
  if (security.caPem === undefined) {
    // A pinned certificate has no chain that OpenSSL would have judged in full.
    if (Date.parse(certificate.validTo) < wallMs()) {
      return describeVerifyError("CERT_HAS_EXPIRED", certificate);
    }
    if (Date.parse(certificate.validFrom) > wallMs()) {
      return describeVerifyError("CERT_NOT_YET_VALID", certificate);
    }
  }
  const use = security.remoteCertTls;
  if (use !== undefined && !(certificate.keyUsage ?? []).includes(EXTENDED_KEY_USAGE[use])) {
    return `its certificate is not for use as a ${use} (extended key usage)`;
  }
  const name = commonNameOf(certificate);
  if (security.verifyName !== undefined && name !== security.verifyName) {
    return `its name is ${name ?? "missing"}, not ${security.verifyName}`;
  }
  const { verifyNamePrefix: prefix, verifySubject } = security;
  if (prefix !== undefined && name?.startsWith(prefix) !== true) {
    return `its name is ${name ?? "missing"}, which does not begin with ${prefix}`;
  }
  const subject = subjectOf(certificate);
  if (verifySubject !== undefined && subject !== verifySubject) {
    return `its subject is ${subject ?? "missing"}, not ${verifySubject}`;
  }
  return undefined;
}

/** In one line and in the certificate's order; Node escapes signs and has a line for each part. */
function subjectOf(certificate: X509Certificate): string | undefined {
  const lines = certificate.subject?.split("\n") ?? [];
  if (lines.length === 0) return undefined;
  return lines.map((line) => line.replace(/\\(.)/g, "$1")).join(", ");
}

function describeVerifyError(code: string, certificate: X509Certificate): string {
  switch (code) {
    case "CERT_HAS_EXPIRED":
      return `its certificate expired on ${certificate.validTo}`;
    case "CERT_NOT_YET_VALID":
      return `its certificate is not valid before ${certificate.validFrom}: compare both clocks`;
    case "CERT_REVOKED":
      return "its certificate is revoked";
    case "INVALID_PURPOSE":
      return "its certificate is for another purpose (extended key usage)";
    default:
      return `its certificate is not from a trusted authority (${code})`;
  }
}

/** As it stands in the certificate: `subject` has it with escapes. The last of several, as stock. */
function commonNameOf(certificate: X509Certificate): string | undefined {
  const name: string | string[] | undefined = certificate.toLegacyObject().subject?.CN;
  return Array.isArray(name) ? name.at(-1) : name;
}

class NodeTlsEngine implements TlsEngine {
  readonly #pipe: MemoryPipe;
  readonly #handlers: TlsHandlers;
  #socket: tls.TLSSocket | undefined;
  #queue: Buffer[] = [];
  #isWriting = false;
  #isDone = false;

  constructor(pipe: MemoryPipe, handlers: TlsHandlers, socket?: tls.TLSSocket) {
    this.#pipe = pipe;
    this.#handlers = handlers;
    pipe.on("error", (error) => this.fail(error));
    if (socket !== undefined) this.adopt(socket);
  }

  adopt(socket: tls.TLSSocket): void {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      if (!this.#isDone) this.#handlers.plaintext(bytes);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => this.fail(error));
    this.#writeNext();
  }

  receive(bytes: Buffer): void {
    if (!this.#isDone) this.#pipe.push(bytes);
  }

  write(bytes: Buffer): void {
    this.#queue.push(bytes);
    this.#writeNext();
  }

  exportKeyingMaterial(bytes: number, label: string): Buffer {
    if (this.#socket === undefined) throw new Error("the TLS handshake is not complete");
    // The context must be omitted, not empty (RFC 5705); the types ask for it.
    const exporter = this.#socket as unknown as {
      exportKeyingMaterial: (length: number, label: string) => Buffer;
    };
    return exporter.exportKeyingMaterial(bytes, label);
  }

  destroy(): void {
    this.#isDone = true;
    this.#queue = [];
    this.#socket?.destroy();
    this.#pipe.destroy();
  }

  fail(error: NodeJS.ErrnoException): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#handlers.failed(error.code ?? error.name, error.message);
  }

  /** One at a time: Node puts writes that wait together into one record, stock reads one message. */
  #writeNext(): void {
    if (this.#isWriting || this.#isDone || this.#socket === undefined) return;
    const bytes = this.#queue.shift();
    if (bytes === undefined) return;
    this.#isWriting = true;
    this.#socket.write(bytes, () => {
      // It is encrypted by now, and may have been a password or half of a key.
      bytes.fill(0);
      this.#isWriting = false;
      this.#writeNext();
    });
  }
}

/** The "network" of a TLS connection: what TLS writes goes to a function, what arrives is pushed. */
class MemoryPipe extends Duplex {
  readonly #ciphertext: (bytes: Buffer) => void;

  constructor(ciphertext: (bytes: Buffer) => void) {
    super({ allowHalfOpen: true });
    this.#ciphertext = ciphertext;
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#ciphertext(bytes);
    done();
  }
}
