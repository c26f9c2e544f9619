/** What the kernel or the cipher said about a packet, as the counter of its cause. */

import { Counter } from "./counters.ts";

/** Errno that mean "not now": the packet is dropped, nothing is wrong with it. */
export const EAGAIN = -11;
export const ENOBUFS = -105;
const EMSGSIZE = -90;
const ENETDOWN = -100;
const ENETUNREACH = -101;
const EHOSTUNREACH = -113;
const EADDRNOTAVAIL = -99;
const EINVAL = -22;
const ENODEV = -19;
const EBADF = -9;
const ENOTCONN = -107;
const ENOKEY = -126;

/** The counter for a packet that did not leave. */
export function sendingCounter(errno: number): Counter {
  switch (errno) {
    case EAGAIN:
    case ENOBUFS:
      return Counter.txSocketFull;
    case EMSGSIZE:
      return Counter.txTooBig;
    case EBADF:
      return Counter.txNoPath;
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTUNREACH:
      return Counter.txUnreachable;
    case EADDRNOTAVAIL:
    case EINVAL:
    case ENODEV:
      return Counter.txNoAddress;
    case ENOTCONN:
      return Counter.txNoConnection;
    case ENOKEY:
      return Counter.txSealFailed;
    default:
      return Counter.txSocketError;
  }
}
