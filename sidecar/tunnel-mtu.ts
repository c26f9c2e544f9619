/**
 * The MTU of one tunnel's interface: what both ends agree on, and where this end dials and routes, no
 * more than its paths take: then its kernel cuts what may be cut and says what fits. One invariant:
 * an interface is never given less than IPv6 needs, since the kernel would take IPv6 away from it.
 */

import type { Logger } from "pino";
import type { Device } from "./tap/device.ts";
import { TunnelError } from "./tunnel-error.ts";

/** Inner MTU when nothing says otherwise: what the LANs at both ends have. */
export const MTU_BYTES_DEFAULT = 1500;
/** RFC 8200, 5. */
const IPV6_MTU_BYTES_MIN = 1280;

/** The MTU of one tunnel. */
export class TunnelMtu {
  /** What the interface has. */
  bytes: number;
  readonly #device: Pick<Device, "setMtu">;
  readonly #log: Logger;
  #agreedBytes: number;
  #wayBytes = Infinity;

  constructor(mtuBytes: number, device: Pick<Device, "setMtu">, log: Logger) {
    this.bytes = mtuBytes;
    this.#agreedBytes = mtuBytes;
    this.#device = device;
    this.#log = log;
  }

  /** What the server said of its own interface. Throws a TunnelError when it cannot be set. */
  agree(mtuBytes: number): void {
    this.#agreedBytes = mtuBytes;
    this.#set();
  }

  /** What the paths take from now on; 0: not known. */
  follow(wayBytes: number): void {
    this.#wayBytes = wayBytes === 0 ? Infinity : wayBytes;
    try {
      this.#set();
    } catch (error) {
      // Without the right to, the router alone says what fits.
      if (!(error instanceof TunnelError)) throw error;
      this.#log.debug({ cause: error.failure }, `the interface keeps its MTU: ${error.message}`);
    }
  }

  #set(): void {
    const mtuBytes = Math.min(this.#agreedBytes, Math.max(this.#wayBytes, IPV6_MTU_BYTES_MIN));
    if (mtuBytes === this.bytes) return;
    this.#device.setMtu(mtuBytes);
    this.bytes = mtuBytes;
  }
}
