/**
 * OpenVPN's static key: 256 random bytes, printed as 16 lines of 16 bytes in hex between
 * `-----BEGIN OpenVPN Static key V1-----` and its end line. It wraps the control channel
 * (tls-auth, tls-crypt). Invariant: `parseStaticKey(printStaticKey(key))` is `key`, and no error
 * quotes the text.
 */

import { randomBytes } from "node:crypto";
import { StaticKeyError } from "./authority-error.ts";

/** Size of every static key. */
export const STATIC_KEY_BYTES = 256;

const BEGIN = "-----BEGIN OpenVPN Static key V1-----";
const END = "-----END OpenVPN Static key V1-----";

/** Makes a new key. */
export function generateStaticKey(): Uint8Array {
  return new Uint8Array(randomBytes(STATIC_KEY_BYTES));
}

/** Prints a key as OpenVPN reads it. */
export function printStaticKey(key: Uint8Array): string {
  const lines = Buffer.from(key).toString("hex").match(/.{32}/g) ?? [];
  return `${[BEGIN, ...lines, END].join("\n")}\n`;
}

/** Reads a key; comments and blank lines around and inside are allowed, as OpenVPN allows them. */
export function parseStaticKey(text: string): Uint8Array {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) {
    throw new StaticKeyError(
      `this is not an OpenVPN static key: expected the line ${BEGIN} and its end line; make one with "openvpn --genkey secret FILE"`,
    );
  }
  const hex = text
    .slice(begin + BEGIN.length, end)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => !line.startsWith("#") && !line.startsWith(";"))
    .join("");
  if (!/^[0-9a-fA-F]*$/.test(hex)) {
    throw new StaticKeyError(
      "this OpenVPN static key holds something other than hexadecimal digits: copy the file again",
    );
  }
  if (hex.length !== 2 * STATIC_KEY_BYTES) {
    throw new StaticKeyError(
      `this OpenVPN static key holds ${hex.length >> 1} bytes, not ${STATIC_KEY_BYTES}: copy the whole file`,
    );
  }
  return new Uint8Array(Buffer.from(hex, "hex"));
}
