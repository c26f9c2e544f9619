/**
 * Everything that a tunnel can be set up wrongly with, as data: what is written, the exit status
 * when nothing else runs, and the text that says what to do next.
 */
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { dialDocuments, type Fields, listenDocuments } from "../support/documents.ts";
import type { Namespace } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { type StockKeys, stockClientConfig, stockServerConfig } from "../support/stock-config.ts";

/** One thing that is wrong. */
export interface Fault {
  /** Name of its tunnel. */
  readonly name: string;
  readonly status: number;
  readonly text: RegExp;
  readonly documents: readonly Fields[];
  /** Something that must run beside it in its host. */
  readonly beside?: readonly string[];
}

/** A stock server for faults that need one; it must outlive them. */
const SERVER = "192.0.2.2";
/** A port that another program holds. */
const PORT_IN_USE = 1777;

/** Starts the servers that the faults dial, at 192.0.2.2, and lists the faults. */
export async function prepareFaults(
  serverHost: Namespace,
  folder: string,
  stack: AsyncDisposableStack,
): Promise<readonly Fault[]> {
  const authority = await TestAuthority.create(`${folder}/authority`);
  const stranger = await TestAuthority.create(`${folder}/stranger`);
  const shared = { wrap: "tls-crypt", wrapKey: makeStaticKey() } as const;
  const issue = async (
    commonName: string,
    use: "server" | "client",
    lifetimeDays?: number,
  ): Promise<StockKeys> => ({
    ...shared,
    authority: authority.certificate,
    identity: await authority.issue({
      ...{ commonName, use },
      ...(lifetimeDays === undefined ? {} : { lifetimeDays }),
    }),
  });
  const serve = async (keys: StockKeys, label: string, lines: readonly string[]): Promise<void> => {
    const config = stockServerConfig(keys, ["data-ciphers AES-256-GCM", ...lines]);
    const options = { namespace: serverHost, folder: `${folder}/${label}`, config };
    const server = stack.use(await OpenvpnPeer.start(options));
    await server.waitUntilUp();
  };
  await serve(await issue("server", "server"), "server", []);
  const expired = await issue("expired", "server", -1);
  await serve(expired, "expired", ["port 1195", "dev tap1"]);
  // A name each: a stock server ends the older session of two with the same name.
  const own = await issue("box", "client");
  const cipherKeys = await issue("box-of-cipher", "client");
  const mtuKeys = await issue("box-of-mtu", "client");
  const profile = (keys: StockKeys, ...lines: readonly string[]): string =>
    stockClientConfig(keys, [SERVER], lines);
  const otherKey = profile({ ...own, wrapKey: makeStaticKey() });
  const otherAuthority = profile({ ...own, authority: stranger.certificate });
  const smallMtu = dialling("mtu-mismatch", profile(mtuKeys), { transport: { mtu: 1400 } });
  return [
    ...localFaults(profile(own)),
    dialled("wrong-key", 16, /no answer from 192\.0\.2\.2:1194.*same tls-crypt or tls-auth key/, {
      profile: otherKey,
    }),
    dialled("untrusted", 17, /not from a trusted authority.*; ask its administrator/, {
      profile: otherAuthority,
    }),
    dialled("expired", 17, /its certificate expired on .*; ask its administrator/, {
      profile: profile(own).replace(`${SERVER} 1194`, `${SERVER} 1195`),
    }),
    dialled("cipher", 19, /no common cipher: .*AES-128-GCM; set data-ciphers/, {
      profile: profile(cipherKeys, "data-ciphers AES-128-GCM"),
    }),
    {
      name: "mtu-mismatch",
      status: 20,
      text: /MTU mismatch: .* 1500 bytes, transport\.mtu says 1400; set both alike/,
      documents: smallMtu,
    },
  ];
}

/** What is wrong with this host or its files alone. */
function localFaults(profile: string): readonly Fault[] {
  return [
    {
      name: "invalid",
      status: 10,
      text: /spec\.transport\.mtu: .*100.*576/,
      documents: dialling("invalid", profile, { transport: { mtu: 100 } }),
    },
    {
      name: "port",
      status: 14,
      text: /UDP port 1777 cannot be opened: another program uses it .*choose another port/,
      documents: listenDocuments({
        ...{ name: "port", interface: interfaceOf("port"), port: PORT_IN_USE, peers: ["box"] },
      }),
      beside: ["socat", "-u", `UDP6-RECV:${PORT_IN_USE}`, "STDOUT"],
    },
    dialled("name", 15, /no name resolves: no-such-host\.invalid .*; check the names/, {
      profile: profile.replace(`remote ${SERVER}`, "remote no-such-host.invalid"),
    }),
    {
      name: "bridge",
      status: 13,
      text: /there is no interface br-none here; create it first \(ip link add br-none/,
      documents: dialling("bridge", profile, {
        spec: { gateway: { bridge: { interface: "br-none" } }, workloads: undefined },
      }),
    },
  ];
}

function dialled(
  name: string,
  status: number,
  text: RegExp,
  { profile }: { readonly profile: string },
): Fault {
  return { name, status, text, documents: dialling(name, profile, {}) };
}

function dialling(
  name: string,
  profile: string,
  more: { readonly transport?: Fields; readonly spec?: Fields },
): readonly Fields[] {
  // The profile's own interface name would be the same for all.
  const named = profile.replace("dev tap0", "dev tap");
  return dialDocuments({ name, profile: named, interface: interfaceOf(name), ...more });
}

function interfaceOf(name: string): string {
  return `f-${name}`.slice(0, 15);
}
