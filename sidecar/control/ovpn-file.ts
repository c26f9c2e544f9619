/**
 * Splits an OpenVPN configuration file into directives: words by blanks, quotes ("…" and '…'),
 * backslash escapes outside single quotes, comments from `#` or `;` at the start of a word, and
 * inline blocks `<name> … </name>`. What a directive means is `profile-config.ts`'s business.
 *
 * Invariant: every directive knows its line, and no error quotes the content of a block.
 */

import { OperatingError } from "../../common/operating-error.ts";

/** One directive of the file. */
export interface Directive {
  /** First word, without leading dashes. */
  readonly name: string;
  /** The words after it. */
  readonly words: readonly string[];
  /** Content of the inline block, when it is one. */
  readonly block?: string;
  /** Line it starts on, counted from 1. */
  readonly line: number;
}

/** The text is not a configuration file. */
export class OvpnSyntaxError extends OperatingError {
  readonly line: number;

  constructor(line: number, message: string) {
    super("profile-syntax", message);
    this.line = line;
  }
}

/** A client file with inline certificates has a few kilobytes; a CRL may add some more. */
export const OVPN_FILE_LENGTH_MAX = 1_048_576;
/** OpenVPN's own limit for words on a line. */
const WORDS_MAX = 16;

/** Reads the whole text; throws `OvpnSyntaxError` at the first line that cannot be read. */
export function parseOvpnFile(text: string): readonly Directive[] {
  if (text.length > OVPN_FILE_LENGTH_MAX) {
    throw new OvpnSyntaxError(
      1,
      `the profile has ${text.length} characters, more than ${OVPN_FILE_LENGTH_MAX}: this is not an OpenVPN client file`,
    );
  }
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  const directives: Directive[] = [];
  let index = 0;
  while (index < lines.length) {
    const line = index + 1;
    const content = (lines[index] ?? "").trim();
    index++;
    const tag = /^<([A-Za-z0-9_-]+)>$/.exec(content)?.[1];
    if (tag === undefined) {
      const [name, ...words] = splitWords(content, line);
      if (name !== undefined) directives.push({ name: name.replace(/^--/, ""), words, line });
      continue;
    }
    const end = closingLine(lines, index, tag);
    if (end === undefined) {
      throw new OvpnSyntaxError(
        line,
        `the block <${tag}> is not closed: add a line </${tag}> after its content`,
      );
    }
    directives.push({ name: tag, words: [], block: lines.slice(index, end).join("\n"), line });
    index = end + 1;
  }
  return directives;
}

function closingLine(lines: readonly string[], start: number, tag: string): number | undefined {
  const closing = `</${tag}>`;
  for (let index = start; index < lines.length; index++) {
    if ((lines[index] ?? "").trim() === closing) return index;
  }
  return undefined;
}

/** The words of one line. */
function splitWords(content: string, line: number): string[] {
  const words: string[] = [];
  let position = 0;
  while (position < content.length) {
    const letter = content[position] ?? "";
    if (/\s/.test(letter)) {
      position++;
      continue;
    }
    if (letter === "#" || letter === ";") break;
    const { word, next } = readWord(content, position, line);
    words.push(word);
    position = next;
  }
  if (words.length > WORDS_MAX) {
    throw new OvpnSyntaxError(
      line,
      `this line has ${words.length} words, OpenVPN allows ${WORDS_MAX}: is a line break missing?`,
    );
  }
  return words;
}

function readWord(
  content: string,
  start: number,
  line: number,
): { readonly word: string; readonly next: number } {
  let word = "";
  let quote = "";
  let position = start;
  for (; position < content.length; position++) {
    const letter = content[position] ?? "";
    if (letter === "\\" && quote !== "'") {
      position++;
      const escaped = content[position];
      if (escaped === undefined) {
        throw new OvpnSyntaxError(line, "this line ends in a backslash: remove or double it");
      }
      word += escaped;
    } else if (quote !== "") {
      if (letter === quote) quote = "";
      else word += letter;
    } else if (letter === '"' || letter === "'") {
      quote = letter;
    } else if (/\s/.test(letter)) {
      break;
    } else {
      word += letter;
    }
  }
  if (quote !== "") {
    throw new OvpnSyntaxError(line, `the quote ${quote} on this line is not closed: add another`);
  }
  return { word, next: position };
}
