/** Whether a text is an IP address: what node:net knows without any I/O. */

import { isIP } from "node:net";

export function isIPv4(text: string): boolean {
  return isIP(text) === 4;
}

export function isIPv6(text: string): boolean {
  return isIP(text) === 6;
}
