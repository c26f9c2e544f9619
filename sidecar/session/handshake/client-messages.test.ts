/** What a server may say to a client beside PUSH_REPLY, and what comes of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClientRole } from "./client-role.ts";
import { ControlSession, HAND_WINDOW_MS } from "./control-session.ts";
import { createControlWrap } from "./control-wrap.ts";
import type { SessionEvents } from "./session-outcome.ts";

interface Said {
  readonly role: ClientRole;
  readonly session: ControlSession;
  readonly words: string[];
  readonly retries: (number | undefined)[];
}

function client(): Said {
  const words: string[] = [];
  const retries: (number | undefined)[] = [];
  const events: SessionEvents = {
    installKeys: () => assert.fail("no keys"),
    installEpochs: () => assert.fail("no keys"),
    sendWith: () => assert.fail("no keys"),
    retireKey: () => undefined,
    established: () => assert.fail("nothing was agreed"),
    renegotiated: () => undefined,
    updated: () => assert.fail("nothing was agreed"),
    notice: (message) => words.push(message),
    ended: (cause, message, retryMs) => {
      words.push(`${cause}: ${message}`);
      retries.push(retryMs);
    },
  };
  const session = new ControlSession({
    sessionId: Buffer.alloc(8, 1),
    wrap: createControlWrap({ kind: "None" }, "client"),
    startSeconds: 0,
    firstPacketId: 1,
    host: {
      createTls: () => assert.fail("no TLS"),
      send: () => undefined,
      wake: () => undefined,
    },
  });
  const settings = {
    version: "0",
    ciphers: ["AES-256-GCM"],
    mtu: "Auto",
    mtuBytesDefault: 1500,
    isIpv6: false,
  } as const;
  const role = new ClientRole(session, settings, events);
  session.start(role, 0);
  return { role, session, words, retries };
}

const ENDS: readonly (readonly [string, RegExp])[] = [
  ["AUTH_FAILED", /^authenticationFailed: .*no reason/],
  ["AUTH_FAILED,wrong password", /^authenticationFailed: .*wrong password/],
  ["AUTH_FAILED,TEMP[backoff 42]:database down", /^peerRestarts: .*database down/],
  ["RESTART", /^peerRestarts: /],
  ["EXIT", /^peerLeft: /],
  ["HALT", /^peerLeft: /],
];

for (const [text, expected] of ENDS) {
  test(`${text} ends the session with its own cause`, () => {
    const { role, words } = client();
    role.text(text);
    assert.equal(words.length, 1);
    assert.match(words[0] ?? "", expected);
  });
}

for (const [text, retryMs, why] of [
  ["AUTH_FAILED,TEMP[backoff 42,advance no]: try later", 42_000, "try later"],
  ["AUTH_FAILED,TEMP[advance remote,backoff 7]:later", 7000, "later"],
  ["AUTH_FAILED,TEMP:later", 0, "later"],
  ["AUTH_FAILED,TEMP", 0, "it gives no reason"],
  ["AUTH_FAILED,TEMP[backoff 999999]", 3_600_000, "it gives no reason"],
  ["AUTH_FAILED,TEMP[backoff -1", 0, "[backoff -1"],
] as const) {
  test(`${text} is heeded: not before ${retryMs} ms`, () => {
    const { role, words, retries } = client();
    role.text(text);
    assert.deepEqual(retries, [retryMs]);
    assert(words[0]?.startsWith(`peerRestarts: the server cannot take this end now: ${why}; `));
  });
}

test("INFO is shown, with nothing in it that a terminal obeys", () => {
  const { role, words } = client();
  role.text("INFO,maintenance at \u001b[31m8");
  role.text("INFO_PRE,WEB_AUTH::https://login.example.org/?a=1,b");
  assert.deepEqual(words, [
    "the server says: maintenance at ?[31m8",
    "the server says: WEB_AUTH::https://login.example.org/?a=1,b",
  ]);
});

test("AUTH_PENDING makes the handshake longer, and not longer than five minutes", () => {
  for (const [text, endMs] of [
    ["AUTH_PENDING", HAND_WINDOW_MS],
    ["AUTH_PENDING,timeout 120", 120_000],
    ["AUTH_PENDING,timeout 1", HAND_WINDOW_MS],
    ["AUTH_PENDING,timeout 999999", 300_000],
  ] as const) {
    const { role, session, words } = client();
    role.text(text);
    session.step(endMs - 1);
    assert.equal(words.length, 1, text);
    session.step(endMs);
    assert.match(words[1] ?? "", /^handshakeTimeout: /, text);
  }
});
