import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { test } from "node:test";
import { hashPassword } from "../authority/password.ts";
import { Scratch } from "../test/support/scratch.ts";
import type { LoginConfig } from "./control/tunnel-config.ts";
import { LOGIN_BURST, LOGIN_EVERY_MS, LOGINS_AT_ONCE_MAX, LOGINS_WAITING_MAX } from "./limits.ts";
import { Logins } from "./logins.ts";
import type { Login, LoginAnswer } from "./session/handshake/login.ts";

const users = [{ name: "anna", hash: await hashPassword("right") }];

class Bench {
  nowMs = 0;
  commonName = "box";
  wallSeconds = 1_800_000_000;
  readonly troubles: string[] = [];
  readonly limits: (() => void)[] = [];
  readonly logins: Logins;

  constructor(config: Partial<LoginConfig> = { users }) {
    const around = {
      secret: Buffer.alloc(32, 1),
      nowMs: () => this.nowMs,
      wallSeconds: () => this.wallSeconds,
      after: (then: () => void) => void this.limits.push(then),
      troubled: (message: string) => void this.troubles.push(message),
    };
    this.logins = new Logins({ tokenSeconds: 3600, ...config }, around);
  }

  async check(login: Login, username: string, password: string): Promise<LoginAnswer> {
    const question = { username, password, commonName: this.commonName };
    return await login.check({ ...question, remote: "192.0.2.1:1" });
  }
}

function reasonOf(answer: LoginAnswer): string {
  return answer.ok ? "in" : `${answer.isTemporary ? "later: " : ""}${answer.reason}`;
}

/** A program behind a socket, each connection answered by `answer`. */
async function program(answer: (line: string) => string | undefined): Promise<{
  readonly path: string;
  readonly server: Server;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const scratch = await Scratch.create();
  const path = scratch.file("login.sock");
  const server = createServer((socket) => {
    socket.setEncoding("utf8");
    socket.on("error", () => undefined);
    socket.on("data", (text: string) => {
      const reply = answer(text);
      if (reply !== undefined) socket.end(reply);
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(path, resolve);
  await promise;
  const close = async (): Promise<void> => {
    server.close();
    await scratch[Symbol.asyncDispose]();
  };
  return { path, server, [Symbol.asyncDispose]: close };
}

test("the right password is let in with a token, everything else hears why not", async () => {
  const bench = new Bench();
  const login = bench.logins.session();
  const right = await bench.check(login, "anna", "right");
  assert(right.ok && right.token?.startsWith("SESS_ID_AT_") === true);
  const wrong = /^the username or the password is wrong$/;
  assert.match(reasonOf(await bench.check(login, "anna", "wrong")), wrong);
  assert.match(reasonOf(await bench.check(login, "bert", "right")), wrong);
  for (const [name, password] of [
    ["", ""],
    ["anna", ""],
    ["", "right"],
  ] as const) {
    assert.match(reasonOf(await bench.check(login, name, password)), /asks for a username/);
  }
});

test("a token stands for the password, in its own session and in a new one, until it expires", async () => {
  const bench = new Bench();
  const [one, other] = [bench.logins.session(), bench.logins.session()];
  const first = await bench.check(one, "anna", "right");
  assert(first.ok && first.token !== undefined);
  const second = await bench.check(one, "anna", first.token);
  assert(second.ok && second.token !== undefined);
  const foreign = await bench.check(other, "anna", "right");
  assert(foreign.ok && foreign.token !== undefined);
  assert.match(reasonOf(await bench.check(one, "anna", foreign.token)), /^SESSION: .*not valid/);
  assert.match(reasonOf(await bench.check(one, "bert", second.token)), /^SESSION: .*not valid/);
  bench.wallSeconds += 3599;
  assert((await bench.check(bench.logins.session(), "anna", second.token)).ok, "at a reconnect");
  bench.wallSeconds += 1;
  assert.match(reasonOf(await bench.check(one, "anna", second.token)), /^SESSION: .*expired/);
});

test("a changed list says who is gone or changed, and their tokens are worth nothing again", async () => {
  const bert = { name: "bert", hash: await hashPassword("also") };
  const bench = new Bench({ users: [...users, bert] });
  const tokens = new Map<string, string>();
  for (const [name, password] of [
    ["anna", "right"],
    ["bert", "also"],
  ] as const) {
    const answer = await bench.check(bench.logins.session(), name, password);
    assert(answer.ok && answer.token !== undefined);
    tokens.set(name, answer.token);
  }
  const enter = async (name: string, secret = tokens.get(name) ?? ""): Promise<string> =>
    reasonOf(await bench.check(bench.logins.session(), name, secret));
  const list = (...entries: LoginConfig["users"] & {}) => ({ users: entries, tokenSeconds: 3600 });
  assert.deepEqual(bench.logins.update(list(bert, ...users)), new Set(), "another order");
  assert.equal(await enter("anna"), "in");
  const renewed = { name: "anna", hash: await hashPassword("right") };
  assert.deepEqual(bench.logins.update(list(renewed, bert)), new Set(["anna"]), "another salt");
  assert.match(await enter("anna"), /^SESSION: .*not valid/);
  assert.equal(await enter("anna", "right"), "in");
  assert.equal(await enter("bert"), "in");
  assert.deepEqual(bench.logins.update(list(renewed)), new Set(["bert"]));
  assert.match(await enter("bert"), /^SESSION: .*not valid/);
  assert.match(await enter("bert", "also"), /password is wrong/);
});

test("who is taken from the list while the password is compared is not let in", async () => {
  const bench = new Bench();
  const answer = bench.check(bench.logins.session(), "anna", "right");
  assert.deepEqual(bench.logins.update({ users: [], tokenSeconds: 3600 }), new Set(["anna"]));
  assert.match(reasonOf(await answer), /password is wrong/);
});

test("without tokens a token is a wrong password, and none is given", async () => {
  const given = await new Bench().check(new Bench().logins.session(), "anna", "right");
  assert(given.ok && given.token !== undefined);
  const bench = new Bench({ users, tokenSeconds: 0 });
  assert.deepEqual(await bench.check(bench.logins.session(), "anna", "right"), { ok: true });
  const answer = await bench.check(bench.logins.session(), "anna", given.token);
  assert.match(reasonOf(answer), /password is wrong/);
});

test("who guesses gets a few tries and then one every twelve seconds, the right one included", async () => {
  const bench = new Bench();
  const login = bench.logins.session();
  const guess = async (): Promise<string> => reasonOf(await bench.check(login, "anna", "guess"));
  for (let count = 0; count < LOGIN_BURST; count++) assert.match(await guess(), /^the username/);
  assert.match(await guess(), /^later: too many/);
  assert.match(reasonOf(await bench.check(login, "anna", "right")), /^later: too many/);
  bench.nowMs += LOGIN_EVERY_MS;
  assert.match(await guess(), /^the username/);
  assert.match(await guess(), /^later: too many/);
  bench.nowMs += LOGIN_EVERY_MS;
  assert((await bench.check(login, "anna", "right")).ok);
  assert((await bench.check(login, "anna", "right")).ok, "what is right costs no try");
});

test("guesses made at once are bounded as guesses one after the other", async () => {
  const bench = new Bench();
  const guesses = Array.from({ length: 4 * LOGIN_BURST }, (_, index) =>
    bench.check(bench.logins.session(), "anna", `guess ${index}`),
  );
  const outcomes = (await Promise.all(guesses)).map(reasonOf);
  assert.equal(outcomes.filter((text) => text.startsWith("the username")).length, LOGIN_BURST);
  assert.equal(outcomes.filter((text) => text.startsWith("later: too many")).length, 15);
});

test("a program decides, is told who asks, and its reason is passed on", async () => {
  const asked: unknown[] = [];
  await using other = await program((line) => {
    const question = JSON.parse(line) as { username: string };
    asked.push(question);
    if (question.username === "anna") return '{"ok":true}\n';
    if (question.username === "bert") return '{"ok":false,"reason":"bert, come\\nback"}\n';
    return question.username === "cleo" ? '{"ok":false}\n' : "what?\n";
  });
  const bench = new Bench({ socket: other.path });
  const login = bench.logins.session();
  assert((await bench.check(login, "anna", "x")).ok);
  const remote = "192.0.2.1:1";
  assert.deepEqual(asked, [{ username: "anna", password: "x", commonName: "box", remote }]);
  assert.equal(reasonOf(await bench.check(login, "bert", "x")), "bert  come back");
  assert.match(reasonOf(await bench.check(login, "cleo", "x")), /password is wrong/);
  assert.match(reasonOf(await bench.check(login, "dora", "x")), /^later: .*cannot be asked/);
  assert.match(bench.troubles.join(), /not a line of JSON/);
});

test("a program that is not there, or never answers, is no open door", async () => {
  const nobody = new Bench({ socket: "/nonexistent/login.sock" });
  const absent = await nobody.check(nobody.logins.session(), "anna", "x");
  assert.match(reasonOf(absent), /^later: .*cannot be asked/);
  assert.match(nobody.troubles.join(), /ENOENT/);
  await using mute = await program(() => undefined);
  const bench = new Bench({ socket: mute.path });
  const answer = bench.check(bench.logins.session(), "anna", "x");
  while (bench.limits.length === 0) await Promise.resolve();
  for (const limit of bench.limits) limit();
  assert.match(reasonOf(await answer), /^later: .*in time/);
  assert.deepEqual(bench.troubles, []);
});

test("so many are looked at, so many wait, and the next one is sent away", async () => {
  let isOpen = false;
  await using slow = await program(() => (isOpen ? '{"ok":true}\n' : undefined));
  const bench = new Bench({ socket: slow.path });
  const many = LOGINS_AT_ONCE_MAX + LOGINS_WAITING_MAX;
  const answers = Array.from({ length: many + 1 }, (_, index) => {
    bench.commonName = `box-${index}`;
    return bench.check(bench.logins.session(), "anna", "x");
  });
  assert.match(reasonOf((await answers.at(-1)) as LoginAnswer), /^later: too many log in at once/);
  isOpen = true;
  for (const limit of bench.limits.splice(0)) limit();
  const outcomes = (await Promise.all(answers.slice(0, many))).map(reasonOf);
  assert.equal(outcomes.filter((text) => text === "in").length, LOGINS_WAITING_MAX);
});
