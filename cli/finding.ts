/** What `fairlead doctor` says: one thing that is wrong, why, and what to do about it. */

/** One finding. */
export interface Finding<Code extends string> {
  /** One word for programs. */
  readonly code: Code;
  /** What it is about: `VpnPeer lab/box-7`. */
  readonly about: string;
  readonly cause: string;
  readonly step: string;
}

/** The gravest first, in the order of `codes`. */
export function byGravity<Code extends string>(
  findings: readonly Finding<Code>[],
  codes: readonly Code[],
): readonly Finding<Code>[] {
  return findings.toSorted((a, b) => codes.indexOf(a.code) - codes.indexOf(b.code));
}

/** The findings as a person reads them; `looked` says what there was to look at. */
export function findingsText(findings: readonly Finding<string>[], looked: string): string {
  if (findings.length === 0) return `${looked}: nothing is wrong\n`;
  return findings
    .map(
      ({ about, cause, code, step }) => `${code}  ${about}\n  cause: ${cause}\n  next:  ${step}\n`,
    )
    .join("\n");
}
