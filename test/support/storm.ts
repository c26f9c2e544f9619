/**
 * Broadcasts as fast as the machine makes them, by an unmodified socat: it hands over dozens of datagrams
 * with each write and the kernel cuts them (UDP_SEGMENT), which takes a third of the time of single ones.
 */

/** IPPROTO_UDP, UDP_SEGMENT: socat has no name for it. */
const UDP_SEGMENT = "17:103";
/** One write holds less than 64 KiB, and the kernel cuts at most 64 pieces. */
const DATAGRAMS_PER_WRITE = 40;

/** Sends UDP datagrams of so many bytes of payload to a broadcast address by one interface, until it is stopped. */
export function stormCommand(
  address: string,
  device: string,
  payloadBytes: number,
): readonly string[] {
  const options = ["broadcast", `so-bindtodevice=${device}`];
  options.push(`setsockopt-int=${UDP_SEGMENT}:${payloadBytes}`);
  const target = `UDP4-DATAGRAM:${address}:9,${options.join(",")}`;
  return ["socat", "-u", "-b", String(payloadBytes * DATAGRAMS_PER_WRITE), "/dev/zero", target];
}
