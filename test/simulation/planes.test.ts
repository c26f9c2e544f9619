/**
 * Two to eight whole sidecars in virtual time over a network that fails in every way known: every other
 * hundred of the seeds, the rest is in a file of its own, since a file has one processor. A failing
 * seed is named: FAIRLEAD_SEED=<n> runs it alone; FAIRLEAD_SEEDS sets how many run, FAIRLEAD_SEED_FIRST
 * where they begin.
 */
import "../../authority/reflect-shim.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAuthority, issueCertificate } from "../../authority/certificate.ts";
import type { TunnelConfig } from "../../sidecar/control/tunnel-config.ts";
import { nodeTlsEngines } from "../../sidecar/session/handshake/node-tls-engine.ts";
import type { TlsEngineFactory } from "../../sidecar/session/handshake/tls-engine.ts";
import { PlanesSimulation } from "./planes-simulation.ts";
import { FIRST, SEED_ALONE, SEEDS, testSeedsOfPlanes } from "./seeds-of-planes.ts";

/** Seeds that run with Node's own TLS, which takes real time and draws numbers of its own. */
const SEEDS_OF_TLS = SEED_ALONE === undefined ? Math.min(20, SEEDS) : 0;
/** Dialling ends of the largest run. */
const CLIENTS_MAX = 7;

testSeedsOfPlanes(0);

test(`${SEEDS_OF_TLS} seeds with real TLS`, async () => {
  const engines = await tlsEngines();
  for (let seed = FIRST; seed < FIRST + SEEDS_OF_TLS; seed++) {
    try {
      await new PlanesSimulation(seed, (commonName) => engines(commonName)).run();
    } catch (cause) {
      throw new Error(`seed ${seed} with real TLS failed`, { cause });
    }
  }
});

/** Engines for the gateway and for every box, all of one authority. */
async function tlsEngines(): Promise<(commonName: string) => TlsEngineFactory> {
  const age = { lifetimeDays: 2, wallMs: Date.now() };
  const authority = await createAuthority({ commonName: "authority", ...age });
  const names = ["gateway", ...Array.from({ length: CLIENTS_MAX }, (_, at) => `box-${at + 1}`)];
  const made = new Map<string, TlsEngineFactory>();
  for (const commonName of names) {
    const isGateway = commonName === "gateway";
    const use = isGateway ? "server" : "client";
    const identity = await issueCertificate(authority, { commonName, use, ...age });
    const security: TunnelConfig["security"] = {
      dataCiphers: ["AES-256-GCM"],
      wrap: { kind: "None" },
      identity,
      caPem: authority.certificatePem,
      peerFingerprints: [],
      remoteCertTls: isGateway ? "client" : "server",
      tlsVersionMin: "1.2",
    };
    made.set(commonName, nodeTlsEngines(security, Date.now));
  }
  return (commonName) => {
    const engine = made.get(commonName);
    assert(engine !== undefined, `${commonName} has a certificate`);
    return engine;
  };
}
