/** TLS of one tunnel: its engines, once its certificate, key and lists were found to be readable. */

import tls from "node:tls";
import type { Clock } from "./clock.ts";
import type { SecurityConfig } from "./control/tunnel-config.ts";
import { nodeTlsEngines } from "./session/handshake/node-tls-engine.ts";
import type { TlsEngineFactory } from "./session/handshake/tls-engine.ts";
import { TunnelError } from "./tunnel-error.ts";

/** Throws a TunnelError for what OpenSSL cannot read, instead of at the first handshake. */
export function tlsEnginesOf(
  security: SecurityConfig,
  clock: Pick<Clock, "wallSeconds">,
): TlsEngineFactory {
  try {
    tls.createSecureContext({
      cert: security.identity?.certificatePem,
      key: security.identity?.privateKeyPem,
      ...(security.caPem === undefined ? {} : { ca: security.caPem }),
      ...(security.crlPem === undefined ? {} : { crl: security.crlPem }),
    });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `this end's certificate, key, authority or revocation list cannot be read (${why}); compare them with what made them`;
    throw new TunnelError("certificateRefused", message, { cause });
  }
  return nodeTlsEngines(security, () => clock.wallSeconds() * 1000);
}
