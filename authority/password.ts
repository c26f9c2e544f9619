/**
 * Passwords at rest: salted scrypt (RFC 7914, of the runtime), one line for each user, as
 * `fairlead password NAME` prints it: `NAME:scrypt$COST$BLOCK$PARALLEL$SALT$HASH`, both in base64.
 *
 * Invariant: comparing takes the same time for a wrong name and a wrong password, and no error holds
 * anything of a line but its number.
 */

import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/** A user who may log in. */
export interface User {
  readonly name: string;
  /** Everything behind the name's colon. */
  readonly hash: string;
}

/** What is wrong with a line. */
export interface UserProblem {
  readonly line: number;
  readonly text: string;
}

interface Parameters {
  /** N of scrypt: a power of two. */
  readonly cost: number;
  readonly block: number;
  readonly parallel: number;
}

/** 32 MiB and a tenth of a second for each try. */
const PARAMETERS: Parameters = { cost: 32_768, block: 8, parallel: 1 };
/** A line may ask for 128 MiB and not for more. */
const COST_MAX = 131_072;
const BLOCK_MAX = 8;
const PARALLEL_MAX = 4;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const USERS_MAX = 10_000;
const NAME = /^[^\s:#][^\s:]{0,127}$/;
/** What a name that nobody has is compared with. */
const NOBODY: string = printHash(PARAMETERS, Buffer.alloc(SALT_BYTES), Buffer.alloc(HASH_BYTES));

/** The hash of a new password, with a salt of its own. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  return printHash(PARAMETERS, salt, await derive(password, salt, PARAMETERS));
}

/** True for the right password of a user; `hash` is undefined for nobody, which takes as long. */
export async function isPassword(password: string, hash: string | undefined): Promise<boolean> {
  const parsed = parseHash(hash ?? NOBODY);
  if (parsed === undefined) return false;
  const found = await derive(password, parsed.salt, parsed.parameters);
  const isEqual = timingSafeEqual(found, parsed.hash);
  found.fill(0);
  return isEqual && hash !== undefined;
}

/** Reads the lines of a list of users; empty lines and those behind # count for nothing. */
export function parseUsers(text: string): { users: User[]; problems: UserProblem[] } {
  const users = new Map<string, User>();
  const problems: UserProblem[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    const problem = problemOf(users, name, line.slice(colon + 1));
    if (problem === undefined) users.set(name, { name, hash: line.slice(colon + 1) });
    else problems.push({ line: index + 1, text: problem });
  }
  if (users.size === 0 && problems.length === 0) {
    problems.push({ line: 1, text: "there is no user: add a line of fairlead password NAME" });
  }
  return { users: [...users.values()], problems };
}

function problemOf(
  users: ReadonlyMap<string, User>,
  name: string,
  hash: string,
): string | undefined {
  if (!NAME.test(name)) return "it is not NAME:HASH: make it with fairlead password NAME";
  if (users.has(name)) return `${name} is there a second time: remove one of both`;
  if (users.size >= USERS_MAX) return `there are more than ${USERS_MAX} users`;
  if (parseHash(hash) === undefined) {
    return `what follows ${name} is not a hash of ours: make the line with fairlead password ${name}`;
  }
  return undefined;
}

function parseHash(
  text: string,
): { parameters: Parameters; salt: Buffer; hash: Buffer } | undefined {
  const match =
    /^scrypt\$(\d{1,6})\$(\d{1,2})\$(\d)\$([A-Za-z0-9+/]{22,88}={0,2})\$([A-Za-z0-9+/]{43}=)$/.exec(
      text,
    );
  if (match === null) return undefined;
  const [cost, block, parallel] = match.slice(1, 4).map(Number) as [number, number, number];
  const isPower = cost >= 1024 && cost <= COST_MAX && (cost & (cost - 1)) === 0;
  if (!isPower || block < 1 || block > BLOCK_MAX || parallel < 1 || parallel > PARALLEL_MAX) {
    return undefined;
  }
  const [salt, hash] = match.slice(4, 6).map((part) => Buffer.from(part, "base64"));
  if (salt === undefined || hash?.length !== HASH_BYTES) return undefined;
  return { parameters: { cost, block, parallel }, salt, hash };
}

function printHash({ cost, block, parallel }: Parameters, salt: Buffer, hash: Buffer): string {
  const bytes = [salt, hash].map((part) => part.toString("base64"));
  return ["scrypt", cost, block, parallel, ...bytes].join("$");
}

function derive(password: string, salt: Buffer, parameters: Parameters): Promise<Buffer> {
  const { cost, block, parallel } = parameters;
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  // Twice what the algorithm needs: the runtime counts its own share as well.
  const options = { N: cost, r: block, p: parallel, maxmem: 256 * cost * block * parallel };
  scrypt(password.normalize("NFC"), salt, HASH_BYTES, options, (error, hash) => {
    if (error === null) resolve(hash);
    else reject(error);
  });
  return promise;
}
