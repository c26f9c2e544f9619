/** The UDP socket of a tunnel that lets routing find the way, and the family fallback of all. */

import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import type { UdpOpenResult, UdpWish } from "../native/native.ts";
import { TunnelError } from "../tunnel-error.ts";

type Open = (wish: UdpWish) => UdpOpenResult;

/** A socket for both families where the machine has IPv6, else for IPv4. */
export function openEitherFamily(
  open: Open,
  wish: Omit<UdpWish, "address" | "family">,
): UdpOpenResult {
  const opened = open({ ...wish, address: "", family: 6 });
  const { EAFNOSUPPORT, EADDRNOTAVAIL } = constants.errno;
  const isWithoutIpv6 = opened.errno === EAFNOSUPPORT || opened.errno === EADDRNOTAVAIL;
  return isWithoutIpv6 ? open({ ...wish, address: "", family: 4 }) : opened;
}

/** The same on a port of the configuration; its handle. Throws a TunnelError that says what to do. */
export function openOnPort(open: Open, port: number, bufferBytes: number): number {
  const buffers = { receiveBufferBytes: bufferBytes, sendBufferBytes: bufferBytes };
  const socket = openEitherFamily(open, { port, ...buffers });
  if (socket.errno === 0) return socket.handle;
  const why =
    socket.errno === constants.errno.EADDRINUSE
      ? "another program uses it (ss -lunp shows which); stop it or choose another port"
      : getSystemErrorName(-socket.errno);
  throw new TunnelError("cannotBind", `UDP port ${port} cannot be opened: ${why}`);
}
