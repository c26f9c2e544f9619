/**
 * The keys of a listening tunnel, kept in the state directory and made when missing: the authority
 * (or the administrator's own), the gateway's certificate, one for each peer, and the key that wraps
 * the control channel.
 *
 * Invariant: asking twice gives the same keys, until one is due for renewal or the authority is
 * another one; a pair is one file, so a crash never leaves a key without its certificate.
 */

import { CertificateError, StaticKeyError } from "../../authority/authority-error.ts";
import {
  createAuthority,
  isIssuedBy,
  isPair,
  issueCertificate,
  type KeyPair,
  readCertificate,
} from "../../authority/certificate.ts";
import { generateStaticKey, parseStaticKey, printStaticKey } from "../../authority/static-key.ts";
import type { Store } from "../../authority/store.ts";
import {
  type ClientWrapKey,
  generateClientWrapKey,
  generateServerWrapKey,
  parseClientWrapKey,
  parseServerWrapKey,
  printClientWrapKey,
  printServerWrapKey,
  unwrapClientKey,
} from "../../authority/tls-crypt-v2.ts";

/** Common name of every gateway's certificate; each tunnel has an authority of its own. */
export const GATEWAY_COMMON_NAME = "gateway";

/** Whom to make keys for. */
export interface CredentialRequest {
  readonly tunnel: { readonly namespace: string; readonly name: string };
  readonly peers: readonly {
    readonly name: string;
    readonly lifetimeDays: number;
    readonly renewBeforeDays: number;
  }[];
  /** The administrator's own authority. */
  readonly authority?: KeyPair;
  readonly wallMs: number;
}

/** The keys of a listening tunnel. */
export interface GatewayCredentials {
  readonly authorityPem: string;
  readonly gateway: KeyPair;
  readonly peers: ReadonlyMap<string, KeyPair>;
  /** By peer: the certificates that are its own. Absent: whatever the authority signed for its name. */
  readonly fingerprints?: ReadonlyMap<string, readonly string[]>;
  readonly wrapKey: Uint8Array;
  /** tls-crypt-v2: the gateway's key, and one for each peer. */
  readonly serverWrapKey: Uint8Array;
  readonly peerWrapKeys: ReadonlyMap<string, ClientWrapKey>;
}

const DAY_MS = 86_400_000;
const AUTHORITY_LIFETIME_DAYS = 3650;
/** Beside the keys that were made elsewhere: fingerprints by peer, as JSON. */
const FINGERPRINTS_FILE = "peer-fingerprints.json";
const GATEWAY_LIFETIME_DAYS = 825;
const GATEWAY_RENEW_BEFORE_DAYS = 90;

/** Reads the tunnel's keys and makes what is missing, under the store's lock. */
export async function ensureCredentials(
  store: Store,
  request: CredentialRequest,
): Promise<GatewayCredentials> {
  return await store.locked(async () => {
    const given = await givenCredentials(store);
    if (given !== undefined) return given;
    const authority = request.authority ?? (await ensureAuthority(store, request));
    const { namespace, name } = request.tunnel;
    const subject = { organization: namespace, organizationalUnit: name, wallMs: request.wallMs };
    const gateway = await ensurePair(store, authority, {
      ...subject,
      file: "gateway.pem",
      commonName: GATEWAY_COMMON_NAME,
      use: "server",
      lifetimeDays: GATEWAY_LIFETIME_DAYS,
      renewBeforeDays: GATEWAY_RENEW_BEFORE_DAYS,
    });
    const peers = new Map<string, KeyPair>();
    for (const peer of request.peers) {
      const wanted = { ...subject, ...peer, file: `peer-${peer.name}.pem`, commonName: peer.name };
      peers.set(peer.name, await ensurePair(store, authority, { ...wanted, use: "client" }));
    }
    const wrapKey = await ensureWrapKey(store);
    const serverWrapKey = await ensureServerWrapKey(store);
    const peerWrapKeys = new Map<string, ClientWrapKey>();
    for (const { name: peer } of request.peers) {
      peerWrapKeys.set(peer, await ensurePeerWrapKey(store, serverWrapKey, peer));
    }
    const authorityPem = authority.certificatePem;
    return { authorityPem, gateway, peers, wrapKey, serverWrapKey, peerWrapKeys };
  });
}

/**
 * Keys that were made elsewhere: in a cluster the operator makes them and keeps the authority's key,
 * so the authority's certificate stands alone. Nothing is made here then, and no peer's key is known.
 */
async function givenCredentials(store: Store): Promise<GatewayCredentials | undefined> {
  const authorityPem = await store.read("authority.pem");
  const isGiven = authorityPem?.includes("CERTIFICATE-----") && !authorityPem.includes("PRIVATE");
  if (authorityPem === undefined || !isGiven) return undefined;
  const gateway = splitPair((await store.read("gateway.pem")) ?? "");
  const wrapKey = await store.read("control-wrap.key");
  const serverWrapKey = await store.read("tls-crypt-v2-server.key");
  if (gateway === undefined || wrapKey === undefined || serverWrapKey === undefined) {
    throw new CertificateError(
      `${store.directory} holds an authority's certificate without its key, and not all of gateway.pem, control-wrap.key and tls-crypt-v2-server.key: give all four, or remove authority.pem to have an authority made`,
    );
  }
  return {
    authorityPem,
    gateway,
    peers: new Map(),
    ...fingerprintsOf(store, await store.read(FINGERPRINTS_FILE)),
    wrapKey: parseStaticKey(wrapKey),
    serverWrapKey: parseServerWrapKey(serverWrapKey),
    peerWrapKeys: new Map(),
  };
}

/** Without the file every certificate of the authority is believed; a damaged one must not mean that. */
function fingerprintsOf(
  store: Store,
  text: string | undefined,
): Pick<GatewayCredentials, "fingerprints"> {
  if (text === undefined || text === "") return {};
  try {
    const byPeer = JSON.parse(text) as Readonly<Record<string, readonly string[]>>;
    return { fingerprints: new Map(Object.entries(byPeer)) };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new CertificateError(
      `${store.directory}/${FINGERPRINTS_FILE} is damaged: give it anew, or remove it to believe every certificate of the authority`,
    );
  }
}

async function ensureAuthority(store: Store, request: CredentialRequest): Promise<KeyPair> {
  const text = await store.read("authority.pem");
  if (text !== undefined) {
    const pair = splitPair(text);
    if (pair !== undefined && isPair(pair)) return pair;
    throw new CertificateError(
      `the authority in ${store.directory}/authority.pem is damaged: restore it from a backup, or remove the file to start with a new authority and hand out new profiles`,
    );
  }
  const commonName = `Fairlead ${request.tunnel.namespace}/${request.tunnel.name}`.slice(0, 64);
  const lifetimeDays = AUTHORITY_LIFETIME_DAYS;
  const pair = await createAuthority({ commonName, lifetimeDays, wallMs: request.wallMs });
  await store.write("authority.pem", joinPair(pair));
  return pair;
}

interface PairWanted {
  readonly file: string;
  readonly commonName: string;
  readonly use: "server" | "client";
  readonly organization: string;
  readonly organizationalUnit: string;
  readonly lifetimeDays: number;
  readonly renewBeforeDays: number;
  readonly wallMs: number;
}

async function ensurePair(store: Store, authority: KeyPair, wanted: PairWanted): Promise<KeyPair> {
  const kept = splitPair((await store.read(wanted.file)) ?? "");
  if (kept !== undefined && (await isUsable(kept, authority, wanted))) return kept;
  const pair = await issueCertificate(authority, wanted);
  await store.write(wanted.file, joinPair(pair));
  return pair;
}

/** Whether a kept pair is whole, of this authority and not due for renewal. */
async function isUsable(pair: KeyPair, authority: KeyPair, wanted: PairWanted): Promise<boolean> {
  try {
    if (!isPair(pair)) return false;
    const facts = readCertificate(pair.certificatePem);
    const limitMs = readCertificate(authority.certificatePem).notAfterMs;
    const dueMs = facts.notAfterMs - wanted.renewBeforeDays * DAY_MS;
    if (wanted.wallMs >= dueMs && facts.notAfterMs < limitMs) return false;
    return await isIssuedBy(pair.certificatePem, authority.certificatePem);
  } catch (error) {
    if (error instanceof CertificateError) return false;
    throw error;
  }
}

async function ensureWrapKey(store: Store): Promise<Uint8Array> {
  const text = await store.read("control-wrap.key");
  if (text !== undefined) return parseStaticKey(text);
  const key = generateStaticKey();
  await store.write("control-wrap.key", printStaticKey(key));
  return key;
}

async function ensureServerWrapKey(store: Store): Promise<Uint8Array> {
  const text = await store.read("tls-crypt-v2-server.key");
  if (text !== undefined) return parseServerWrapKey(text);
  const key = generateServerWrapKey();
  await store.write("tls-crypt-v2-server.key", printServerWrapKey(key));
  return key;
}

/** A peer's key; one that is damaged or of another server key is made anew. */
async function ensurePeerWrapKey(
  store: Store,
  serverKey: Uint8Array,
  peer: string,
): Promise<ClientWrapKey> {
  const file = `peer-${peer}.tls-crypt-v2.key`;
  const kept = readClientWrapKey(await store.read(file));
  if (kept !== undefined && unwrapClientKey(serverKey, kept.wrapped)?.peer === peer) return kept;
  const key = generateClientWrapKey(serverKey, peer);
  await store.write(file, printClientWrapKey(key));
  return key;
}

function readClientWrapKey(text: string | undefined): ClientWrapKey | undefined {
  try {
    return text === undefined ? undefined : parseClientWrapKey(text);
  } catch (error) {
    if (error instanceof StaticKeyError) return undefined;
    throw error;
  }
}

function joinPair(pair: KeyPair): string {
  return `${pair.certificatePem}${pair.privateKeyPem}`;
}

/** The certificate with what it chains to, and its key. */
function splitPair(text: string): KeyPair | undefined {
  const chain = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(text)?.[0];
  if (chain === null || key === undefined) return undefined;
  return { certificatePem: `${chain.join("\n")}\n`, privateKeyPem: `${key}\n` };
}
