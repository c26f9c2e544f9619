/** Username and password on their way through both ends, with a verdict that takes its time. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Credentials } from "./credentials.ts";
import { configOf, createIdentities } from "./identities-harness.ts";
import type { Login, LoginAnswer, LoginQuestion } from "./login.ts";
import { closePairs, SessionPair } from "./session-pair-harness.ts";

const identities = await createIdentities();
afterEach(closePairs);

/** A verifier that answers when the test says so. */
class Verifier implements Login {
  readonly asked: LoginQuestion[] = [];
  readonly #answers: ((answer: LoginAnswer) => void)[] = [];

  check(question: LoginQuestion): Promise<LoginAnswer> {
    this.asked.push(question);
    const { promise, resolve } = Promise.withResolvers<LoginAnswer>();
    this.#answers.push(resolve);
    return promise;
  }

  answer(answer: LoginAnswer): void {
    const resolve = this.#answers.shift();
    assert(resolve !== undefined, "nothing was asked");
    resolve(answer);
  }
}

function pairOf(verifier: Verifier, credentials?: Credentials): SessionPair {
  return new SessionPair({
    client: configOf(identities, "client"),
    server: configOf(identities, "server"),
    clientSettings: credentials === undefined ? {} : { credentials },
    serverSettings: { login: verifier, remote: "192.0.2.7:4000" },
  });
}

const own = { username: "anna", password: "secret" };

test("nobody has keys before the verdict, and a right one brings keys and a token", async () => {
  const verifier = new Verifier();
  const credentials = new Credentials(own);
  const pair = pairOf(verifier, credentials);
  assert(await pair.run(() => verifier.asked.length === 1));
  await pair.pass(8000);
  assert.deepEqual([pair.clientLog.events, pair.serverLog.events], [[], []]);
  assert.deepEqual(verifier.asked, [{ ...own, commonName: "box", remote: "192.0.2.7:4000" }]);
  assert.equal(pair.hasEnded, false, "a verdict may take longer than a server may be silent");
  verifier.answer({ ok: true, token: "SESS_ID_AT_one" });
  assert(await pair.run(() => pair.isUp));
  assert.deepEqual(credentials.current, { username: "anna", password: "SESS_ID_AT_one" });
  assert.deepEqual(pair.clientLog.agreement?.pushed?.ignored, []);
  pair.close();
});

test("a renewal shows the token, and gets another one; the old key goes on meanwhile", async () => {
  const verifier = new Verifier();
  const credentials = new Credentials(own);
  const pair = pairOf(verifier, credentials);
  assert(await pair.run(() => verifier.asked.length === 1));
  verifier.answer({ ok: true, token: "SESS_ID_AT_one" });
  assert(await pair.run(() => pair.isUp));
  pair.client.renegotiate(pair.nowMs);
  assert(await pair.run(() => verifier.asked.length === 2));
  assert.equal(verifier.asked[1]?.password, "SESS_ID_AT_one");
  await pair.pass(5000);
  assert(!pair.serverLog.events.includes("install 1"));
  verifier.answer({ ok: true, token: "SESS_ID_AT_two" });
  assert(await pair.run(() => pair.clientLog.switches === 2 && pair.serverLog.switches === 2));
  assert.equal(credentials.current.password, "SESS_ID_AT_two");
  assert.equal(pair.clientLog.cause, undefined);
  pair.close();
});

test("a wrong password is told at both ends, with its reason and nothing else", async () => {
  const verifier = new Verifier();
  const pair = pairOf(verifier, new Credentials(own));
  assert(await pair.run(() => verifier.asked.length === 1));
  verifier.answer({ ok: false, reason: "account closed", isTemporary: false });
  assert(await pair.run(() => pair.hasEnded && pair.serverLog.cause !== undefined));
  assert.equal(pair.clientLog.cause, "authenticationFailed");
  assert.match(pair.clientLog.reason, /refuses this end: account closed; ask/);
  assert.equal(pair.serverLog.cause, "authenticationFailed");
  assert.match(pair.serverLog.reason, /^anna may not log in: account closed$/);
  assert.doesNotMatch(pair.serverLog.reason + pair.clientLog.reason, /secret/);
  assert.deepEqual([pair.clientLog.keys.size, pair.serverLog.keys.size], [0, 0]);
  pair.close();
});

test("a token that is refused is dropped, and the password is tried in the next session", async () => {
  const verifier = new Verifier();
  const credentials = new Credentials(own);
  credentials.takeToken("SESS_ID_AT_old");
  const pair = pairOf(verifier, credentials);
  assert(await pair.run(() => verifier.asked.length === 1));
  verifier.answer({ ok: false, reason: "SESSION: expired", isTemporary: false });
  assert(await pair.run(() => pair.hasEnded));
  assert.equal(pair.clientLog.cause, "peerRestarts");
  assert.match(pair.clientLog.reason, /SESSION: expired; trying the password/);
  assert.deepEqual(credentials.current, own);
  pair.close();
});

test("a verdict that cannot be had now is no refusal: the client is told when to come back", async () => {
  const verifier = new Verifier();
  const credentials = new Credentials(own);
  credentials.takeToken("SESS_ID_AT_one");
  const pair = pairOf(verifier, credentials);
  assert(await pair.run(() => verifier.asked.length === 1));
  verifier.answer({ ok: false, reason: "busy", isTemporary: true });
  assert(await pair.run(() => pair.hasEnded));
  assert.equal(pair.clientLog.cause, "peerRestarts");
  assert.match(pair.clientLog.reason, /cannot take this end now: busy; trying again in 30 s/);
  assert.equal(credentials.current.password, "SESS_ID_AT_one", "the token may still be good");
  pair.close();
});

test("a client without credentials is asked for them, and a verdict for nobody changes nothing", async () => {
  const verifier = new Verifier();
  const pair = pairOf(verifier);
  assert(await pair.run(() => verifier.asked.length === 1));
  assert.deepEqual([verifier.asked[0]?.username, verifier.asked[0]?.password], ["", ""]);
  pair.close();
  verifier.answer({ ok: true });
  await pair.pass(1000);
  assert.deepEqual([pair.serverLog.events, pair.serverLog.cause], [[], undefined]);
});
