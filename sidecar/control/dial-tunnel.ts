/** A dialling tunnel as a `TunnelConfig`: from a VpnTunnel and its profile, or from a profile alone. */

import { readCertificate } from "../../authority/certificate.ts";
import type { VpnTunnel } from "../../crds/types.ts";
import type { Documents } from "./documents.ts";
import { deviceOf, renewalOf } from "./listen-tunnel.ts";
import type { LoadOptions, TunnelOutcome, TunnelWithPeers } from "./loaded.ts";
import { type ProfileSettings, readProfile } from "./profile-config.ts";
import { switchedOrRouted } from "./routing-config.ts";
import { secretText } from "./secret-lookup.ts";
import type {
  DeviceConfig,
  DialConfig,
  RemoteConfig,
  TransportConfig,
  TunnelConfig,
} from "./tunnel-config.ts";
import { uplinksOf } from "./uplink-set.ts";

/** A profile and where it came from. */
export interface ProfileText {
  readonly text: string;
  readonly place: string;
}

type UserPass = NonNullable<DialConfig["userPass"]>;

/** Until the server pushes its own; a stock server that pushes none sends no pings at all. */
const KEEPALIVE_UNTIL_PUSHED = { intervalSeconds: 10, timeoutSeconds: 120 };
const TRANSPORT_DEFAULT: TransportConfig = {
  mssFixBytes: 1444,
  replayWindow: { packets: "Auto", seconds: 15 },
  keepalive: KEEPALIVE_UNTIL_PUSHED,
  renegotiateSeconds: 3600,
  renegotiateBytes: 0,
  renegotiatePackets: 0,
};

/** Loads a VpnTunnel that dials. */
export function loadDialTunnel(own: TunnelWithPeers, documents: Documents): TunnelOutcome {
  const { tunnel } = own;
  const { dial, security } = tunnel.spec;
  const { namespace } = tunnel.metadata;
  if (dial === undefined) return { ok: false, problems: ["spec.dial is missing"] };
  const field = "spec.dial.profileSecretRef";
  const found = secretText(documents, { namespace, ...dial.profileSecretRef }, field);
  if (!found.ok) return { ok: false, problems: [found.problem] };
  const reading = readProfile(found.text);
  const place = `${field} (Secret ${namespace}/${dial.profileSecretRef.name}, ${dial.profileSecretRef.key})`;
  const problems = reading.ok ? [] : reading.problems.map((problem) => `${place} ${problem}`);
  const userPass = userPassOf(tunnel, documents);
  if (typeof userPass === "string") problems.push(userPass);
  if (!reading.ok || typeof userPass === "string") return { ok: false, problems };
  const { settings } = reading;
  const kind = kindProblem(tunnel, settings, place);
  if (kind !== undefined) return { ok: false, problems: [kind] };
  const uplinks = uplinksOf(tunnel, documents);
  if (Array.isArray(uplinks)) return { ok: false, problems: uplinks };
  if (uplinks !== undefined && remotesOf(tunnel, settings).some(isTcp)) {
    const problem =
      "spec.uplinks: a TCP connection goes by one path only: remove spec.uplinks, or dial UDP remotes only (spec.transport.protocol: Udp)";
    return { ok: false, problems: [problem] };
  }
  if (settings.needsUserPass && userPass === undefined) {
    const problem =
      "spec.security.userPassSecretRef: the profile asks for a username and a password: name a Secret with the keys username and password";
    return { ok: false, problems: [problem] };
  }
  const transport = mergedTransport(own, settings);
  if (transport.fragmentBytes !== undefined && uplinks?.policy === "Fec") {
    const problem =
      "spec.transport.fragmentBytes (or fragment in the profile) cannot be had with the policy Fec: parity is for whole packets; remove one of the two";
    return { ok: false, problems: [problem] };
  }
  const config: TunnelConfig = {
    namespace,
    name: tunnel.metadata.name,
    role: {
      ...settings.role,
      remotes: remotesOf(tunnel, settings),
      order: dial.order ?? settings.role.order,
      ...(userPass === undefined ? {} : { userPass }),
    },
    link: tunnel.spec.link,
    device: mergedDevice(deviceOf(tunnel), settings, isWritten(own.written, "transport", "mtu")),
    ...withFarEnd(switchedOrRouted(tunnel, new Set()), settings),
    transport,
    security: {
      ...settings.security,
      ...(isWritten(own.written, "security", "dataCiphers")
        ? { dataCiphers: security.dataCiphers }
        : {}),
      ...(isWritten(own.written, "security", "tlsVersionMin")
        ? { tlsVersionMin: security.tlsVersionMin }
        : {}),
    },
    ...(uplinks === undefined ? {} : { uplinks }),
  };
  const notes = [...reading.notes.map((note) => `profile ${note}`), ...dialNotes(own.written)];
  return { ok: true, config, notes: [...notes, ...expiryNotes(settings)] };
}

/** The resource's remotes, else the profile's; a protocol that the resource names counts for all. */
function remotesOf({ spec }: VpnTunnel, settings: ProfileSettings): readonly RemoteConfig[] {
  const { remotes } = settings.role;
  const protocol = spec.transport.protocol;
  const usual = protocol ?? remotes[0]?.protocol ?? "Udp";
  return (spec.dial?.remotes ?? remotes).map((remote) => ({
    protocol: usual,
    ...remote,
    ...(protocol === undefined ? {} : { protocol }),
  }));
}

/** A tunnel from a profile alone (`--profile`). */
export function tunnelFromProfile(
  source: ProfileText,
  identity: { readonly namespace: string; readonly name: string },
  options: Omit<NonNullable<LoadOptions["profile"]>, "path">,
): TunnelOutcome {
  const reading = readProfile(source.text);
  if (!reading.ok) {
    return {
      ok: false,
      problems: reading.problems.map((problem) => `${source.place}: ${problem}`),
    };
  }
  const { settings } = reading;
  const userPass = options.userPass ?? settings.role.userPass;
  if (settings.needsUserPass && userPass === undefined) {
    return {
      ok: false,
      problems: [
        `${source.place}: the profile asks for a username and a password: give them beside it, or as a block <auth-user-pass>`,
      ],
    };
  }
  const device: DeviceConfig = {
    kind: settings.device.kind,
    ...(options.interfaceName === undefined ? {} : { name: options.interfaceName }),
    ...(options.bridge === undefined ? {} : { bridge: { interface: options.bridge } }),
    multicastRoutes: [],
    mtu: settings.mtu ?? "Auto",
  };
  const config: TunnelConfig = {
    ...identity,
    role: { ...settings.role, ...(userPass === undefined ? {} : { userPass }) },
    link: "Segment",
    ...withFarEnd(profileRouting(settings), settings),
    device: mergedDevice(device, settings, true),
    transport: { ...TRANSPORT_DEFAULT, ...said(settings) },
    security: settings.security,
  };
  const notes = reading.notes.map((note) => `${source.place}: ${note}`);
  return { ok: true, config, notes: [...notes, ...expiryNotes(settings)] };
}

/** The profile's server and the resource must mean the same kind of tunnel. */
function kindProblem(
  tunnel: VpnTunnel,
  settings: ProfileSettings,
  place: string,
): string | undefined {
  const { mode } = tunnel.spec;
  const { kind } = settings.device;
  if ((mode === "Routed") === (kind === "tun")) return undefined;
  return `spec.mode is ${mode}, and ${place} says dev ${kind}: set spec.mode to ${kind === "tun" ? "Routed" : "Bridged"}, or ask for another profile`;
}

/** A profile alone is followed as stock OpenVPN follows it. */
function profileRouting({ device, routes }: ProfileSettings): Pick<TunnelConfig, "routing"> {
  if (device.kind === "tap") return {};
  return {
    routing: {
      fromSegment: [],
      isPeerToPeer: true,
      masquerade: false,
      ...(routes.areSet ? { profileRoutes: routes.routes } : {}),
      ...(routes.areSet && routes.takesPushed ? { pushed: {} } : {}),
    },
  };
}

/** The far end of a point-to-point tun is reached through it, whatever else is routed. */
function withFarEnd(
  between: Pick<TunnelConfig, "segment" | "routing">,
  { farEnd4 }: ProfileSettings,
): Pick<TunnelConfig, "segment" | "routing"> {
  const { routing } = between;
  if (farEnd4 === undefined || routing === undefined) return between;
  const profileRoutes = [...(routing.profileRoutes ?? []), { network: `${farEnd4}/32` }];
  return { ...between, routing: { ...routing, profileRoutes } };
}

/** The resource's word, then the profile's; a bridged interface has no address and no routes. */
function mergedDevice(
  device: DeviceConfig,
  settings: ProfileSettings,
  isMtuWritten: boolean,
): DeviceConfig {
  const mtu = isMtuWritten ? device.mtu : (settings.mtu ?? device.mtu);
  const name = device.name ?? settings.device.name;
  const named = name === undefined ? {} : { name };
  if (device.bridge !== undefined)
    return { kind: device.kind, ...named, bridge: device.bridge, multicastRoutes: [], mtu };
  const multicastRoutes =
    device.multicastRoutes.length > 0 ? device.multicastRoutes : settings.device.multicastRoutes;
  const { address4, address6 } = settings.device;
  return {
    ...(address4 === undefined ? {} : { address4 }),
    ...(address6 === undefined ? {} : { address6 }),
    ...device,
    ...named,
    multicastRoutes,
    mtu,
  };
}

/** What was written in the resource, else what the profile says, else OpenVPN's defaults. */
function mergedTransport(own: TunnelWithPeers, settings: ProfileSettings): TransportConfig {
  const { transport } = own.tunnel.spec;
  const written = (field: string): boolean => isWritten(own.written, "transport", field);
  return {
    ...TRANSPORT_DEFAULT,
    ...said(settings),
    ...(transport.fragmentBytes === undefined ? {} : { fragmentBytes: transport.fragmentBytes }),
    ...(written("mssFixBytes") ? { mssFixBytes: transport.mssFixBytes } : {}),
    ...(written("replayWindow") ? { replayWindow: transport.replayWindow } : {}),
    ...(transport.copyDscp === undefined ? {} : { copyDscp: transport.copyDscp }),
    ...(written("keepalive") ? { keepalive: transport.keepalive } : {}),
    ...Object.fromEntries(Object.entries(renewalOf(transport)).filter(([field]) => written(field))),
  };
}

function isTcp({ protocol }: RemoteConfig): boolean {
  return protocol === "Tcp";
}

function said(settings: ProfileSettings): Partial<TransportConfig> {
  const { mssFixBytes, fragmentBytes, replayWindow, keepalive, renewal } = settings;
  return {
    ...(mssFixBytes === undefined ? {} : { mssFixBytes }),
    ...(fragmentBytes === undefined ? {} : { fragmentBytes }),
    ...(replayWindow === undefined ? {} : { replayWindow }),
    ...(keepalive === undefined ? {} : { keepalive }),
    ...renewal,
  };
}

/** Username and password of the Secret; a text is a problem. */
function userPassOf(tunnel: VpnTunnel, documents: Documents): UserPass | string | undefined {
  const reference = tunnel.spec.security.userPassSecretRef;
  if (reference === undefined) return undefined;
  const field = "spec.security.userPassSecretRef";
  const at = { namespace: tunnel.metadata.namespace, name: reference.name };
  const username = secretText(documents, { ...at, key: "username" }, field);
  if (!username.ok) return username.problem;
  const password = secretText(documents, { ...at, key: "password" }, field);
  if (!password.ok) return password.problem;
  return { username: username.text.trimEnd(), password: password.text.replace(/\r?\n$/, "") };
}

/** Fields that a dialling tunnel takes from its profile. */
function dialNotes(written: unknown): string[] {
  const notes: string[] = [];
  for (const field of ["controlWrap", "caSecretRef", "crlSecretRef"]) {
    if (isWritten(written, "security", field)) {
      notes.push(`spec.security.${field} is ignored: a dialling tunnel follows its profile`);
    }
  }
  return notes;
}

function expiryNotes(settings: ProfileSettings): string[] {
  const { identity } = settings.security;
  if (identity === undefined) return [];
  const { notAfterMs } = readCertificate(identity.certificatePem);
  const day = new Date(notAfterMs).toISOString().slice(0, 10);
  return [`the profile's certificate ends on ${day}`];
}

function isWritten(written: unknown, block: string, field: string): boolean {
  const spec = (written as { readonly spec?: Readonly<Record<string, unknown>> }).spec;
  const values = spec?.[block];
  return typeof values === "object" && values !== null && field in values;
}
