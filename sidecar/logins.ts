/**
 * Usernames and passwords at a listening end: a list of salted hashes, or a program behind a unix
 * socket, and tokens for who was right once. One invariant: whoever guesses gets a few tries and
 * then one every twelve seconds, and an answer is there within ten seconds, whatever is asked.
 */

import { randomBytes } from "node:crypto";
import { createConnection } from "node:net";
import { isPassword } from "../authority/password.ts";
import type { LimitedLog } from "./control/limited-log.ts";
import type { LoginConfig } from "./control/tunnel-config.ts";
import { LOGIN_BURST, LOGIN_EVERY_MS, LOGINS_AT_ONCE_MAX, LOGINS_WAITING_MAX } from "./limits.ts";
import type { PeerContext } from "./peer-session.ts";
import { AuthTokens, isAuthToken, type TokenOwner } from "./session/handshake/auth-token.ts";
import type { Login, LoginAnswer, LoginQuestion } from "./session/handshake/login.ts";

/** What logins take from around them. */
export interface LoginSurroundings {
  /** Key of the tokens: 32 bytes of this process. */
  readonly secret: Buffer;
  readonly nowMs: () => number;
  /** Seconds since 1970 that never go back. */
  readonly wallSeconds: () => number;
  readonly after: (then: () => void, delayMs: number) => void;
  /** A line about the verifier itself, not about who asked. */
  readonly troubled: (message: string) => void;
}

/** Longest that a verifier may take. */
const LOGIN_MS_MAX = 10_000;
/** Longest answer of a program behind a socket. */
const ANSWER_BYTES_MAX = 4096;
const SECRET_BYTES = 32;

const WRONG = refused("the username or the password is wrong");
const NEEDED = refused("this server asks for a username and a password: give them to your client");
const TOKEN_INVALID = refused("SESSION: the auth-token is not valid: log in again");
const TOKEN_EXPIRED = refused("SESSION: the auth-token has expired: log in again");
const TOO_MANY = unavailable("too many wrong passwords for this certificate: wait a minute");
const TOO_BUSY = unavailable("too many log in at once");
const TOO_SLOW = unavailable("whoever knows the passwords did not answer in time");
const BROKEN = unavailable("whoever knows the passwords cannot be asked");

/** Everybody's logins of one tunnel. */
export class Logins {
  readonly #around: LoginSurroundings;
  #config: LoginConfig;
  #tokens: AuthTokens;
  readonly #tries = new Map<string, { left: number; atMs: number }>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(config: LoginConfig, around: LoginSurroundings) {
    this.#config = config;
    this.#around = around;
    this.#tokens = new AuthTokens(around.secret, config.tokenSeconds);
  }

  /** Takes another list or verifier; the usernames whose entry is gone or another one. */
  update(config: LoginConfig): ReadonlySet<string> {
    const changed = (this.#config.users ?? []).filter(
      ({ name, hash }) => config.users !== undefined && entryOf(config, name) !== hash,
    );
    this.#config = config;
    this.#tokens = new AuthTokens(this.#around.secret, config.tokenSeconds);
    return new Set(changed.map(({ name }) => name));
  }

  /** The logins of one session: a token of another session is worth nothing in it. */
  session(): Login {
    let sessionId: Buffer | undefined;
    return {
      check: async (question) => {
        const { username, password } = question;
        if (username === "" || password === "") return NEEDED;
        const nowSeconds = this.#around.wallSeconds();
        if (!isAuthToken(password) || this.#config.tokenSeconds === 0) {
          const verdict = await this.#checkPassword(question);
          return verdict.ok ? this.#withToken(question, nowSeconds) : verdict;
        }
        const facts = this.#tokens.read(password, this.#ownerOf(question), nowSeconds);
        if (facts === "expired") return TOKEN_EXPIRED;
        if (facts === "invalid" || sessionId?.equals(facts.sessionId) === false) {
          return TOKEN_INVALID;
        }
        sessionId = facts.sessionId;
        const token = this.#tokens.issue(this.#ownerOf(question), nowSeconds, facts);
        return { ok: true, token };
      },
    };
  }

  #withToken(question: LoginQuestion, nowSeconds: number): LoginAnswer {
    if (this.#config.tokenSeconds === 0) return { ok: true };
    return { ok: true, token: this.#tokens.issue(this.#ownerOf(question), nowSeconds) };
  }

  #ownerOf({ username, commonName }: LoginQuestion): TokenOwner {
    return { username, commonName, entry: entryOf(this.#config, username) };
  }

  async #checkPassword(question: LoginQuestion): Promise<LoginAnswer> {
    const { commonName } = question;
    if (this.#triesOf(commonName).left < 1) return TOO_MANY;
    // Taken before the answer: many questions at once are as many tries.
    this.#charge(commonName, 1);
    if (!(await this.#turn())) {
      this.#charge(commonName, -1);
      return TOO_BUSY;
    }
    try {
      const verdict = await this.#limited(question);
      if (verdict.ok || verdict.isTemporary) this.#charge(commonName, -1);
      return verdict;
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** The verifier's answer, or that there was none in time. */
  async #limited(question: LoginQuestion): Promise<LoginAnswer> {
    const { promise, resolve } = Promise.withResolvers<LoginAnswer>();
    const stop = new AbortController();
    this.#around.after(() => {
      stop.abort();
      resolve(TOO_SLOW);
    }, LOGIN_MS_MAX);
    this.#ask(question, stop.signal).then(resolve, (error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      if (!stop.signal.aborted) this.#around.troubled(why);
      resolve(BROKEN);
    });
    return await promise;
  }

  async #ask(question: LoginQuestion, signal: AbortSignal): Promise<LoginAnswer> {
    const { socket } = this.#config;
    if (socket !== undefined) return await askSocket(socket, question, signal);
    const hash = entryOf(this.#config, question.username);
    const isRight = await isPassword(question.password, hash);
    // The list may have changed in the tenth of a second that this takes.
    return isRight && entryOf(this.#config, question.username) === hash ? { ok: true } : WRONG;
  }

  /** Waits for one of the places; false when too many wait already. */
  async #turn(): Promise<boolean> {
    if (this.#running >= LOGINS_AT_ONCE_MAX) {
      if (this.#waiting.length >= LOGINS_WAITING_MAX) return false;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    }
    this.#running += 1;
    return true;
  }

  /** Only names of believed certificates come here: there are as many as peers. */
  #charge(commonName: string, count: number): void {
    const { left, atMs } = this.#triesOf(commonName);
    this.#tries.set(commonName, { left: left - count, atMs });
  }

  #triesOf(commonName: string): { left: number; atMs: number } {
    const nowMs = this.#around.nowMs();
    const known = this.#tries.get(commonName);
    if (known === undefined) return { left: LOGIN_BURST, atMs: nowMs };
    const left = Math.min(LOGIN_BURST, known.left + (nowMs - known.atMs) / LOGIN_EVERY_MS);
    return { left, atMs: nowMs };
  }
}

function entryOf({ users }: LoginConfig, username: string): string | undefined {
  return users?.find((user) => user.name === username)?.hash;
}

/** One line of JSON there, one back: `{"ok":true}` or `{"ok":false,"reason":"…"}`. */
async function askSocket(
  path: string,
  question: LoginQuestion,
  signal: AbortSignal,
): Promise<LoginAnswer> {
  const socket = createConnection({ path, signal }).setEncoding("utf8");
  try {
    socket.write(`${JSON.stringify(question)}\n`);
    let text = "";
    for await (const chunk of socket as AsyncIterable<string>) {
      text += chunk;
      if (text.includes("\n")) break;
      if (text.length > ANSWER_BYTES_MAX) throw new Error(`${path}: its answer has no end`);
    }
    return parseAnswer(text.split("\n")[0] ?? "", path);
  } finally {
    socket.destroy();
  }
}

function parseAnswer(line: string, path: string): LoginAnswer {
  let answer: unknown;
  try {
    answer = JSON.parse(line);
  } catch (cause) {
    throw new Error(`${path}: its answer is not a line of JSON`, { cause });
  }
  const { ok, reason } = (answer ?? {}) as { readonly ok?: unknown; readonly reason?: unknown };
  if (ok === true) return { ok: true };
  if (ok !== false) throw new Error(`${path}: its answer has no "ok"`);
  // A comma begins another field in a control message.
  if (typeof reason !== "string" || reason === "") return WRONG;
  return refused(reason.replace(/[^\x20-\x7e]|,/g, " ").slice(0, 200));
}

function refused(reason: string): LoginAnswer {
  return { ok: false, reason, isTemporary: false };
}

function unavailable(reason: string): LoginAnswer {
  return { ok: false, reason, isTemporary: true };
}

/** The logins of a tunnel whose configuration asks for them. */
export function loginsOf(
  config: LoginConfig | undefined,
  { context, limitedLog }: { readonly context: PeerContext; readonly limitedLog: LimitedLog },
): Logins | undefined {
  if (config === undefined) return undefined;
  return new Logins(config, {
    secret: randomBytes(SECRET_BYTES),
    nowMs: context.nowMs,
    wallSeconds: context.packetSeconds,
    after: context.linger,
    troubled: (why) => limitedLog.warn("login", { cause: why }, "nobody can decide on a login"),
  });
}
