/**
 * The switch's own station: it asks for memberships and stations under a MAC address of its own,
 * made anew at each start. One invariant: the address says that it is one of ours, so that two of
 * us on one segment agree who asks. Locally administered, EUI-64 after RFC 4291, appendix A.
 */

const OWN_HIGH = 0x0246;
const OWN_BYTE = 0x4c;

/** A station of the switch. */
export interface OwnStation {
  readonly high: number;
  /** Signed, as words from frames are. */
  readonly low: number;
  /** Link-local address, as words. */
  readonly address6: Int32Array;
}

/** Makes the station from 24 random bits. */
export function createOwnStation(random: number): OwnStation {
  const bits = random & 0xff_ffff;
  return {
    high: OWN_HIGH,
    low: (OWN_BYTE << 24) | bits,
    address6: Int32Array.of(0xfe80_0000, 0, 0x0046_4cff, 0xfe00_0000 | bits),
  };
}

/** Whether a MAC address is that of such a station. */
export function isOwnStation(high: number, low: number): boolean {
  // HOT PATH
  return high === OWN_HIGH && low >>> 24 === OWN_BYTE;
}
