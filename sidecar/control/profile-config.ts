/**
 * An administrator's own client file, read into the settings of a dialling tunnel. Each directive is
 * applied, ignored with a note, or refused with its line and the reason (`profile-directives.ts`).
 *
 * Invariant: all problems are reported at once, and neither notes nor problems hold the content of
 * a block or a password.
 */

import { CertificateError, StaticKeyError } from "../../authority/authority-error.ts";
import { isPair, readCertificate } from "../../authority/certificate.ts";
import { parseStaticKey } from "../../authority/static-key.ts";
import { parseClientWrapKey } from "../../authority/tls-crypt-v2.ts";
import { type Directive, OvpnSyntaxError, parseOvpnFile } from "./ovpn-file.ts";
import { APPLY } from "./profile-apply.ts";
import { PROFILE_DIRECTIVES } from "./profile-directives.ts";
import { newDraft, type ProfileDraft } from "./profile-draft.ts";
import type {
  ControlWrapConfig,
  DataCipher,
  DeviceConfig,
  DialConfig,
  RemoteConfig,
  SecurityConfig,
} from "./tunnel-config.ts";

/** What a profile says. Absent members are not mentioned in it. */
export interface ProfileSettings {
  readonly role: DialConfig;
  /** The server wants a username and a password, and the profile does not hold them. */
  readonly needsUserPass: boolean;
  readonly device: Pick<
    DeviceConfig,
    "kind" | "name" | "address4" | "address6" | "multicastRoutes"
  >;
  readonly routes: ProfileRoutes;
  /** The other end of a point-to-point tun. */
  readonly farEnd4?: string;
  readonly mtu?: number;
  readonly mssFixBytes?: number;
  readonly fragmentBytes?: number;
  readonly replayWindow?: { readonly packets: number; readonly seconds: number };
  readonly keepalive?: { readonly intervalSeconds: number; readonly timeoutSeconds: number };
  /** What of it the profile says. */
  readonly renewal: ProfileDraft["renewal"];
  readonly security: SecurityConfig;
}

/** What a tun profile says of routes. */
export interface ProfileRoutes {
  readonly routes: readonly { readonly network: string; readonly metric?: number }[];
  /** Whether routes that the server pushes are taken. */
  readonly takesPushed: boolean;
  /** Whether any are set at all. */
  readonly areSet: boolean;
}

/** What became of a profile. */
export type ProfileReading =
  | { readonly ok: true; readonly settings: ProfileSettings; readonly notes: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[] };

/** As stock OpenVPN 2.6 when the profile names none. */
const DATA_CIPHERS_DEFAULT: readonly DataCipher[] = [
  "AES-256-GCM",
  "AES-128-GCM",
  "CHACHA20-POLY1305",
];
const PORT_DEFAULT = 1194;
const PING_RESTART_SECONDS_DEFAULT = 120;

/** Reads a profile. */
export function readProfile(text: string): ProfileReading {
  let directives: readonly Directive[];
  try {
    directives = parseOvpnFile(text);
  } catch (error) {
    if (!(error instanceof OvpnSyntaxError)) throw error;
    return { ok: false, problems: [`line ${error.line}: ${error.message}`] };
  }
  const draft = newDraft();
  const forgiven = forgivenNames(directives);
  for (const directive of directives) takeDirective(draft, directive, forgiven);
  checkWhole(draft);
  if (draft.problems.length > 0) return { ok: false, problems: draft.problems };
  return { ok: true, settings: settingsOf(draft), notes: draft.notes };
}

function forgivenNames(directives: readonly Directive[]): ReadonlySet<string> {
  const options = directives.filter((directive) => directive.name === "ignore-unknown-option");
  return new Set(options.flatMap((directive) => directive.words));
}

function takeDirective(
  draft: ProfileDraft,
  directive: Directive,
  forgiven: ReadonlySet<string>,
): void {
  const { name, line } = directive;
  const rule = PROFILE_DIRECTIVES.get(name);
  if (rule === undefined) {
    // A line of a key that lost its block would stand here too: those are longer or not lower case.
    const shown = /^[a-z][a-z0-9-]{0,30}$/.test(name) ? name : "this";
    if (forgiven.has(name))
      draft.notes.push(`line ${line}: ${shown} is unknown and ignored, as the profile asks`);
    else
      draft.problems.push(
        `line ${line}: ${shown} is not a directive of an OpenVPN client file: correct or remove it`,
      );
  } else if (rule.treatment === "refused") {
    draft.problems.push(`line ${line}: ${name} is refused: ${rule.reason}`);
  } else if (rule.treatment === "ignored") {
    draft.notes.push(`line ${line}: ${name} is ignored: ${rule.reason}`);
  } else if (rule.treatment === "applied") {
    APPLY[name]?.(draft, directive);
  }
}

/** What only the whole file shows. */
function checkWhole(draft: ProfileDraft): void {
  const { problems } = draft;
  if (draft.remotes.length === 0) {
    problems.push("no remote: add a line such as remote vpn.example.org 1194");
  } else if (remotesOf(draft).length === 0) {
    const { line } = draft.forcedProtocol ?? { line: 0 };
    problems.push(`line ${line}: proto-force leaves no remote: remove it, or add a remote for it`);
  }
  checkDevice(draft);
  if (draft.caPem === undefined && draft.peerFingerprints.length === 0) {
    problems.push("no <ca> block and no peer-fingerprint: nothing says which server to believe");
  }
  // A server may know its clients by password alone.
  const isNamed = draft.certificatePem !== undefined || draft.privateKeyPem !== undefined;
  if (isNamed || !draft.asksUserPass) {
    if (draft.certificatePem === undefined)
      problems.push("no <cert> block: add the client's certificate");
    if (draft.privateKeyPem === undefined)
      problems.push("no <key> block: add the client's private key");
  }
  checkPair(draft);
  checkWrap(draft);
}

function checkDevice(draft: ProfileDraft): void {
  const { device, deviceType, problems } = draft;
  if (kindOf(draft) !== undefined) {
    checkRoutes(draft);
  } else if (device === undefined) {
    problems.push("no dev: add the lines dev tap and dev-type tap (or tun)");
  } else {
    const line = deviceType?.line ?? device.line;
    problems.push(
      `line ${line}: dev does not say whether it is a tap or a tun: add a line dev-type tap or dev-type tun`,
    );
  }
}

function kindOf({ device, deviceType }: ProfileDraft): "tap" | "tun" | undefined {
  const name = /^(tap|tun)/.exec(device?.value ?? "")?.[1];
  return deviceType?.value ?? (name === "tap" || name === "tun" ? name : undefined);
}

/** Networks are routed into a tun only, groups into a tap only. */
function checkRoutes(draft: ProfileDraft): void {
  const { farEnd4 } = draft;
  if (kindOf(draft) === "tun") return;
  if (farEnd4 !== undefined) {
    draft.problems.push(
      `line ${farEnd4.line}: ifconfig needs a mask with dev tap, such as ifconfig 10.20.0.7 255.255.255.0; the far end's address belongs to dev tun`,
    );
  }
  for (const { line, value } of draft.routes) {
    draft.notes.push(
      `line ${line}: the route to ${value} is ignored: only multicast networks are routed into a segment`,
    );
  }
}

function checkPair(draft: ProfileDraft): void {
  const { certificatePem, privateKeyPem } = draft;
  if (certificatePem === undefined || privateKeyPem === undefined) return;
  try {
    if (!isPair({ certificatePem, privateKeyPem })) {
      draft.problems.push("<key> does not belong to <cert>: take both from the same profile");
    }
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    draft.problems.push(`<cert> or <key>: ${error.message}`);
  }
  if (draft.caPem === undefined) return;
  try {
    readCertificate(draft.caPem);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    draft.problems.push(`<ca>: ${error.message}`);
  }
}

function checkWrap(draft: ProfileDraft): void {
  const { wrapText } = draft;
  if (wrapText === undefined) return;
  try {
    if (wrapText.kind === "TlsCryptV2") {
      const { key, wrapped } = parseClientWrapKey(wrapText.value);
      draft.wrapKey = key;
      draft.wrappedKey = wrapped;
    } else draft.wrapKey = parseStaticKey(wrapText.value);
  } catch (error) {
    if (!(error instanceof StaticKeyError)) throw error;
    draft.problems.push(`line ${wrapText.line}: ${error.message}`);
  }
  if (wrapText.kind === "TlsAuth" && draft.digest === undefined) {
    draft.problems.push(
      `line ${draft.digestLine}: auth names a digest that is not supported for tls-auth: use SHA256, SHA512 or SHA1 at both ends`,
    );
  }
}

function settingsOf(draft: ProfileDraft): ProfileSettings {
  const keepalive = keepaliveOf(draft);
  return {
    role: {
      kind: "dial",
      remotes: remotesOf(draft),
      ...(draft.isTlsClient && !draft.isPulling ? { isTwoPeer: true as const } : {}),
      order: draft.isRandom ? "Random" : "Listed",
      ...(draft.localPort === undefined || draft.isUnbound ? {} : { localPort: draft.localPort }),
      ...(draft.userPass === undefined ? {} : { userPass: draft.userPass }),
    },
    needsUserPass: draft.asksUserPass && draft.userPass === undefined,
    routes: routesOf(draft),
    ...(draft.farEnd4 === undefined ? {} : { farEnd4: draft.farEnd4.value }),
    device: {
      kind: kindOf(draft) ?? "tap",
      ...nameOf(draft),
      ...(draft.address4 === undefined ? {} : { address4: draft.address4 }),
      ...(draft.address6 === undefined ? {} : { address6: draft.address6 }),
      multicastRoutes: [...new Set(draft.multicastRoutes)],
    },
    ...(draft.mtu === undefined ? {} : { mtu: draft.mtu }),
    ...(draft.mssFixBytes === undefined ? {} : { mssFixBytes: draft.mssFixBytes }),
    ...(draft.fragmentBytes === undefined ? {} : { fragmentBytes: draft.fragmentBytes }),
    ...(draft.replayWindow === undefined ? {} : { replayWindow: draft.replayWindow }),
    ...(keepalive === undefined ? {} : { keepalive }),
    renewal: draft.renewal,
    security: securityOf(draft),
  };
}

function routesOf(draft: ProfileDraft): ProfileRoutes {
  const { routeMetric } = draft;
  return {
    routes: draft.routes.map(({ value: network, metric = routeMetric }) =>
      metric === undefined ? { network } : { network, metric },
    ),
    takesPushed: !draft.leavesRoutes,
    areSet: !draft.setsNoRoutes,
  };
}

function remotesOf(draft: ProfileDraft): readonly RemoteConfig[] {
  const { remotePort, protocol, forcedProtocol } = draft;
  const usual = { port: remotePort ?? PORT_DEFAULT, protocol };
  const remotes = draft.remotes.map((remote) => ({ ...usual, ...remote }));
  if (forcedProtocol === undefined) return remotes;
  return remotes.filter((remote) => remote.protocol === forcedProtocol.value);
}

/** `tap` and `tun` let the system choose; anything else, `tap3` included, is a name. */
function nameOf(draft: ProfileDraft): { readonly name?: string } {
  const name = draft.device?.value;
  return name === undefined || name === "tap" || name === "tun" ? {} : { name };
}

function keepaliveOf(draft: ProfileDraft): ProfileSettings["keepalive"] {
  if (draft.pingSeconds === undefined && draft.pingRestartSeconds === undefined) return undefined;
  const timeoutSeconds = draft.pingRestartSeconds ?? PING_RESTART_SECONDS_DEFAULT;
  return { intervalSeconds: draft.pingSeconds ?? Math.ceil(timeoutSeconds / 6), timeoutSeconds };
}

function securityOf(draft: ProfileDraft): SecurityConfig {
  const chain = [draft.certificatePem, draft.extraCertificatesPem].filter(
    (part) => part !== undefined,
  );
  return {
    dataCiphers: draft.dataCiphers ?? fallbackCiphers(draft),
    wrap: wrapOf(draft),
    ...(draft.privateKeyPem === undefined
      ? {}
      : {
          identity: {
            certificatePem: chain.map((part) => `${part.trim()}\n`).join(""),
            privateKeyPem: draft.privateKeyPem,
          },
        }),
    ...(draft.caPem === undefined ? {} : { caPem: draft.caPem }),
    ...(draft.crlPem === undefined ? {} : { crlPem: draft.crlPem }),
    peerFingerprints: draft.peerFingerprints,
    ...(draft.remoteCertTls === undefined ? {} : { remoteCertTls: draft.remoteCertTls }),
    ...(draft.verifyName === undefined ? {} : { verifyName: draft.verifyName }),
    ...(draft.verifyNamePrefix === undefined ? {} : { verifyNamePrefix: draft.verifyNamePrefix }),
    ...(draft.verifySubject === undefined ? {} : { verifySubject: draft.verifySubject }),
    tlsVersionMin: draft.tlsVersionMin ?? "1.2",
    ...(draft.tlsVersionMax === undefined ? {} : { tlsVersionMax: draft.tlsVersionMax }),
  };
}

function fallbackCiphers(draft: ProfileDraft): readonly DataCipher[] {
  return draft.cipher === undefined
    ? DATA_CIPHERS_DEFAULT
    : [...new Set([draft.cipher, ...DATA_CIPHERS_DEFAULT])];
}

function wrapOf(draft: ProfileDraft): ControlWrapConfig {
  const { wrapText, wrapKey: key, wrappedKey: wrapped } = draft;
  if (wrapText === undefined || key === undefined) return { kind: "None" };
  if (wrapText.kind === "TlsCryptV2" && wrapped !== undefined) {
    return { kind: "TlsCryptV2", key, wrapped };
  }
  if (wrapText.kind === "TlsCrypt") return { kind: "TlsCrypt", key };
  return {
    kind: "TlsAuth",
    key,
    ...(draft.keyDirection === undefined ? {} : { direction: draft.keyDirection }),
    digest: draft.digest ?? "SHA1",
  };
}
