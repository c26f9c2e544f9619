/** The sockets of a tunnel that lets routing find the way, and the family fallback of all. */

import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import type { DialConfig, ListenConfig } from "../control/tunnel-config.ts";
import { LISTENING_BUFFER_BYTES, SOCKET_BUFFER_BYTES, STREAM_BUFFER_BYTES } from "../limits.ts";
import type { TcpWish, UdpOpenResult, UdpWish } from "../native/native.ts";
import { TunnelError } from "../tunnel-error.ts";

/** What opens sockets. */
interface SocketOpeners {
  readonly udpOpen: (wish: UdpWish) => UdpOpenResult;
  readonly tcpOpen: (wish: TcpWish) => UdpOpenResult;
}

/** A socket for both families where the machine has IPv6, else for IPv4. */
export function openEitherFamily(
  open: SocketOpeners["udpOpen"],
  wish: Omit<UdpWish, "address" | "family">,
): UdpOpenResult {
  return eitherFamily((family) => open({ ...wish, address: "", family }));
}

/**
 * The sockets of an end, by the numbers that its paths name: one to listen; to dial, one for UDP and
 * one for TCP. Throws a TunnelError that says what to do.
 */
export function openSockets(open: SocketOpeners, role: ListenConfig | DialConfig): number[] {
  if (role.kind === "listen" && role.protocol === "Tcp") {
    const { port } = role;
    const sendBufferBytes = STREAM_BUFFER_BYTES;
    const opened = eitherFamily((family) => open.tcpOpen({ port, family, sendBufferBytes }));
    return [handleOf(opened, "TCP", port)];
  }
  const port = role.kind === "listen" ? role.port : (role.localPort ?? 0);
  const bufferBytes = {
    receiveBufferBytes: role.kind === "listen" ? LISTENING_BUFFER_BYTES : SOCKET_BUFFER_BYTES,
    sendBufferBytes: SOCKET_BUFFER_BYTES,
  };
  const handles = [handleOf(openEitherFamily(open.udpOpen, { port, ...bufferBytes }), "UDP", port)];
  if (role.kind === "listen") return handles;
  // The connections that it makes choose their family.
  const dialler = open.tcpOpen({ family: 4, sendBufferBytes: STREAM_BUFFER_BYTES });
  return [...handles, handleOf(dialler, "TCP", 0)];
}

function eitherFamily(open: (family: 4 | 6) => UdpOpenResult): UdpOpenResult {
  const opened = open(6);
  const { EAFNOSUPPORT, EADDRNOTAVAIL } = constants.errno;
  const isWithoutIpv6 = opened.errno === EAFNOSUPPORT || opened.errno === EADDRNOTAVAIL;
  return isWithoutIpv6 ? open(4) : opened;
}

function handleOf(socket: UdpOpenResult, protocol: "UDP" | "TCP", port: number): number {
  if (socket.errno === 0) return socket.handle;
  const flags = protocol === "UDP" ? "-lunp" : "-ltnp";
  const why =
    socket.errno === constants.errno.EADDRINUSE
      ? `another program uses it (ss ${flags} shows which); stop it or choose another port`
      : getSystemErrorName(-socket.errno);
  throw new TunnelError("cannotBind", `${protocol} port ${port} cannot be opened: ${why}`);
}
