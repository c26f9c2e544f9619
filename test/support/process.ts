/**
 * Programs that tests start: their output is kept up to a bound, they carry the owner's mark, die
 * with the process that started them, and are ended by signal to their own process group.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { OWNER_VARIABLE, ownOwner } from "./owner.ts";
import { pause, waitFor } from "./wait.ts";

const OUTPUT_BYTES_MAX = 1 << 20;
const STOP_GRACE_MS = 5_000;
const RUN_TIMEOUT_MS = 30_000;

/** How a program is started. */
export interface StartOptions {
  readonly directory?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Called with each complete line of standard output. */
  readonly onLine?: (line: string) => void;
}

/** How a program that ends by itself is run. */
export interface RunOptions extends StartOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** What a program that ended left. `status` is 128 + n after signal n, as a shell says it. */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs beside the test. */
export class Program implements AsyncDisposable {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #stdout = new BoundedText();
  readonly #stderr = new BoundedText();
  readonly #all = new BoundedText();
  #status: number | undefined;
  #failure: Error | undefined;

  private constructor(command: readonly string[], options: StartOptions) {
    const [file, ...rest] = command;
    assert(file !== undefined, "a command has at least its program");
    this.name = file;
    // setpriv: the kernel ends the program when this process dies, even by SIGKILL.
    this.#child = spawn("setpriv", ["--pdeathsig", "KILL", "--", file, ...rest], {
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
      ...(options.directory === undefined ? {} : { cwd: options.directory }),
      env: { ...process.env, [OWNER_VARIABLE]: ownOwner(), ...options.environment },
    });
    this.#listen(options.onLine);
  }

  /** Starts `command` (program and arguments, no shell). */
  static start(command: readonly string[], options: StartOptions = {}): Program {
    return new Program(command, options);
  }

  get pid(): number {
    assert(this.#child.pid !== undefined, `${this.name} was not started`);
    return this.#child.pid;
  }

  /** Exit status once it has ended, 128 + n after signal n. */
  get status(): number | undefined {
    return this.#status;
  }

  get stdout(): string {
    return this.#stdout.text;
  }

  get stderr(): string {
    return this.#stderr.text;
  }

  /** Both outputs in order of arrival; the oldest part is gone after a mebibyte. */
  get output(): string {
    return this.#all.text;
  }

  /** Writes to its standard input; without effect once it has closed it. */
  write(text: string): void {
    if (this.#child.stdin?.writable === true) this.#child.stdin.write(text);
  }

  closeInput(): void {
    this.#child.stdin?.end();
  }

  /** Sends a signal to the program and what it started. */
  signal(name: NodeJS.Signals): void {
    if (this.#status !== undefined || this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  /** Waits for its end and returns the exit status; throws when the time is up. */
  async waitForEnd(timeoutMs: number = RUN_TIMEOUT_MS): Promise<number> {
    return await waitFor(
      () => `the end of ${this.name}; so far: ${this.output.slice(-2000)}`,
      () => {
        if (this.#failure !== undefined) throw this.#failure;
        return this.#status;
      },
      timeoutMs,
    );
  }

  /** Waits until its output matches; throws at once, with the output, when it ends before. */
  async waitForOutput(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpExecArray> {
    return await waitFor(
      () => `${pattern} in the output of ${this.name}:\n${this.output.slice(-4000)}`,
      () => {
        const match = pattern.exec(this.output);
        if (match !== null) return match;
        if (this.#failure !== undefined) throw this.#failure;
        assert(
          this.#status === undefined,
          `${this.name} ended with ${this.#status} before ${pattern}:\n${this.output.slice(-4000)}`,
        );
        return undefined;
      },
      timeoutMs,
    );
  }

  /** Ends it: SIGTERM, and SIGKILL when that does not help. Returns the exit status. */
  async stop(graceMs: number = STOP_GRACE_MS): Promise<number> {
    if (this.#failure !== undefined) return 127;
    this.signal("SIGTERM");
    const deadline = performance.now() + graceMs;
    while (this.#status === undefined && performance.now() < deadline) {
      await pause(10);
    }
    this.signal("SIGKILL");
    return await this.waitForEnd();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #listen(onLine: ((line: string) => void) | undefined): void {
    const child = this.#child;
    let partial = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      this.#stdout.add(chunk);
      this.#all.add(chunk);
      if (onLine === undefined) return;
      const lines = (partial + chunk).split("\n");
      partial = lines.pop() ?? "";
      for (const line of lines) onLine(line);
    });
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      this.#stderr.add(chunk);
      this.#all.add(chunk);
    });
    // A program that ends while we write is seen by its status.
    child.stdin?.on("error", () => undefined);
    child.on("error", (error) => {
      this.#failure = error;
    });
    child.on("close", (code, signal) => {
      this.#status = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
    });
  }
}

/** Runs a program to its end. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const program = Program.start(command, options);
  if (options.input !== undefined) program.write(options.input);
  program.closeInput();
  try {
    const status = await program.waitForEnd(options.timeoutMs ?? RUN_TIMEOUT_MS);
    return { status, stdout: program.stdout, stderr: program.stderr };
  } catch (error) {
    program.signal("SIGKILL");
    throw error;
  }
}

/** Runs a program that must succeed, and returns its standard output. */
export async function runFine(
  command: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await run(command, options);
  assert(status === 0, `${command.join(" ")}: status ${status}: ${(stderr + stdout).slice(-4000)}`);
  return stdout;
}

/** The newest part of a text, at most so many characters. */
class BoundedText {
  #text = "";

  get text(): string {
    return this.#text;
  }

  add(chunk: string): void {
    this.#text += chunk;
    if (this.#text.length > OUTPUT_BYTES_MAX) this.#text = this.#text.slice(-OUTPUT_BYTES_MAX / 2);
  }
}
