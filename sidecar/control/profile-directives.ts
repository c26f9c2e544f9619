/**
 * Every directive of OpenVPN 2.6 and 2.7 that a client file may hold, and what is done with it:
 *
 * - `applied`: read by `profile-config.ts`;
 * - `settled`: says what is so anyway, nothing is noted;
 * - `ignored`: has no effect here, and a note says so with the reason;
 * - `refused`: the profile cannot be used with it, with the reason and the next step.
 *
 * A name that is not here is refused as unknown. `docs/reference/profile-directives.md` is this table.
 */

/** What is done with a directive. */
export type Treatment = "applied" | "settled" | "ignored" | "refused";

/** One row of the table. */
export interface DirectiveRule {
  readonly treatment: Treatment;
  /** Why it is ignored or refused, and for the refused what to do. */
  readonly reason: string;
}

const SCRIPT = "profiles run no programs: remove the line and do its work outside";
const SERVER = "this belongs to a server's file: use the client's";
const PROCESS = "how the program runs is not a matter of the profile";
const PROXY =
  "proxies are not supported: remove the line, let a program such as socat carry TCP through the proxy, and dial that (docs/guides/tcp.md)";
const TOKEN = "keys on tokens and in system stores are not supported: inline the key as <key>";
const COMPRESSION =
  "compression leaks what is encrypted (VORACLE) and is not supported: remove the line here and comp-lzo or compress at the server";
const SYSTEM = "the default route, DNS and the system's settings are left alone";
const TUNING = "this program tunes it by itself";
const TLS = "the TLS library's own choice is used";
const PUSHED = "the server decides";

const APPLIED: readonly string[] = [
  "client",
  "tls-client",
  "pull",
  "dev",
  "dev-type",
  "proto",
  "proto-force",
  "remote",
  "connection",
  "remote-random",
  "port",
  "rport",
  "lport",
  "nobind",
  "bind",
  "ca",
  "cert",
  "key",
  "extra-certs",
  "crl-verify",
  "peer-fingerprint",
  "tls-crypt",
  "tls-crypt-v2",
  "tls-auth",
  "key-direction",
  "auth",
  "cipher",
  "data-ciphers",
  "ncp-ciphers",
  "data-ciphers-fallback",
  "remote-cert-tls",
  "remote-cert-eku",
  "verify-x509-name",
  "tls-version-min",
  "tls-version-max",
  "auth-user-pass",
  "tun-mtu",
  "mssfix",
  "fragment",
  "replay-window",
  "reneg-sec",
  "reneg-bytes",
  "reneg-pkts",
  "keepalive",
  "ping",
  "ping-restart",
  "ifconfig",
  "ifconfig-ipv6",
  "route",
  "route-ipv6",
  "route-nopull",
  "route-noexec",
  "route-metric",
  "topology",
  "compress",
  "comp-lzo",
  "script-security",
  "ignore-unknown-option",
];

const SETTLED: readonly string[] = [
  "persist-tun",
  "persist-key",
  "persist-local-ip",
  "persist-remote-ip",
  "resolv-retry",
  "connect-retry",
  "connect-retry-max",
  "connect-timeout",
  "server-poll-timeout",
  "explicit-exit-notify",
  "float",
  "multihome",
  "verb",
  "mute",
  "mute-replay-warnings",
  "suppress-timestamps",
  "machine-readable-output",
  "auth-nocache",
  "auth-retry",
  "key-method",
  "tls-exit",
  "disable-dco",
  "tun-ipv6",
  "compat-names",
  "push-peer-info",
  "setenv-safe",
  "opt-verify",
  "disable-occ",
  "allow-pull-fqdn",
];

const IGNORED: Readonly<Record<string, readonly string[]>> = {
  [PROCESS]: [
    "daemon",
    "cd",
    "log",
    "log-append",
    "status",
    "status-version",
    "writepid",
    "syslog",
    "user",
    "group",
    "chroot",
    "setcon",
    "nice",
    "mlock",
    "management",
    "management-client",
    "management-client-auth",
    "management-client-user",
    "management-client-group",
    "management-external-cert",
    "management-forget-disconnect",
    "management-hold",
    "management-log-cache",
    "management-query-passwords",
    "management-query-proxy",
    "management-query-remote",
    "management-signal",
    "management-up-down",
    "echo",
    "remap-usr1",
    "errors-to-stderr",
    "service",
    "setenv",
    "compat-mode",
  ],
  [SYSTEM]: [
    "redirect-gateway",
    "redirect-private",
    "dhcp-option",
    "dhcp-renew",
    "dhcp-release",
    "dns",
    "dns-updown",
    "register-dns",
    "block-outside-dns",
    "block-ipv6",
    "block-local",
    "route-gateway",
    "route-delay",
    "route-method",
    "route-ipv6-gateway",
    "max-routes",
    "allow-recursive-routing",
    "client-nat",
    "ip-win32",
    "win-sys",
    "windows-driver",
    "dev-node",
    "lladdr",
    "ifconfig-noexec",
    "ifconfig-nowarn",
    "iproute",
    "local",
    "show-net-up",
    "pause-exit",
    "tap-sleep",
  ],
  [TUNING]: [
    "sndbuf",
    "rcvbuf",
    "txqueuelen",
    "fast-io",
    "socket-flags",
    "mtu-disc",
    "mtu-test",
    "link-mtu",
    "tun-mtu-extra",
    "tun-mtu-max",
    "udp-mtu",
    "max-packet-size",
    "shaper",
    "passtos",
    "mark",
    "sockopt",
    "hand-window",
    "tran-window",
    "tls-timeout",
    "inactive",
    "session-timeout",
    "ping-exit",
    "ping-timer-rem",
    "remote-random-hostname",
    "tcp-queue-limit",
    "connect-freq",
    "http-proxy-retry",
    "http-proxy-timeout",
    "socks-proxy-retry",
    "up-delay",
    "up-restart",
    "down-pre",
    "preresolve",
    "prng",
    "no-replay",
    "replay-persist",
    "keying-material-exporter",
  ],
  [TLS]: [
    "tls-cipher",
    "tls-ciphersuites",
    "tls-groups",
    "ecdh-curve",
    "tls-cert-profile",
    "providers",
    "engine",
    "ncp-disable",
    "allow-deprecated-insecure-static-crypto",
  ],
  [PUSHED]: [
    "pull-filter",
    "auth-token",
    "auth-token-user",
    "allow-compression",
    "route-ipv6-metric",
  ],
};

const REFUSED: Readonly<Record<string, readonly string[]>> = {
  [SCRIPT]: [
    "up",
    "down",
    "route-up",
    "route-pre-down",
    "ipchange",
    "tls-verify",
    "tls-export-cert",
    "plugin",
    "auth-user-pass-verify",
    "client-connect",
    "client-disconnect",
    "client-crresponse",
    "learn-address",
    "tls-crypt-v2-verify",
  ],
  [SERVER]: [
    "mode",
    "server",
    "server-ipv6",
    "server-bridge",
    "push",
    "push-reset",
    "push-remove",
    "iroute",
    "iroute-ipv6",
    "ifconfig-pool",
    "ifconfig-ipv6-pool",
    "ifconfig-pool-persist",
    "ifconfig-push",
    "ifconfig-ipv6-push",
    "client-config-dir",
    "ccd-exclusive",
    "client-to-client",
    "duplicate-cn",
    "max-clients",
    "max-routes-per-client",
    "verify-client-cert",
    "username-as-common-name",
    "auth-gen-token",
    "auth-gen-token-secret",
    "bcast-buffers",
    "hash-size",
    "stale-routes-check",
    "dh",
    "port-share",
    "tmp-dir",
    "vlan-tagging",
    "vlan-accept",
    "vlan-pvid",
    "connect-freq-initial",
    "tls-crypt-v2-max-age",
  ],
  [PROXY]: ["http-proxy", "http-proxy-option", "http-proxy-user-pass", "socks-proxy"],
  [TOKEN]: [
    "pkcs11-providers",
    "pkcs11-id",
    "pkcs11-id-management",
    "pkcs11-private-mode",
    "pkcs11-protected-authentication",
    "pkcs11-cert-private",
    "pkcs11-pin-cache",
    "management-external-key",
    "cryptoapicert",
  ],
  "this needs a file on disk, and profiles are inline blocks only: paste the content as a block": [
    "config",
    "capath",
    "askpass",
  ],
  "PKCS #12 is not supported: split it with openssl pkcs12 into <ca>, <cert> and <key>": ["pkcs12"],
  "static-key tunnels have no forward secrecy, are obsolete in OpenVPN and not supported: use certificates at both ends, tls-server at one and tls-client at the other (docs/guides/two-peers.md)":
    ["secret"],
  "this end is the TLS server of a pair: write tls-client here and tls-server at the other end, or let this end listen (docs/guides/two-peers.md)":
    ["tls-server"],
  "this check is not supported, and leaving it out would be less safe: use remote-cert-tls server":
    ["ns-cert-type", "remote-cert-ku", "tls-remote"],
  "this check is not supported, and leaving it out would be less safe: use peer-fingerprint": [
    "verify-hash",
  ],
  "names from other certificate fields are not supported: use the common name": [
    "x509-username-field",
    "x509-track",
  ],
  "questions to a person are not supported: ask for a profile without it": ["static-challenge"],
  "binding to a device is not supported yet: remove the line": ["bind-dev"],
  "epoch and packet formats are chosen by this program: remove the line": [
    "force-tls-key-material-export",
  ],
};

/** The table, by name. */
export const PROFILE_DIRECTIVES: ReadonlyMap<string, DirectiveRule> = new Map<
  string,
  DirectiveRule
>([
  ...APPLIED.map((name): [string, DirectiveRule] => [name, { treatment: "applied", reason: "" }]),
  ...SETTLED.map((name): [string, DirectiveRule] => [name, { treatment: "settled", reason: "" }]),
  ...rows("ignored", IGNORED),
  ...rows("refused", REFUSED),
]);

/** Why compression is refused; `compress` and `comp-lzo` are applied, as some of their forms are harmless. */
export const COMPRESSION_REASON: string = COMPRESSION;

function rows(
  treatment: Treatment,
  groups: Readonly<Record<string, readonly string[]>>,
): [string, DirectiveRule][] {
  return Object.entries(groups).flatMap(([reason, names]) =>
    names.map((name): [string, DirectiveRule] => [name, { treatment, reason }]),
  );
}
