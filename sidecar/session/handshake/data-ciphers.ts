/**
 * The data channel's ciphers and how two ends agree on one (OpenVPN's NCP). One invariant:
 * only AEADs of the list are ever chosen; the server's order decides.
 */
import type { DataCipher } from "../../control/tunnel-config.ts";

/** Every cipher that the data plane has, most wanted first. */
export const DATA_CIPHERS: readonly DataCipher[] = [
  "AES-256-GCM",
  "AES-128-GCM",
  "CHACHA20-POLY1305",
];

/** The first of the server's ciphers that the client names; undefined when there is none. */
export function chooseCipher(
  ours: readonly DataCipher[],
  theirs: readonly string[],
): DataCipher | undefined {
  const named = new Set(theirs.map((name) => name.toUpperCase()));
  return ours.find((cipher) => named.has(cipher));
}
