/** Peers that our listening end refuses: each hears why, and the others notice nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Identity, makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { dialDocuments, writeDocuments } from "../support/documents.ts";
import { printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { waitFor } from "../support/wait.ts";
import { assertFlowing, createStanding, GOOD_PEER } from "./standing.ts";

interface Case {
  readonly name: string;
  /** How the dialling end ends and what it says; absent: it still waits for an answer. */
  readonly end?: { readonly status: number; readonly text: RegExp };
  /** What the listening end says. */
  readonly reason: RegExp;
  /** Turns the good profile into one that is refused. */
  readonly spoil: (profile: string, identity: Identity) => string;
}

const withIdentity = (profile: string, { certificate, key }: Identity): string =>
  profile
    .replace(/<cert>[\s\S]*<\/cert>/, `<cert>\n${certificate}</cert>`)
    .replace(/<key>[\s\S]*<\/key>/, `<key>\n${key}</key>`);

const CASES: readonly Case[] = [
  {
    name: "stranger",
    end: {
      status: 17,
      text: /the server refuses this end: certificate refused: .*trusted authority.*; ask its admin/,
    },
    reason: /peer refused: its certificate is not from a trusted authority/,
    spoil: withIdentity,
  },
  {
    name: "wrong-key",
    reason: /a control packet does not verify: another tls-crypt or tls-auth key\?/,
    spoil: (profile) =>
      profile.replace(
        /<tls-crypt>[\s\S]*<\/tls-crypt>/,
        `<tls-crypt>\n${makeStaticKey()}</tls-crypt>`,
      ),
  },
];

test("who is refused hears why, and nobody else notices", { timeout: 90_000 }, async () => {
  await using standing = await createStanding();
  const { ours, third, scratch, file, place } = standing;
  const authority = await TestAuthority.create(scratch.file("stranger"));
  const identity = await authority.issue({ commonName: GOOD_PEER, use: "client" });
  const profile = await printProfile(GOOD_PEER, file, place);
  await Promise.all(
    CASES.map(async ({ name, end, reason, spoil }) => {
      const spoilt = spoil(profile, identity);
      assert.notEqual(spoilt, profile, name);
      const documents = dialDocuments({ name, profile: spoilt, interface: `r-${name}` });
      const path = await writeDocuments(scratch.file(`${name}.yaml`), documents);
      await using refused = await startFairlead(third, [path], { folder: scratch.file(name) });
      if (end !== undefined) {
        assert.equal(await refused.waitForEnd(), end.status, refused.log);
        assert.match(refused.log, end.text);
      }
      await waitFor(
        () => `${name}: ${ours.log}`,
        () => reason.test(ours.log),
      );
    }),
  );
  await assertFlowing(standing);
  const peers = (await ours.tunnel())?.peers.filter((peer) => peer.state === "Up");
  assert.deepEqual(
    peers?.map((peer) => peer.name),
    [GOOD_PEER],
  );
});
