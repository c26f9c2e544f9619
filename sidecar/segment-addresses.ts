/**
 * The addresses of one end on its segment: its own configuration's, those that the server pushes, or
 * the DHCP server's of the segment. One invariant: an IPv4 address on a dialling end is used only
 * after nobody answered three ARP probes for it (RFC 5227, 2.1, with shorter waits: the segment is
 * up when they go out); IPv6 addresses are probed by the kernel. Afterwards they stay watched.
 */

import type { Logger } from "pino";
import type { Notice } from "./control/orders.ts";
import type { LeaseStatus, TunnelStatus } from "./control/status.ts";
import type { DeviceConfig, PeerConfig, TunnelConfig } from "./control/tunnel-config.ts";
import type { PlaneLink } from "./plane-link.ts";
import { TAP_PORT } from "./ports.ts";
import type { Agreement } from "./session/handshake/session-outcome.ts";
import type { Device, Prefix } from "./tap/device.ts";
import { DhcpClient, type DhcpLease } from "./tap/dhcp-client.ts";
import { TunnelError } from "./tunnel-error.ts";
import { addressText, addressWords } from "./uplink/address-words.ts";

/** When probes go out, and when silence means that the address is free. */
const PROBES_MS = [0, 200, 400] as const;
const SILENCE_MS = 700;
/** An address that is taken is asked for again after so long. */
const AGAIN_MS = 10_000;

/** What it works with. */
export interface SegmentAddressesOptions {
  readonly config: TunnelConfig;
  readonly device: Pick<
    Device,
    "name" | "segmentName" | "addAddress" | "removeAddress" | "useRouterAdvertisements"
  >;
  readonly plane: Pick<PlaneLink, "order">;
  readonly linger: (then: () => void, delayMs: number) => void;
  readonly log: Logger;
}

/** What the device gets at once; a dialling end's IPv4 address waits until it was asked for. */
export function deviceAtOpening(config: TunnelConfig): DeviceConfig {
  const { device, role } = config;
  if (role.kind === "listen" || !isAsked(config) || device.bridge !== undefined) return device;
  const { address4: _, ...rest } = device;
  return rest;
}

/** Whether there is anybody to ask: not in a routed tunnel, nor between two peers. */
function isAsked({ device, link }: TunnelConfig): boolean {
  return link === "Segment" && device.kind !== "tun";
}

/** The addresses of one tunnel's end. */
export class SegmentAddresses {
  readonly #options: SegmentAddressesOptions;
  /** The address that is asked for or used, by whichever way it came. */
  #wanted: Prefix | undefined;
  /** What the server pushed last, by family. */
  readonly #pushed = new Map<4 | 6, Prefix>();
  /** MAC address of who answered for it. */
  #takenBy: string | undefined;
  #isAsking = false;
  #dhcp: DhcpClient | undefined;
  /** Why there is no address by DHCP. */
  #dhcpTrouble: string | undefined;
  #lease: { readonly prefix: Prefix; readonly status: LeaseStatus } | undefined;
  #isClosed = false;

  constructor(options: SegmentAddressesOptions) {
    this.#options = options;
    const { device, role } = options.config;
    if (role.kind !== "listen") return;
    for (const own of [device.address4, device.address6]) {
      if (own !== undefined) this.#watch(own.address, false);
    }
  }

  /** The session is up, or the server pushes anew: the segment can be asked. */
  established({ pushed }: Pick<Agreement, "pushed">): void {
    const { config, device } = this.#options;
    // A bridged end is a switch, not a station: an address would be its LAN's affair.
    if (config.device.bridge !== undefined) return;
    if (config.device.address4 === undefined) this.#keepPushed(4, pushed?.address4);
    if (config.device.address6 === undefined) this.#keepPushed(6, pushed?.address6);
    const asksDhcp =
      isAsked(config) && (config.device.usesDhcp === true || pushed?.usesDhcp === true);
    const address4 = config.device.address4 ?? pushed?.address4;
    if (address4 !== undefined) this.#use(address4);
    else if (asksDhcp) this.#ask();
    const address6 = config.device.address6 ?? pushed?.address6;
    if (address6 !== undefined) {
      this.#watch(address6.address, false);
      if (config.device.address6 === undefined) device.addAddress(address6);
    }
  }

  /** Somebody else uses an address: if it is the one that is being asked for, it is left alone. */
  conflict(notice: Extract<Notice, { kind: "addressConflict" }>): void {
    const address = addressText(Int32Array.from(notice.address));
    if (notice.owner === TAP_PORT && address === this.#wanted?.address) this.#takenBy = notice.mac;
  }

  /** Its first answer is not there yet: the interface has no address. */
  get isAsking(): boolean {
    return this.#isAsking;
  }

  /** What is wrong with its address, if anything. */
  get problem(): string | undefined {
    if (this.#dhcpTrouble !== undefined && this.#lease === undefined) return this.#dhcpTrouble;
    if (this.#isAsking || this.#takenBy === undefined || this.#wanted === undefined)
      return undefined;
    return `address ${this.#wanted.address} is in use by ${this.#takenBy}: change that host or this address`;
  }

  /** Its part of the tunnel's status. */
  status(): Pick<TunnelStatus, "lease"> {
    return this.#lease === undefined ? {} : { lease: this.#lease.status };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#dhcp?.stop();
  }

  /** An address that the server does not push any more leaves before another one comes. */
  #keepPushed(family: 4 | 6, pushed: Prefix | undefined): void {
    const { device, plane } = this.#options;
    const former = this.#pushed.get(family);
    if (former?.address === pushed?.address && former?.prefixBits === pushed?.prefixBits) return;
    if (pushed === undefined) this.#pushed.delete(family);
    else this.#pushed.set(family, pushed);
    if (former === undefined) return;
    if (this.#wanted?.address === former.address) this.#wanted = undefined;
    device.removeAddress(former);
    plane.order({ kind: "forgetAddress", address: [...addressWords(former.address)] });
  }

  #use(prefix: Prefix): void {
    const { config, device } = this.#options;
    if (this.#wanted?.address === prefix.address) return;
    this.#wanted = prefix;
    if (!isAsked(config)) device.addAddress(prefix);
    else {
      this.#isAsking = true;
      this.#probe(prefix);
    }
  }

  #probe(prefix: Prefix): void {
    const { plane, linger } = this.#options;
    this.#takenBy = undefined;
    this.#watch(prefix.address, true);
    const address = [...addressWords(prefix.address)];
    for (const delayMs of PROBES_MS) {
      linger(
        () => this.#ifStill(prefix, () => plane.order({ kind: "askAddress", address })),
        delayMs,
      );
    }
    linger(() => this.#ifStill(prefix, () => this.#decide(prefix)), SILENCE_MS);
  }

  #decide(prefix: Prefix): void {
    const { device, linger, log } = this.#options;
    const { address } = prefix;
    this.#isAsking = false;
    if (this.#takenBy !== undefined) {
      log.error(
        { address, usedBy: this.#takenBy, againMs: AGAIN_MS },
        "address not taken: somebody else on the segment uses it; change that host or this address",
      );
      linger(() => this.#ifStill(prefix, () => this.#probe(prefix)), AGAIN_MS);
      return;
    }
    this.#watch(address, false);
    try {
      device.addAddress(prefix);
      log.info({ address }, "address taken: nobody else answered for it");
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      log.error({ cause: error.failure }, `address ${address} not taken: ${error.message}`);
    }
  }

  #ifStill(prefix: Prefix, then: () => void): void {
    if (!this.#isClosed && this.#wanted === prefix) then();
  }

  #watch(address: string, isTentative: boolean): void {
    const words = [...addressWords(address)];
    this.#options.plane.order({
      kind: "watchAddress",
      index: TAP_PORT,
      address: words,
      isTentative,
    });
  }

  #ask(): void {
    if (this.#dhcp !== undefined) {
      this.#dhcp.renew();
      return;
    }
    const { device, log } = this.#options;
    device.useRouterAdvertisements();
    this.#dhcp = new DhcpClient(device.segmentName, {
      bound: (lease) => this.#bound(lease),
      lost: (why) => {
        const address = this.#lease?.prefix.address;
        log.warn({ address }, `lease lost: ${why}`);
        this.#dropLease();
        this.#dhcpTrouble = `the lease of ${address} is lost: ${why}; it goes on asking the segment's DHCP server`;
      },
      trouble: (why) => {
        log.warn(`no address by DHCP yet: ${why}`);
        this.#dhcpTrouble ??= `no address by DHCP: ${why}; start a server on the segment, or set addresses.pool`;
      },
    });
  }

  #bound({ address, prefixBits, server, leaseSeconds }: DhcpLease): void {
    const { device, log } = this.#options;
    const isSame = this.#lease?.prefix.address === address;
    if (!isSame) this.#dropLease();
    const prefix = { address, prefixBits };
    const status = { address, server, leaseSeconds, since: new Date().toISOString() };
    this.#lease = { prefix, status };
    this.#dhcpTrouble = undefined;
    if (isSame) return;
    try {
      device.addAddress(prefix);
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      log.error({ cause: error.failure }, `address ${address} not taken: ${error.message}`);
      this.#lease = undefined;
      this.#dhcpTrouble = `the address ${address} of the segment's DHCP server ${server} cannot be used: ${error.message}`;
      return;
    }
    this.#watch(address, false);
    log.info({ address, server, leaseSeconds }, "address by DHCP");
  }

  #dropLease(): void {
    if (this.#lease === undefined) return;
    const { device, plane } = this.#options;
    const { prefix } = this.#lease;
    this.#lease = undefined;
    device.removeAddress(prefix);
    plane.order({ kind: "forgetAddress", address: [...addressWords(prefix.address)] });
  }
}

/** Whoever else has a peer's addresses is found: at once by asking, later by listening. */
export function watchPeer(
  plane: Pick<PlaneLink, "order">,
  { address4, address6 }: PeerConfig,
  index: number,
): void {
  for (const text of [address4, address6]) {
    if (text === undefined) continue;
    const address = [...addressWords(text)];
    plane.order({ kind: "watchAddress", index, address, isTentative: false });
    if (text === address4) plane.order({ kind: "askAddress", address });
  }
}
