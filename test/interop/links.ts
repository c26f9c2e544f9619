/** One tunnel between ours and stock OpenVPN, in either role, up and ready to be tried. */
import {
  generateClientWrapKey,
  generateServerWrapKey,
  printClientWrapKey,
  printServerWrapKey,
} from "../../authority/tls-crypt-v2.ts";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import {
  dialDocuments,
  type Fields,
  listenDocuments,
  writeDocuments,
} from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer, type OpenvpnRelease } from "../support/openvpn-peer.ts";
import { Scratch } from "../support/scratch.ts";
import {
  stockClientConfig,
  stockPairConfig,
  stockServerConfig,
  type Wrap,
} from "../support/stock-config.ts";

/** The only peer's name, and its certificate's. */
export const PEER = "box-7";
const CONTROL_WRAPS = {
  "tls-crypt-v2": "TlsCryptV2",
  "tls-crypt": "TlsCrypt",
  "tls-auth": "TlsAuth",
  none: "None",
} as const;
const ALL_CIPHERS = ["AES-256-GCM", "AES-128-GCM", "CHACHA20-POLY1305"];

/** How a link is made. */
export interface LinkOptions {
  readonly release: OpenvpnRelease;
  /** What we are. */
  readonly role: "server" | "client" | "pair server" | "pair client";
  readonly wrap?: Wrap;
  /** The underlay's family. */
  readonly family?: 4 | 6;
  /** Ethernet frames (tap, absent), or IP packets. */
  readonly device?: "tap" | "tun";
  /** What carries the packets; UDP unless said otherwise. */
  readonly protocol?: "Udp" | "Tcp";
  /** Runs in the host that dials, before either end starts. */
  readonly prepare?: (client: Namespace) => Promise<void>;
  /** Lines for the stock end's configuration. */
  readonly stockLines?: readonly string[];
  /** Lines for the profile that our dialling end reads. */
  readonly profileLines?: readonly string[];
  /** Of our tunnel's spec. */
  readonly transport?: Fields;
  readonly routes?: Fields;
  /** Of the VpnPeer's spec, where we listen. */
  readonly peer?: Fields;
}

/** A tunnel that is up. */
export interface Link extends AsyncDisposable {
  readonly ours: FairleadPeer;
  readonly stock: OpenvpnPeer;
  readonly oursHost: Namespace;
  readonly stockHost: Namespace;
  /** Another host on the underlay, 192.0.2.3. */
  readonly third: Namespace;
  /** Addresses on the segment. */
  readonly oursAddress: string;
  readonly stockAddress: string;
  readonly folder: string;
}

/** Makes two hosts and the tunnel between them. */
export async function createLink(options: LinkOptions): Promise<Link> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { server, client, third } = await createHosts(network, ["server", "client", "third"]);
  const place = { server, client, folder: scratch.path };
  await options.prepare?.(client);
  const maker = options.role.endsWith("server") ? serve : dial;
  const link = await maker(options, place, stack);
  const kept = stack.move();
  return {
    ...link,
    third,
    folder: scratch.path,
    [Symbol.asyncDispose]: async () => await kept.disposeAsync(),
  };
}

interface Place {
  readonly server: Namespace;
  readonly client: Namespace;
  readonly folder: string;
}

type Ends = Omit<Link, "third" | "folder" | typeof Symbol.asyncDispose>;

/** Text of the wrapping's key, at either end. */
type WrapKeys = Readonly<Record<"server" | "client", string>>;

/** We listen; a stock client runs the profile that we print, with a few lines added. */
async function serve(
  options: LinkOptions,
  { server, client, folder }: Place,
  stack: AsyncDisposableStack,
): Promise<Ends> {
  const { release, wrap = "tls-crypt", family = 4, stockLines = [] } = options;
  const { device = "tap", peer } = options;
  const controlWrap = CONTROL_WRAPS[wrap];
  const transport = { ...options.transport, protocol: options.protocol ?? "Udp" };
  const documents = listenDocuments({
    peers: [PEER],
    advertise: [{ host: serverAddress(family) }],
    transport,
    security: { controlWrap, dataCiphers: ALL_CIPHERS },
    spec: modeOf(options),
    ...(peer === undefined ? {} : { peerSpec: peer }),
  });
  const file = await writeDocuments(`${folder}/server.yaml`, documents);
  const place = { folder: `${folder}/server` };
  const ours = stack.use(await startFairlead(server, [file], place));
  await ours.waitUntilUp();
  const printed = await printProfile(PEER, file, place);
  const isPair = options.role === "pair server";
  // An end of a pair says which end of a TCP connection it is (2.6 insists).
  const profile = isPair
    ? printed.replace(/^client$/m, pairLines("subnet")).replace(/^proto tcp$/m, "proto tcp-client")
    : printed;
  const stock = stack.use(
    await OpenvpnPeer.start({
      namespace: client,
      folder: `${folder}/client`,
      config: [profile, `dev ${device}0`, ...stockLines, ""].join("\n"),
      release,
    }),
  );
  await stock.waitUntilUp();
  const peerStatus = await ours.waitForPeer(PEER);
  const address = isPair ? PAIR_ADDRESS : (peerStatus.address ?? "");
  return {
    ours,
    stock,
    oursHost: server,
    stockHost: client,
    oursAddress: "10.20.0.1",
    stockAddress: address,
  };
}

/** What stands in a stock end's file instead of "client" when nobody pushes. */
const PAIR_ADDRESS = "10.20.0.2";
const PAIR_SERVER_ADDRESS = "10.20.0.1";

/** A point-to-point tun names the far end in place of a mask. */
function pairLines(topology: "subnet" | "p2p"): string {
  const second = topology === "p2p" ? `${PAIR_SERVER_ADDRESS}\ntopology p2p` : "255.255.255.0";
  return `tls-client\nifconfig ${PAIR_ADDRESS} ${second}\nkeepalive 1 5`;
}

/** A stock server; we dial it by a client file of the ordinary kind. */
async function dial(
  options: LinkOptions,
  { server, client, folder }: Place,
  stack: AsyncDisposableStack,
): Promise<Ends> {
  const { release, wrap = "tls-crypt", family = 4, stockLines = [], profileLines = [] } = options;
  const { device = "tap" } = options;
  const dev = [`dev ${device}0`, `dev-type ${device}`];
  const authority = await TestAuthority.create(`${folder}/authority`);
  const wrapKeys = wrap === "tls-crypt-v2" ? makeWrapKeys() : sharedKey(makeStaticKey());
  const keys = async (commonName: string, use: "server" | "client") => ({
    authority: authority.certificate,
    identity: await authority.issue({ commonName, use }),
    wrap,
    wrapKey: wrapKeys[use],
  });
  const isTcp = options.protocol === "Tcp";
  const proto = `proto ${isTcp ? "tcp" : "udp"}${family}${isTcp ? "-server" : ""}`;
  const isPair = options.role === "pair client";
  const serverConfig = isPair ? stockPairConfig : stockServerConfig;
  const stock = stack.use(
    await OpenvpnPeer.start({
      namespace: server,
      folder: `${folder}/server`,
      config: serverConfig(await keys("server", "server"), [
        proto,
        ...dev,
        ...(isPair && device === "tun"
          ? ["topology p2p", `ifconfig 10.20.0.1 ${PAIR_ADDRESS}`]
          : []),
        ...stockLines,
      ]),
      release,
    }),
  );
  // One end of a pair is ready when the other is there.
  if (!isPair) await stock.waitUntilUp();
  const remote = serverAddress(family);
  const plain = stockClientConfig(
    await keys(PEER, "client"),
    [remote],
    [...dev, ...(isTcp ? ["proto tcp"] : []), ...profileLines],
  );
  const profile = isPair
    ? plain.replace(/^client$/m, pairLines(device === "tun" ? "p2p" : "subnet"))
    : plain;
  const { transport } = options;
  const documents = dialDocuments({
    profile,
    ...(transport === undefined ? {} : { transport }),
    spec: modeOf(options),
  });
  const file = await writeDocuments(`${folder}/client.yaml`, documents);
  const ours = stack.use(await startFairlead(client, [file], { folder: `${folder}/client` }));
  const tunnel = await ours.waitUntilUp();
  return {
    ours,
    stock,
    oursHost: client,
    stockHost: server,
    oursAddress: isPair ? PAIR_ADDRESS : (tunnel.peers[0]?.address ?? ""),
    stockAddress: "10.20.0.1",
  };
}

/** Routes belong to a routed tunnel, which a tap is not. */
function modeOf({ role, device, routes }: LinkOptions): Fields {
  const link = role.startsWith("pair") ? { link: "TwoPeer" } : {};
  if (device !== "tun") return link;
  return { ...link, mode: "Routed", ...(routes === undefined ? {} : { routes }) };
}

function sharedKey(key: string): WrapKeys {
  return { server: key, client: key };
}

function makeWrapKeys(): WrapKeys {
  const serverKey = generateServerWrapKey();
  const client = printClientWrapKey(generateClientWrapKey(serverKey, PEER));
  return { server: printServerWrapKey(serverKey), client };
}

function serverAddress(family: 4 | 6): string {
  return family === 4 ? "192.0.2.1" : "2001:db8::1";
}
