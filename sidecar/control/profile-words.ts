/** Helpers for reading the words of a directive: a place, a refusal, a number in its range. */

import type { Directive } from "./ovpn-file.ts";
import type { Placed, ProfileDraft } from "./profile-draft.ts";

/** Puts one directive into the draft. */
export type Apply = (draft: ProfileDraft, directive: Directive) => void;

/** A value with the directive's line. */
export function placeOf<Value>(value: Value, directive: Directive): Placed<Value> {
  return { value, line: directive.line };
}

/** Adds a problem about the directive. `what` continues the sentence after its name. */
export function refuse(
  draft: Pick<ProfileDraft, "problems">,
  directive: Directive,
  what: string,
): void {
  draft.problems.push(`line ${directive.line}: ${directive.name} is refused: ${what}`);
}

/** The first word as a whole number; adds a problem and returns undefined when it is none. */
export function numberWord(
  draft: ProfileDraft,
  directive: Directive,
  smallest: number,
  largest: number,
): number | undefined {
  const word = directive.words[0] ?? "";
  const value = Number(word);
  if (/^[0-9]{1,16}$/.test(word) && value >= smallest && value <= largest) return value;
  refuse(draft, directive, `needs a whole number from ${smallest} to ${largest}`);
  return undefined;
}

/** The content of an inline block; adds a problem when the directive names a file instead. */
export function blockOf(draft: ProfileDraft, directive: Directive): string | undefined {
  if (directive.block !== undefined && directive.block.trim() !== "") return directive.block;
  if (directive.block === undefined && directive.words[0] === "[inline]") return undefined;
  refuse(
    draft,
    directive,
    directive.block === undefined
      ? `this needs a file on disk, and profiles are inline blocks only: paste the content as <${directive.name}>`
      : "the block is empty: paste the content into it",
  );
  return undefined;
}
