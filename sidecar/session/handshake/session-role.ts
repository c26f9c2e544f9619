/** What a control session asks of its role: the decisions that differ between both ends. */
import type { KeyNegotiation } from "./key-negotiation.ts";

/** Decisions that differ between dialling and listening. */
export interface SessionRole {
  readonly name: "client" | "server";
  /** TLS of a key is up; the client writes its key-method-2 message now. */
  secure(key: KeyNegotiation): void;
  /** Both random halves are known as far as this end is concerned. */
  keyMethod(key: KeyNegotiation): void;
  text(text: string): void;
  /** Repeats what is due; `nextDueMs` says when to call again. */
  step(nowMs: number): void;
  readonly nextDueMs: number;
  /** Hand the new sending key to the data plane. */
  sendWith(key: KeyNegotiation): void;
  /** This key id is no longer received with. */
  retire(key: KeyNegotiation): void;
  renegotiated(key: KeyNegotiation): void;
  failed(code: string, message: string): void;
}
