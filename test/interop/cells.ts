/**
 * The combinations of peer and settings that interoperation is tested in. The eight cells are a
 * pairwise cover: every two values of two different columns meet in at least one of them (a test
 * counts them). The long run takes the full product.
 */
import type { OpenvpnRelease } from "../support/openvpn-peer.ts";
import type { Wrap } from "../support/stock-config.ts";

/** One combination. */
export interface Cell {
  readonly release: OpenvpnRelease;
  /** What we are. */
  readonly role: "server" | "client";
  readonly wrap: Wrap;
  readonly tls: "1.2" | "1.3";
  /** The underlay's family. */
  readonly family: 4 | 6;
  readonly cipher: "AES-256-GCM" | "AES-128-GCM" | "CHACHA20-POLY1305";
  /** Which end says goodbye. */
  readonly leaver: "ours" | "stock";
}

type Row = readonly [
  Cell["release"],
  Cell["role"],
  Cell["wrap"],
  Cell["tls"],
  Cell["family"],
  Cell["cipher"],
  Cell["leaver"],
];

const ROWS: readonly Row[] = [
  ["2.6", "client", "tls-auth", "1.2", 6, "AES-256-GCM", "stock"],
  ["2.6", "client", "tls-crypt", "1.2", 6, "CHACHA20-POLY1305", "ours"],
  ["2.6", "client", "tls-crypt", "1.3", 4, "AES-256-GCM", "ours"],
  ["2.6", "server", "tls-auth", "1.3", 6, "AES-128-GCM", "ours"],
  ["2.7", "client", "tls-crypt", "1.2", 4, "AES-128-GCM", "stock"],
  ["2.7", "server", "tls-auth", "1.2", 6, "CHACHA20-POLY1305", "stock"],
  ["2.7", "server", "tls-auth", "1.3", 4, "AES-256-GCM", "stock"],
  ["2.7", "server", "tls-crypt", "1.3", 4, "CHACHA20-POLY1305", "ours"],
];

/** The cells of every run. */
export const CELLS: readonly Cell[] = ROWS.map(cellOf);

/** Every value of every column, in the order of a row. */
export const COLUMNS = [
  ["2.6", "2.7"],
  ["server", "client"],
  ["tls-crypt", "tls-auth"],
  ["1.2", "1.3"],
  [4, 6],
  ["AES-256-GCM", "AES-128-GCM", "CHACHA20-POLY1305"],
  ["ours", "stock"],
] as const;

/** The full product, without the leaver: that one alternates. */
export function allCells(): readonly Cell[] {
  let rows: readonly unknown[][] = [[]];
  for (const column of COLUMNS.slice(0, -1)) {
    rows = rows.flatMap((row) => column.map((value) => [...row, value]));
  }
  return rows.map((row, index) => {
    return cellOf([...row, COLUMNS[6][index % 2]] as unknown as Row);
  });
}

/** The cell's values, for a test's name. */
export function cellName(cell: Cell): string {
  const { release, role, wrap, tls, family, cipher, leaver } = cell;
  const we =
    role === "server"
      ? `our server, stock ${release} client`
      : `stock ${release} server, our client`;
  return `${we}: ${wrap}, TLS ${tls}, IPv${family}, ${cipher}; ${leaver} leaves`;
}

function cellOf([release, role, wrap, tls, family, cipher, leaver]: Row): Cell {
  return { release, role, wrap, tls, family, cipher, leaver };
}
