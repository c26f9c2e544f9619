/** Usernames and passwords towards stock OpenVPN, in both roles: refused, let in, renewed by a token. */
import assert from "node:assert/strict";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { hashPassword } from "../../authority/password.ts";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { listenDocuments, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts, PingStream, ping } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { Scratch } from "../support/scratch.ts";
import { stockClientConfig, stockServerConfig } from "../support/stock-config.ts";
import { waitFor } from "../support/wait.ts";
import { PEER } from "./links.ts";

const LONG = { timeout: 120_000 };
const RENEWALS = 2;
/** First keys and renewals, as stock tells of them. */
const keysOf = (stock: OpenvpnPeer): number =>
  stock.log.match(/Control Channel: TLSv/g)?.length ?? 0;

for (const release of ["2.6", "2.7"] as const) {
  test(
    `we ask stock ${release} for a password: a wrong one hears why, a right one gets tokens`,
    LONG,
    async () => {
      await using network = await Network.create();
      await using scratch = await Scratch.create();
      const { server, client } = await createHosts(network, ["server", "client"]);
      const secret = {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "users", namespace: "lab" },
        stringData: { users: `anna:${await hashPassword("right")}\n` },
      };
      const documents = listenDocuments({
        peers: [PEER],
        security: { userPassSecretRef: { name: "users" } },
        transport: { renegotiateSeconds: 5 },
      });
      const file = await writeDocuments(scratch.file("server.yaml"), [secret, ...documents]);
      const place = { folder: scratch.file("server") };
      await using ours = await startFairlead(server, [file], place);
      await ours.waitUntilUp();
      const profile = await printProfile(PEER, file, place);
      const dial = async (password: string) =>
        await OpenvpnPeer.start({
          namespace: client,
          folder: scratch.file(password),
          config: [profile, "dev tap0", "auth-user-pass login.txt", ""].join("\n"),
          files: { "login.txt": `anna\n${password}\n` },
          release,
        });
      {
        await using stock = await dial("wrong");
        await stock.waitForLog(/AUTH_FAILED,the username or the password is wrong/);
        await ours.waitForLog(/anna may not log in: the username or the password is wrong/);
        await stock.waitForEnd();
      }
      await using stock = await dial("right");
      await stock.waitUntilUp();
      const { address = "" } = await ours.waitForPeer(PEER);
      await using stream = new PingStream(server, address, 0.02);
      // Only tokens from here on: what stock would answer for the password is not looked at.
      await waitFor("two renewals", () => keysOf(stock) > RENEWALS, 60_000);
      const { sent, received } = await stream.finish();
      assert.equal(received, sent, `lost: ${stream.missing().join(" ")}`);
      assert.doesNotMatch(stock.log, /AUTH_FAILED|auth-token.*(expired|failed)/i);
      for (const word of ["right", "SESS_ID_AT_"]) assert(!ours.log.includes(word), word);
    },
  );
}

test(
  "a stock server asks us: a wrong password ends with 18, the token renews the key",
  LONG,
  async () => {
    await using network = await Network.create();
    await using scratch = await Scratch.create();
    const { server, client } = await createHosts(network, ["server", "client"]);
    const authority = await TestAuthority.create(scratch.file("authority"));
    const shared = {
      authority: authority.certificate,
      wrap: "tls-crypt",
      wrapKey: makeStaticKey(),
    } as const;
    const identity = await authority.issue({ commonName: "server", use: "server" });
    const own = await authority.issue({ commonName: PEER, use: "client" });
    const folder = scratch.file("server");
    await mkdir(folder, { recursive: true });
    // Right once: the token has to do from then on.
    const script = `${folder}/verify.sh`;
    const once = `[ "$(sed -n 2p "$1")" = right ] && [ ! -e ${folder}/used ] && touch ${folder}/used`;
    await writeFile(script, `#!/bin/sh\n${once}\n`);
    await chmod(script, 0o755);
    await using stock = await OpenvpnPeer.start({
      namespace: server,
      folder,
      config: stockServerConfig({ ...shared, identity }, [
        "script-security 2",
        `auth-user-pass-verify ${script} via-file`,
        "auth-gen-token 3600",
      ]),
    });
    await stock.waitUntilUp();
    const profile = stockClientConfig(
      { ...shared, identity: own },
      ["192.0.2.1"],
      ["auth-user-pass", "reneg-sec 5"],
    );
    const path = scratch.file("client.ovpn");
    await writeFile(path, profile);
    const dial = async (password: string): Promise<FairleadPeer> => {
      const login = scratch.file(`${password}.txt`);
      await writeFile(login, `anna\n${password}\n`);
      const parameters = ["--profile", path, "--auth-user-pass", login];
      return await startFairlead(client, [], { folder: scratch.file(password), parameters });
    };
    {
      await using ours = await dial("wrong");
      assert.equal(await ours.waitForEnd(), 18, ours.log);
      assert.match(ours.log, /the server refuses this end: /);
    }
    await using ours = await dial("right");
    await ours.waitUntilUp();
    await using stream = new PingStream(client, "10.20.0.1", 0.02);
    const before = keysOf(stock);
    await waitFor("two renewals", () => keysOf(stock) >= before + RENEWALS, 60_000);
    const { sent, received } = await stream.finish();
    assert.equal(received, sent, `lost: ${stream.missing().join(" ")}`);
    assert.deepEqual(await ping(client, "10.20.0.1"), { sent: 3, received: 3 });
    for (const word of ["right", "SESS_ID_AT_"]) assert(!ours.log.includes(word), word);
  },
);

test("a stock server that wants no certificate knows us by the password alone", LONG, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const { server, client } = await createHosts(network, ["server", "client"]);
  const authority = await TestAuthority.create(scratch.file("authority"));
  const identity = await authority.issue({ commonName: "server", use: "server" });
  const wrapKey = makeStaticKey();
  const keys = { authority: authority.certificate, identity, wrap: "tls-crypt", wrapKey } as const;
  const folder = scratch.file("server");
  await mkdir(folder, { recursive: true });
  const script = `${folder}/verify.sh`;
  await writeFile(script, '#!/bin/sh\n[ "$(sed -n 2p "$1")" = right ]\n');
  await chmod(script, 0o755);
  await using stock = await OpenvpnPeer.start({
    namespace: server,
    folder,
    config: stockServerConfig(keys, [
      ...["verify-client-cert none", "username-as-common-name", "script-security 2"],
      `auth-user-pass-verify ${script} via-file`,
    ]),
  });
  await stock.waitUntilUp();
  const path = scratch.file("client.ovpn");
  const profile = stockClientConfig(keys, ["192.0.2.1"], ["auth-user-pass login.txt"]);
  await writeFile(path, profile.replace(/<(cert|key)>[\s\S]*?<\/\1>\n?/g, ""));
  const login = scratch.file("login.txt");
  await writeFile(login, "anna\nright\n");
  await using ours = await startFairlead(client, [], {
    folder: scratch.file("client"),
    parameters: ["--profile", path, "--auth-user-pass", login],
  });
  await ours.waitUntilUp();
  assert.deepEqual(await ping(client, "10.20.0.1"), { sent: 3, received: 3 });
  await stock.waitForLog(/anna\/192\.0\.2\.2/);
});

test("a saved list cuts off who is no longer in it and touches nobody else", LONG, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await createHosts(network, ["server", "annasBox", "bertsBox"]);
  const documents = listenDocuments({
    peers: ["annas-box", "berts-box"],
    security: { userPassSecretRef: { name: "users" } },
  });
  const bert = `bert:${await hashPassword("also")}\n`;
  const path = scratch.file("server.yaml");
  const save = async (users: string): Promise<void> => {
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "users", namespace: "lab" },
      stringData: { users },
    };
    await writeDocuments(path, [secret, ...documents]);
  };
  await save(`anna:${await hashPassword("right")}\n${bert}`);
  const place = { folder: scratch.file("server") };
  await using ours = await startFairlead(hosts.server, [path], place);
  await ours.waitUntilUp();
  const dial = async (namespace: Namespace, peer: string, login: string) => {
    const profile = await printProfile(peer, path, place);
    return await OpenvpnPeer.start({
      namespace,
      folder: scratch.file(peer),
      config: [profile, "dev tap0", "auth-user-pass login.txt", ""].join("\n"),
      files: { "login.txt": login },
    });
  };
  await using annas = await dial(hosts.annasBox, "annas-box", "anna\nright\n");
  await using berts = await dial(hosts.bertsBox, "berts-box", "bert\nalso\n");
  for (const stock of [annas, berts]) await stock.waitUntilUp();
  const { address = "" } = await ours.waitForPeer("berts-box");
  await using stream = new PingStream(hosts.server, address, 0.02);
  await waitFor("the stream", () => stream.received > 10);
  await save(bert);
  await annas.waitForLog(/AUTH_FAILED,its user was removed or has another password/);
  await ours.waitForLog(/peer cut off: its user was removed/);
  await annas.waitForEnd();
  const soFar = stream.received;
  await waitFor("the stream to go on", () => stream.received > soFar + 20);
  const { sent, received } = await stream.finish();
  assert.equal(received, sent, `lost: ${stream.missing().join(" ")}`);
  assert.doesNotMatch(ours.log, /restart of the tunnel/);
  await using again = await dial(hosts.annasBox, "annas-box", "anna\nright\n");
  await again.waitForLog(/AUTH_FAILED,the username or the password is wrong/);
});
