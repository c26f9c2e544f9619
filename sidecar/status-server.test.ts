import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { Scratch } from "../test/support/scratch.ts";
import type { ProcessStatus } from "./control/status.ts";
import { serveStatus } from "./status-server.ts";

const status: ProcessStatus = {
  pid: 1,
  version: "0.1.0",
  since: "2026-08-01T00:00:00.000Z",
  tunnels: [],
  refused: [],
};

/** Everything that the socket says until it ends; `text` is written to it first. */
async function ask(path: string, text = ""): Promise<string> {
  const socket = connect(path);
  if (text !== "") socket.write(text);
  let answer = "";
  socket.on("data", (bytes: Buffer) => {
    answer += bytes.toString();
  });
  socket.on("error", () => undefined);
  await once(socket, "close");
  return answer;
}

test("whoever connects gets one JSON document and the end, whatever it sends", async () => {
  await using scratch = await Scratch.create();
  const server = await serveStatus(scratch.file("run"), () => status);
  for (const text of ["", "DELETE / HTTP/1.1\r\n\r\n", "\0".repeat(100_000)]) {
    assert.equal(await ask(server.path, text), `${JSON.stringify(status)}\n`);
  }
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(server.path)));
  assert(answers.every((answer) => answer.endsWith("}\n")));
  await server.close();
});

test("the status is the one of the moment", async () => {
  await using scratch = await Scratch.create();
  let pid = 1;
  const server = await serveStatus(scratch.file("run"), () => ({ ...status, pid: pid++ }));
  const asked = [await ask(server.path), await ask(server.path)].map(
    (text) => JSON.parse(text).pid,
  );
  assert.deepEqual(asked, [1, 2]);
  await server.close();
});

test("only the user that runs the process can connect", async () => {
  await using scratch = await Scratch.create();
  const server = await serveStatus(scratch.file("run"), () => status);
  assert.equal(statSync(server.path).mode & 0o777, 0o600);
  assert.equal(statSync(scratch.file("run")).mode & 0o777, 0o700);
  await server.close();
});

test("a socket that a killed process left is replaced, and nothing is left at the end", async () => {
  await using scratch = await Scratch.create();
  const first = await serveStatus(scratch.path, () => status);
  await first.close();
  writeFileSync(first.path, "left behind");
  const second = await serveStatus(scratch.path, () => status);
  assert.equal(second.path, first.path);
  assert.match(await ask(second.path), /"pid":1/);
  await second.close();
  assert(!existsSync(second.path));
});

test("a folder that cannot be written is an operating error that says what to do", async () => {
  await using scratch = await Scratch.create();
  writeFileSync(scratch.file("file"), "");
  await assert.rejects(
    serveStatus(scratch.file("file"), () => status),
    {
      code: "statusSocket",
      message: /name a writable folder with --run/,
    },
  );
});

test("a client that does not read is cut off, so that stopping does not wait for it", async () => {
  await using scratch = await Scratch.create();
  const large = { ...status, refused: [{ name: "x".repeat(4_000_000), problems: [] }] };
  const server = await serveStatus(scratch.path, () => large);
  const socket = connect(server.path);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.pause();
  const before = performance.now();
  await server.close();
  assert(performance.now() - before < 4000);
  socket.destroy();
});
