/**
 * Ports that came up are asked at once what they have joined, and again while their hosts get
 * ready. One invariant: a port is asked three times at most for each time that it came up.
 */

const QUERIES = 3;
const INTERVAL_MS = 1500;

/** The fresh ports of one switch or router. */
export class PortQueries {
  readonly #left: Uint8Array;
  readonly #dueMs: Int32Array;

  constructor(portsMax: number) {
    this.#left = new Uint8Array(portsMax);
    this.#dueMs = new Int32Array(portsMax);
  }

  ready(port: number, nowMs: number): void {
    this.#left[port] = QUERIES;
    this.#dueMs[port] = nowMs;
  }

  closed(port: number): void {
    this.#left[port] = 0;
  }

  /** Names each port that is to be asked now. */
  tick(nowMs: number, ask: (port: number) => void): void {
    for (let port = 0; port < this.#left.length; port++) {
      const left = this.#left[port] as number;
      if (left === 0 || ((nowMs - (this.#dueMs[port] as number)) | 0) < 0) continue;
      this.#left[port] = left - 1;
      this.#dueMs[port] = (nowMs + INTERVAL_MS) | 0;
      ask(port);
    }
  }
}
