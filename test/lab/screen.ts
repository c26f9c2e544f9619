/** The live view of the lab: a table redrawn in place on a terminal, plain lines elsewhere. */

/** One row: what it is about and its values in order. */
export interface Row {
  readonly label: string;
  readonly values: readonly string[];
}

/** A titled block of rows. */
export interface Block {
  readonly title: string;
  readonly rows: readonly Row[];
  /** Too long for the plain line. */
  readonly isTableOnly?: true;
}

const CLEAR_AND_HOME = "\u001b[2J\u001b[H";
const BOLD = "\u001b[1m";
const PLAIN = "\u001b[0m";

/** Where a program's progress goes; `stderr`, so that standard output stays for the result. */
export class Screen {
  readonly #stream: NodeJS.WriteStream;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  /** Says one step. */
  step(text: string): void {
    this.#stream.write(`${text}\n`);
  }

  /** Shows the present state. */
  show(heading: string, blocks: readonly Block[]): void {
    if (this.#stream.isTTY) this.#stream.write(CLEAR_AND_HOME + table(heading, blocks));
    else this.#stream.write(`${plainLine(blocks)}\n`);
  }
}

/** The blocks as aligned columns under their titles. */
function table(heading: string, blocks: readonly Block[]): string {
  const lines = [`${BOLD}${heading}${PLAIN}`];
  for (const { title, rows } of blocks) {
    lines.push("", `${BOLD}${title}${PLAIN}`);
    const labelWidth = Math.max(0, ...rows.map((row) => row.label.length));
    const columnCount = Math.max(0, ...rows.map((row) => row.values.length));
    const widths = Array.from({ length: columnCount }, (_, column) =>
      Math.max(...rows.map((row) => row.values[column]?.length ?? 0)),
    );
    for (const { label, values } of rows) {
      const cells = values.map((value, column) => {
        const width = widths[column] ?? 0;
        return /^\d/.test(value) ? value.padStart(width) : value.padEnd(width);
      });
      lines.push(`  ${label.padEnd(labelWidth)}  ${cells.join("  ")}`.trimEnd());
    }
  }
  return `${lines.join("\n")}\n`;
}

/** The blocks in one line. */
function plainLine(blocks: readonly Block[]): string {
  return blocks
    .filter(({ isTableOnly }) => isTableOnly !== true)
    .flatMap(({ rows }) => rows)
    .map(({ label, values }) => `${label} ${values.filter(Boolean).join(" ")}`.trimEnd())
    .join("; ");
}
