/**
 * The UplinkSet that a dialling tunnel names, as the data plane takes it. One invariant: what
 * the data plane does not do yet is refused with the reason, never quietly done otherwise.
 */

import type { UplinkSet, VpnTunnel } from "../../crds/types.ts";
import { parityUsable } from "../native/native.ts";
import { METERED_PRIORITY } from "../session/path-settings.ts";
import type { Documents } from "./documents.ts";
import type { UplinkConfig, UplinksConfig } from "./tunnel-config.ts";

/** The defaults of `spec.fec`, for a set without the block. */
const FEC_DEFAULTS = { dataPackets: 10, parityPackets: 3, maxDelayMs: 30, adaptive: true } as const;

/**
 * Where the set does not say: what only the slower copy brings, and what parity makes again, comes behind
 * others by nature, and TCP takes that for loss. With the other policies a flow has one path.
 */
const REORDER_MS_USUAL: Readonly<Record<UplinkSet["spec"]["policy"], number>> = {
  Failover: 0,
  Duplicate: 10,
  Fec: 10,
  Balance: 0,
};

/** The tunnel's uplinks; undefined when it names none; a list says what is wrong. */
export function uplinksOf(
  tunnel: VpnTunnel,
  documents: Documents,
): UplinksConfig | undefined | string[] {
  const reference = tunnel.spec.uplinks;
  if (reference === undefined) return undefined;
  const { namespace } = tunnel.metadata;
  const placed = documents.resources.find(
    ({ kind, resource }) =>
      kind === "UplinkSet" &&
      resource.metadata.name === reference.name &&
      resource.metadata.namespace === namespace,
  );
  if (placed?.kind !== "UplinkSet") {
    return [
      `spec.uplinks: there is no valid UplinkSet ${namespace}/${reference.name} in these files: add it`,
    ];
  }
  const problems = refused(placed.resource);
  return problems.length > 0 ? problems : configOf(placed.resource);
}

function configOf({ spec }: UplinkSet): UplinksConfig {
  const uplinks = spec.uplinks.map((uplink): UplinkConfig => {
    const priority = uplink.priority + (uplink.metered ? METERED_PRIORITY : 0);
    const { gateway } = uplink;
    const base = {
      name: uplink.name,
      priority,
      weight: uplink.weight,
      ...(gateway === undefined ? {} : { gateway }),
    };
    return uplink.interface === undefined
      ? { ...base, sourceAddress: uplink.sourceAddress ?? "" }
      : { ...base, interface: uplink.interface };
  });
  const { probe } = spec;
  const classes = spec.duplicate?.classes;
  const { adaptive: isAdaptive, ...block } = spec.fec ?? FEC_DEFAULTS;
  return {
    policy: spec.policy,
    copies: spec.duplicate?.copies ?? uplinks.length,
    ...(classes === undefined ? {} : { classes: classes.map(dscpOf) }),
    ...(spec.policy === "Fec" ? { parity: { ...block, isAdaptive } } : {}),
    reorderMs: spec.reorder?.maxDelayMs ?? REORDER_MS_USUAL[spec.policy],
    probe,
    uplinks,
  };
}

function refused({ metadata, spec }: UplinkSet): string[] {
  const subject = `UplinkSet ${metadata.namespace}/${metadata.name}`;
  const rows: readonly (readonly [boolean, string, string])[] = [
    [
      spec.policy === "Fec" && !parityUsable(),
      "policy",
      "Fec needs a processor with AVX2, which this machine has not: use Duplicate or Failover",
    ],
    [
      spec.uplinks.some((uplink) => uplink.network !== undefined),
      "uplinks.network",
      "a network of Multus is attached to pods only, not to this host: name the interface that leads there instead (interface: eth1)",
    ],
    [
      spec.uplinks.some(
        ({ gateway, sourceAddress = gateway }) =>
          gateway !== undefined && gateway.includes(":") !== sourceAddress?.includes(":"),
      ),
      "uplinks.gateway",
      "a gateway and the sourceAddress beside it are of one family: both IPv4 or both IPv6",
    ],
  ];
  return rows
    .filter(([isAsked]) => isAsked)
    .map(([, field, reason]) => `${subject} spec.${field}: ${reason}`);
}

/** DSCP of a class by its name (RFC 4594, RFC 5865, RFC 8622). */
function dscpOf(name: string): number {
  const [kind, digits] = [name.slice(0, 2), name.slice(2)];
  if (name === "EF") return 46;
  if (name === "VA") return 44;
  if (name === "LE") return 1;
  return kind === "CS" ? 8 * Number(digits) : 8 * Number(digits[0]) + 2 * Number(digits[1]);
}
