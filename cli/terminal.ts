/**
 * Questions to a person at a terminal. One invariant: a secret is never shown while it is typed, and
 * nothing is asked where nobody can answer.
 */

import process from "node:process";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { text as readAll } from "node:stream/consumers";
import { UsageError } from "./process-state.ts";

/** Whether somebody is there to be asked. */
export function isAsking(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** One line that may be seen. */
export async function askLine(question: string): Promise<string> {
  return await ask(question, process.stderr);
}

/** One line that is not shown. */
export async function askSecret(question: string): Promise<string> {
  process.stderr.write(question);
  const muted = new Writable({ write: (_chunk, _encoding, done) => done() });
  try {
    return await ask("", muted);
  } finally {
    process.stderr.write("\n");
  }
}

/** A new secret, twice; from a pipe its first line. */
export async function askNewSecret(question: string): Promise<string> {
  if (!isAsking()) return (await readAll(process.stdin)).split(/\r?\n/)[0] ?? "";
  const secret = await askSecret(`${question}: `);
  if (secret === (await askSecret(`${question}, again: `))) return secret;
  throw new UsageError("the two are not the same: start again");
}

async function ask(question: string, output: NodeJS.WritableStream): Promise<string> {
  const asking = createInterface({ input: process.stdin, output, terminal: true });
  const stop = new AbortController();
  asking.on("SIGINT", () => stop.abort());
  asking.on("close", () => stop.abort());
  try {
    return await asking.question(question, { signal: stop.signal });
  } catch (cause) {
    throw new UsageError("nothing was entered", { cause });
  } finally {
    asking.close();
  }
}
