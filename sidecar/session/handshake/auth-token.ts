/**
 * Tokens that stand for a password once it was right, in stock's layout (`auth_token.h`): session id
 * 12 bytes, when it was first given 8, when it was renewed 8, HMAC-SHA256 32, in base64 behind a
 * prefix. One invariant: a token is worth something only to the name and certificate it was given
 * to, until its lifetime ends.
 */
import {
  createHmac,
  createSecretKey,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";

/** Whom a token is for. */
export interface TokenOwner {
  readonly username: string;
  /** Of the certificate. */
  readonly commonName: string;
  /** What the password is compared with: with another one, older tokens are worth nothing. */
  readonly entry?: string | undefined;
}

/** What a good token says. */
export interface TokenFacts {
  /** 12 bytes, the same in all renewals. */
  readonly sessionId: Buffer;
  readonly firstSeconds: number;
}

const PREFIX = "SESS_ID_AT_";
const SESSION_ID_BYTES = 12;
const TIME_BYTES = 8;
const MAC_BYTES = 32;
const BODY_BYTES: number = SESSION_ID_BYTES + 2 * TIME_BYTES;
/** Clocks are one and the same here; what steps back a little does no harm. */
const FUTURE_SECONDS_MAX = 60;

/** Whether this is a token rather than a password. */
export function isAuthToken(password: string): boolean {
  return password.startsWith(PREFIX);
}

/** Gives tokens out and knows them again. */
export class AuthTokens {
  readonly #secret: KeyObject;
  readonly #lifetimeSeconds: number;

  constructor(secret: Buffer, lifetimeSeconds: number) {
    this.#secret = createSecretKey(secret);
    this.#lifetimeSeconds = lifetimeSeconds;
  }

  /** A token of a new session, or the next one of a session that goes on. */
  issue(owner: TokenOwner, nowSeconds: number, former?: TokenFacts): string {
    const sessionId = former?.sessionId ?? randomBytes(SESSION_ID_BYTES);
    const body = tokenBody(sessionId, former?.firstSeconds ?? nowSeconds, nowSeconds);
    const mac = tokenMac(this.#keyOf(owner), owner.username, body);
    return PREFIX + Buffer.concat([body, mac]).toString("base64");
  }

  /** What a token says; "expired" or "invalid" when it is worth nothing. */
  read(token: string, owner: TokenOwner, nowSeconds: number): TokenFacts | "expired" | "invalid" {
    const text = token.slice(PREFIX.length);
    const bytes = Buffer.from(text, "base64");
    // One form only: what decodes to the same bytes by another text is not ours.
    if (bytes.length !== BODY_BYTES + MAC_BYTES || bytes.toString("base64") !== text) {
      return "invalid";
    }
    const body = bytes.subarray(0, BODY_BYTES);
    const mac = tokenMac(this.#keyOf(owner), owner.username, body);
    if (!timingSafeEqual(mac, bytes.subarray(BODY_BYTES))) return "invalid";
    const firstSeconds = Number(body.readBigUInt64BE(SESSION_ID_BYTES));
    const ageSeconds = nowSeconds - firstSeconds;
    if (ageSeconds < -FUTURE_SECONDS_MAX || ageSeconds >= this.#lifetimeSeconds) return "expired";
    return { sessionId: Buffer.from(body.subarray(0, SESSION_ID_BYTES)), firstSeconds };
  }

  /** A key for each certificate's name: stock binds a token to the username alone. */
  #keyOf({ commonName, entry = "" }: TokenOwner): Buffer {
    const key = createHmac("sha256", this.#secret).update(`auth-token ${commonName}`);
    return key.update(`\0${entry}`).digest();
  }
}

/** The bytes in front of the HMAC. */
export function tokenBody(sessionId: Buffer, firstSeconds: number, renewedSeconds: number): Buffer {
  const times = Buffer.alloc(2 * TIME_BYTES);
  times.writeBigUInt64BE(BigInt(firstSeconds), 0);
  times.writeBigUInt64BE(BigInt(renewedSeconds), TIME_BYTES);
  return Buffer.concat([sessionId, times]);
}

/** HMAC over username and body, as stock computes it. */
export function tokenMac(key: Buffer, username: string, body: Buffer): Buffer {
  return createHmac("sha256", key).update(username, "utf8").update(body).digest();
}
