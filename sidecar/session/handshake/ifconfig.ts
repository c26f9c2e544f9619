/**
 * `ifconfig` of OpenVPN, the same in a client file and in what a server pushes. Pure. One invariant: the
 * second word is a mask or the far end's address; a mask with a hole in its ones is neither.
 */
import { isIPv4 } from "../../wire/ip-text.ts";

/** First octet of groups and beyond: no host has such an address. */
const FIRST_GROUP_OCTET = 224;

/** An interface's IPv4 address. */
export interface Ifconfig {
  readonly address4: { readonly address: string; readonly prefixBits: number };
  /** The far end's, in place of a mask (topology net30 or p2p). */
  readonly farEnd4?: string;
}

/** The two words of the directive; undefined when they are not what they should be. */
export function readIfconfig(address: string, second: string): Ifconfig | undefined {
  if (!isIPv4(address) || !isIPv4(second)) return undefined;
  const prefixBits = prefixOfMask(second);
  if (prefixBits !== undefined) return { address4: { address, prefixBits } };
  if (Number.parseInt(second, 10) >= FIRST_GROUP_OCTET) return undefined;
  return { address4: { address, prefixBits: 32 }, farEnd4: second };
}

/** Prefix length of a dotted netmask; undefined when its ones are not in one run. */
export function prefixOfMask(mask: string): number | undefined {
  if (!isIPv4(mask)) return undefined;
  const word = mask.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
  const bits = word.toString(2).padStart(32, "0");
  return /^1*0*$/.test(bits) ? bits.replaceAll("0", "").length : undefined;
}
