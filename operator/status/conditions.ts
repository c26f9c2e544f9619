/**
 * `metav1.Condition` lists. Invariants: the time of a condition changes only with its status; the
 * order is that of the types given; the same input gives the same list, so an unchanged status is
 * seen as unchanged and not written.
 */

/** One condition as it is on the wire. */
export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

/** A condition before it has its time. */
export type Verdict = Pick<Condition, "type" | "status" | "reason" | "message">;

/** Puts times and the generation on verdicts, from what was there before. */
export function stampConditions(
  verdicts: readonly Verdict[],
  former: readonly Condition[] | undefined,
  now: { readonly generation: number; readonly wallMs: number },
): readonly Condition[] {
  const time = `${new Date(now.wallMs).toISOString().slice(0, 19)}Z`;
  return verdicts.map((verdict) => {
    const known = former?.find(({ type }) => type === verdict.type);
    const isSame = known?.status === verdict.status;
    const { type, status, reason, message } = verdict;
    const lastTransitionTime = isSame ? known.lastTransitionTime : time;
    return {
      type,
      status,
      observedGeneration: now.generation,
      lastTransitionTime,
      reason,
      message,
    };
  });
}

/** A verdict that holds. */
export function holds(type: string, reason: string, message: string): Verdict {
  return { type, status: "True", reason, message };
}

/** A verdict that does not hold; `message` ends with the next step. */
export function fails(type: string, reason: string, message: string): Verdict {
  return { type, status: "False", reason, message };
}

/** A verdict about what cannot be known yet. */
export function unknown(type: string, reason: string, message: string): Verdict {
  return { type, status: "Unknown", reason, message };
}
