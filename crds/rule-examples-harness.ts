/**
 * An accepted and a refused example of every CEL rule, for the tests against a real API server and
 * for our own evaluation. The refused one breaks exactly the rule whose message it names.
 */

/** One rule's examples. */
export interface RuleExample {
  readonly message: string;
  /** What stands before, for rules about a change. */
  readonly former?: unknown;
  readonly accepted: unknown;
  readonly refused: unknown;
}

type Fields = Readonly<Record<string, unknown>>;

const LONG_NAME: string = "a".repeat(64);

function document(kind: string, name: string, spec: unknown): Fields {
  const metadata = { name, namespace: "default" };
  return { apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec };
}

function tunnel(spec: Fields, name = "example"): Fields {
  return document("VpnTunnel", name, spec);
}

function listening(spec: Fields): Fields {
  return tunnel({ listen: {}, ...spec });
}

function addresses(fields: Fields): Fields {
  return listening({ addresses: fields });
}

function peer(spec: Fields, name = "example"): Fields {
  return document("VpnPeer", name, { tunnel: { name: "example" }, ...spec });
}

function uplinks(spec: Fields): Fields {
  return document("UplinkSet", "example", { uplinks: [{ name: "a", interface: "eth0" }], ...spec });
}

function example(message: string, accepted: unknown, refused: unknown): RuleExample {
  return { message, accepted, refused };
}

const SEGMENT = "10.20.0.0/24";
const SEGMENT6 = "fd20::/64";

const TUNNEL_EXAMPLES: readonly RuleExample[] = [
  example(
    "name exactly one of dial (connect to a server) and listen (be the server)",
    tunnel({ dial: { profileSecretRef: { name: "x" } } }),
    tunnel({}),
  ),
  example(
    "the name of a tunnel has at most 63 characters, as its certificate carries it",
    tunnel({ listen: {} }, LONG_NAME.slice(1)),
    tunnel({ listen: {} }, LONG_NAME),
  ),
  example(
    "routes belong to a routed tunnel: remove spec.routes, or set spec.mode to Routed",
    listening({ mode: "Routed", routes: {} }),
    listening({ routes: {} }),
  ),
  example(
    "the multicast proxy belongs to a routed tunnel: a bridged one carries multicast as it is, remove spec.multicast.proxy",
    listening({ mode: "Routed", multicast: { proxy: true } }),
    listening({ multicast: { proxy: true } }),
  ),
  {
    message: "the mode cannot change while the tunnel exists: delete the tunnel and create it anew",
    former: listening({}),
    accepted: listening({ mode: "Bridged", link: "TwoPeer" }),
    refused: listening({ mode: "Routed" }),
  },
  example(
    "each of multicast.routes is a network inside 224.0.0.0/4 or ff00::/8",
    listening({ multicast: { routes: ["239.0.0.0/8", "ff02::/16"] } }),
    listening({ multicast: { routes: ["10.0.0.0/8"] } }),
  ),
  example(
    "keepalive.timeoutSeconds is at least twice keepalive.intervalSeconds, or one lost ping ends the session",
    listening({ transport: { keepalive: { intervalSeconds: 2, timeoutSeconds: 4 } } }),
    listening({ transport: { keepalive: { intervalSeconds: 3, timeoutSeconds: 5 } } }),
  ),
  example(
    "transport.renegotiateSeconds is 0 (never by time) or at least 5",
    listening({ transport: { renegotiateSeconds: 0 } }),
    listening({ transport: { renegotiateSeconds: 4 } }),
  ),
  example(
    "each of routes.toSegment is a network, such as 10.30.0.0/16",
    listening({ mode: "Routed", routes: { toSegment: ["10.30.0.0/16"] } }),
    listening({ mode: "Routed", routes: { toSegment: ["10.30.0.0"] } }),
  ),
  example(
    "each of routes.fromSegment is a network, such as 10.96.0.0/12",
    listening({ mode: "Routed", routes: { fromSegment: ["fd00::/8"] } }),
    listening({ mode: "Routed", routes: { fromSegment: ["x"] } }),
  ),
];

const ADDRESS_EXAMPLES: readonly RuleExample[] = [
  example(
    "a pool or gateway address needs addresses.segment, the network it lies in",
    addresses({ segment: SEGMENT, gateway: "10.20.0.1" }),
    addresses({ pool: "10.20.0.1-10.20.0.9" }),
  ),
  example(
    "an IPv6 pool or gateway address needs addresses.segment6, the network it lies in",
    addresses({ segment6: SEGMENT6, gateway6: "fd20::1" }),
    addresses({ pool6: "fd20::1-fd20::2" }),
  ),
  example(
    "addresses.segment names a network, so its host bits are zero, such as 10.20.0.0/24",
    addresses({ segment: SEGMENT }),
    addresses({ segment: "10.20.0.1/24" }),
  ),
  example(
    "addresses.segment6 names a network, so its host bits are zero, such as fd20::/64",
    addresses({ segment6: SEGMENT6 }),
    addresses({ segment6: "fd20::1/64" }),
  ),
  example(
    "both ends of addresses.pool lie inside addresses.segment",
    addresses({ segment: SEGMENT, pool: "10.20.0.200-10.20.0.239" }),
    addresses({ segment: SEGMENT, pool: "10.20.0.9-10.20.1.1" }),
  ),
  example(
    "both ends of addresses.pool6 lie inside addresses.segment6",
    addresses({ segment6: SEGMENT6, pool6: "fd20::200-fd20::2ff" }),
    addresses({ segment6: SEGMENT6, pool6: "fd20::9-fd21::1" }),
  ),
  example(
    "addresses.gateway lies inside addresses.segment",
    addresses({ segment: SEGMENT, gateway: "10.20.0.254" }),
    addresses({ segment: SEGMENT, gateway: "10.21.0.1" }),
  ),
  example(
    "addresses.gateway6 lies inside addresses.segment6",
    addresses({ segment6: SEGMENT6, gateway6: "fd20::fe" }),
    addresses({ segment6: SEGMENT6, gateway6: "fd21::1" }),
  ),
  example(
    "addresses come from the segment's own DHCP server (dhcp) or from the pool, not from both",
    addresses({ segment: SEGMENT, dhcp: true }),
    addresses({ segment: SEGMENT, dhcp: true, pool: "10.20.0.1-10.20.0.9" }),
  ),
  example(
    "addresses.segment6 is an IPv6 network with a prefix of 32 to 126 bits, such as fd20::/64",
    addresses({ segment6: "fd20::/126" }),
    addresses({ segment6: "fd20::/127" }),
  ),
  example(
    "addresses.pool6 is two IPv6 addresses with a dash between, such as fd20::200-fd20::2ff",
    addresses({ segment6: SEGMENT6, pool6: "fd20::1-fd20::1" }),
    addresses({ segment6: SEGMENT6, pool6: "fd20::1" }),
  ),
  example(
    "addresses.gateway6 is an IPv6 address, such as fd20::1",
    addresses({ segment6: SEGMENT6, gateway6: "fd20::a" }),
    addresses({ segment6: SEGMENT6, gateway6: "10.20.0.1" }),
  ),
];

const PEER_EXAMPLES: readonly RuleExample[] = [
  example(
    "the name of a peer has at most 63 characters, as its certificate carries it",
    peer({}, LONG_NAME.slice(1)),
    peer({}, LONG_NAME),
  ),
  example(
    "a peer with addressing None gets no address: remove address and address6, or set addressing to Assigned",
    peer({ addressing: "None" }),
    peer({ addressing: "None", address: "10.20.0.7" }),
  ),
  {
    message: "the tunnel of a peer cannot change: delete the peer and create it anew",
    former: peer({}),
    accepted: peer({ address: "10.20.0.7" }),
    refused: peer({ tunnel: { name: "other" } }),
  },
  example(
    "address6 is an IPv6 address, such as fd20::201",
    peer({ address6: "fd20::201" }),
    peer({ address6: "10.20.0.7" }),
  ),
  example(
    "each of networks is a network, such as 10.31.0.0/24",
    peer({ networks: ["10.31.0.0/24"] }),
    peer({ networks: ["10.31.0.0/33"] }),
  ),
  example(
    "certificate.renewBeforeDays is less than certificate.lifetimeDays, or the certificate is renewed for ever",
    peer({ certificate: { lifetimeDays: 31 } }),
    peer({ certificate: { lifetimeDays: 30 } }),
  ),
];

const UPLINK_EXAMPLES: readonly RuleExample[] = [
  ...(["duplicate", "fec", "balance"] as const).map((block) => {
    const policy = `${block.charAt(0).toUpperCase()}${block.slice(1)}`;
    return example(
      `the block ${block} needs policy ${policy}: set spec.policy, or remove the block`,
      uplinks({ policy, [block]: {} }),
      uplinks({ policy: "Failover", [block]: {} }),
    );
  }),
  example(
    "an uplink names exactly one of interface, sourceAddress and network",
    uplinks({ uplinks: [{ name: "a", network: "lab/lte" }] }),
    uplinks({ uplinks: [{ name: "a", interface: "eth0", network: "lab/lte" }] }),
  ),
  example(
    "sourceAddress is a network, such as 203.0.113.0/24",
    uplinks({ uplinks: [{ name: "a", sourceAddress: "203.0.113.0/24" }] }),
    uplinks({ uplinks: [{ name: "a", sourceAddress: "203.0.113.1" }] }),
  ),
  example(
    "gateway is an IP address, such as 203.0.113.1",
    uplinks({ uplinks: [{ name: "a", interface: "eth0", gateway: "203.0.113.1" }] }),
    uplinks({ uplinks: [{ name: "a", interface: "eth0", gateway: "203.0.113.0/24" }] }),
  ),
];

/** All examples, those of one message together. */
export const RULE_EXAMPLES: readonly RuleExample[] = [
  ...TUNNEL_EXAMPLES,
  ...ADDRESS_EXAMPLES,
  ...PEER_EXAMPLES,
  ...UPLINK_EXAMPLES,
];
