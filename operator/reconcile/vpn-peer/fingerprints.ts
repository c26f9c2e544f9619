/**
 * The certificates that are a peer's own, kept in its profile Secret: the newest, and those before it
 * until they end, since a box may still run an older profile. An issuer signs for others as well, and
 * its certificates are not ours to revoke: whatever is not in such a list is refused by the gateway.
 * Pure.
 */
import { readCertificate } from "../../../authority/certificate.ts";
import { PEER_CERTIFICATES_MAX } from "../../limits.ts";

/** `fingerprint end`, a line each, the newest first. */
export function withCertificate(
  former: string | undefined,
  certificatePem: string,
  wallMs: number,
): string {
  const { fingerprint, notAfterMs } = readCertificate(certificatePem);
  const end = new Date(notAfterMs).toISOString();
  const others = linesOf(former).filter(
    (line) => line.fingerprint !== fingerprint && Date.parse(line.end) > wallMs,
  );
  const kept = [{ fingerprint, end }, ...others].slice(0, PEER_CERTIFICATES_MAX);
  return kept.map((line) => `${line.fingerprint} ${line.end}\n`).join("");
}

/** The fingerprints alone. */
export function fingerprintsIn(text: string | undefined): readonly string[] {
  return linesOf(text).map(({ fingerprint }) => fingerprint);
}

function linesOf(text = ""): readonly { readonly fingerprint: string; readonly end: string }[] {
  return text.split("\n").flatMap((line) => {
    const [fingerprint, end] = line.split(" ");
    return fingerprint === undefined || end === undefined ? [] : [{ fingerprint, end }];
  });
}
