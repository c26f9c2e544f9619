/** How a TCP connection ended, for the log. */

import { getSystemErrorName } from "node:util";

/** Words for an errno; 0: the other end closed it. */
export function connectionText(errno: number): string {
  return errno === 0
    ? "it closes the TCP connection"
    : `the TCP connection failed: ${getSystemErrorName(-errno)}`;
}
