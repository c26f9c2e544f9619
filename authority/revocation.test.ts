/** Revocation lists: every serial number of every list, in one form. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CertificateError } from "./authority-error.ts";
import { createAuthority } from "./certificate.ts";
import { issueRevocationList, revokedSerials, serialForm } from "./revocation.ts";

async function listOf(serials: readonly string[]): Promise<string> {
  const validity = { lifetimeDays: 1, wallMs: Date.now() };
  return issueRevocationList(
    await createAuthority({ commonName: "ca", ...validity }),
    serials,
    validity,
  );
}

test("every serial number of every list is found", async () => {
  const text = `${await listOf(["0a01", "7f"])}\n${await listOf(["0100"])}`;
  assert.deepEqual([...revokedSerials(text)], ["A01", "7F", "100"].map(serialForm));
  assert.equal(revokedSerials(await listOf([])).size, 0);
});

test("serial numbers compare without leading zeros and case", () => {
  assert.equal(serialForm("00ab"), serialForm("AB"));
  assert.equal(serialForm("00"), "0");
});

test("a damaged list is an error that says what to do", () => {
  const text = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
  assert.throws(() => revokedSerials(text), CertificateError);
});
