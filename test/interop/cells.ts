/**
 * The combinations of peer and settings that interoperation is tested in. The short run takes a
 * pairwise cover: every two values of two columns that can go together do so in one of its cells
 * (a test counts them). The long run takes the full product.
 */
import type { OpenvpnRelease } from "../support/openvpn-peer.ts";
import type { Wrap } from "../support/stock-config.ts";

/** One combination. */
export interface Cell {
  readonly release: OpenvpnRelease;
  /** What we are. */
  readonly role: "server" | "client" | "pair server" | "pair client";
  /** Ethernet frames, or IP packets. */
  readonly device: "tap" | "tun";
  readonly wrap: Wrap;
  readonly tls: "1.2" | "1.3";
  readonly cipher: "AES-256-GCM" | "AES-128-GCM" | "CHACHA20-POLY1305";
  /** What carries the packets. */
  readonly underlay: "IPv4" | "IPv6" | "TCP";
  /** Which end asks for new keys; alternates. */
  readonly renewer: "ours" | "stock";
  /** Which end says goodbye; alternates. */
  readonly leaver: "ours" | "stock";
}

/** Combinations that are not there, and why: the same text stands in docs/interop.md. */
export const EXCLUSIONS: readonly string[] = [
  "Two peers with tls-crypt-v2, ours tls-client: the stock tls-server speaks first, before it has the client's key.",
  "Moving of ours as one of two peers, tls-client: the stock end sends to the address that its keys were made with, --float or not.",
  "Moving with TCP: a connection belongs to its two addresses; the end that dials comes back with a new session.",
  "Epoch data keys with 2.6: it has none. With 2.7 they are always used: it offers no option against them.",
];

/** The session survives that its client goes on from another address. */
export function canMove({ underlay, role }: Pick<Cell, "underlay" | "role">): boolean {
  return underlay !== "TCP" && role !== "pair client";
}

/** Every value of every column. */
const COLUMNS = {
  release: ["2.6", "2.7"],
  role: ["server", "client", "pair server", "pair client"],
  device: ["tap", "tun"],
  wrap: ["tls-crypt-v2", "tls-crypt", "tls-auth", "none"],
  tls: ["1.2", "1.3"],
  cipher: ["AES-256-GCM", "AES-128-GCM", "CHACHA20-POLY1305"],
  underlay: ["IPv4", "IPv6", "TCP"],
} as const satisfies Readonly<Partial<Record<keyof Cell, readonly unknown[]>>>;

/** The golden section: turns by it never come back to the same place soon. */
const TURN = 0.618;

const NAMES = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[];

/** The full product. */
export function allCells(): readonly Cell[] {
  let rows: Readonly<Record<string, unknown>>[] = [{}];
  for (const name of NAMES) {
    rows = rows.flatMap((row) => COLUMNS[name].map((value) => ({ ...row, [name]: value })));
  }
  return alternating((rows as unknown as Choice[]).filter(isPossible));
}

/** A few cells in which each pair of values that the full product has is met. */
export function coverCells(): readonly Cell[] {
  let left = allCells();
  const missing = new Set(left.flatMap(pairsOf));
  const chosen: Cell[] = [];
  while (missing.size > 0) {
    // Of equals the one furthest from the last: else the first values fill every gap.
    const turn = Math.floor(left.length * TURN);
    left = [...left.slice(turn), ...left.slice(0, turn)];
    const gains = left.map((cell) => pairsOf(cell).filter((pair) => missing.has(pair)).length);
    const best = left[gains.indexOf(Math.max(...gains))];
    if (best === undefined) break;
    chosen.push(best);
    for (const pair of pairsOf(best)) missing.delete(pair);
  }
  return alternating(chosen);
}

/**
 * Part of the cells: a share, as `3/14` for the third of fourteen, or those whose name holds the text.
 * Throws on what chooses none.
 */
export function chosenCells(cells: readonly Cell[], which: string): readonly Cell[] {
  const [, number, count] = /^(\d+)\/(\d+)$/.exec(which) ?? [];
  const isChosen = (cell: Cell, index: number): boolean =>
    number === undefined
      ? cellName(cell).includes(which)
      : index % Number(count) === Number(number) - 1;
  const chosen = cells.filter(isChosen);
  if (chosen.length === 0) {
    throw new RangeError(
      `${which} chooses none of ${cells.length} cells, such as ${cellName(cells[0] as Cell)}`,
    );
  }
  return chosen;
}

/** Every two values of two columns that meet in a cell. */
export function pairsOf(cell: Cell): readonly string[] {
  return NAMES.flatMap((one, index) =>
    NAMES.slice(index + 1).map((other) => `${one} ${cell[one]}, ${other} ${cell[other]}`),
  );
}

/** The cell's values, for a test's name. */
export function cellName(cell: Cell): string {
  const { release, device, wrap, tls, underlay, cipher, renewer, leaver } = cell;
  return `${roleText(cell)} ${release}: ${device}, ${wrap}, TLS ${tls}, ${cipher}, ${underlay}; ${renewer} renews, ${leaver} leaves`;
}

const ROLES: Readonly<Record<Cell["role"], string>> = {
  server: "our server, stock client",
  client: "our client, stock server",
  "pair server": "two peers, ours tls-server",
  "pair client": "two peers, ours tls-client",
};

/** The end of ours that listens: its stock peer is the one that moves. */
export function listens({ role }: Pick<Cell, "role">): boolean {
  return role === "server" || role === "pair server";
}

/** Who is what. */
export function roleText({ role }: Pick<Cell, "role">): string {
  return ROLES[role];
}

/** What can be said of a cell's data packets. */
export function formatText({ release }: Pick<Cell, "release">): string {
  return release === "2.6" ? "plain" : "epoch";
}

/** Without what `EXCLUSIONS` names. */
function isPossible({ role, wrap }: Choice): boolean {
  return role !== "pair client" || wrap !== "tls-crypt-v2";
}

type Choice = Omit<Cell, "renewer" | "leaver">;

/** Who renews and who leaves alternates: each needs to be seen, not with everything else. */
function alternating(choices: readonly Choice[]): readonly Cell[] {
  const ends = ["stock", "ours"] as const;
  return choices.map((choice, index) => ({
    ...choice,
    renewer: ends[index % 2] ?? "stock",
    leaver: ends[Math.floor(index / 2) % 2] ?? "stock",
  }));
}
