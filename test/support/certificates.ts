/**
 * Keys and certificates for tests, made by the openssl program: written independently of the
 * project's own authority, so that the two check each other.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureCommands } from "./packages.ts";
import { runFine } from "./process.ts";

/** A private key and its certificate, PEM. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
}

/** What an identity is issued for. */
export interface IssueOptions {
  readonly commonName: string;
  readonly use: "server" | "client";
  /** From today; negative: expired already. */
  readonly lifetimeDays?: number;
}

/** A certificate authority in a folder of its own. */
export class TestAuthority {
  readonly certificate: string;
  readonly #folder: string;

  private constructor(folder: string, certificate: string) {
    this.#folder = folder;
    this.certificate = certificate;
  }

  /** Makes an authority whose files live in `folder`. */
  static async create(folder: string): Promise<TestAuthority> {
    await ensureCommands(["openssl"]);
    await mkdir(folder, { recursive: true });
    await openssl(folder, [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
      ...["-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority"],
    ]);
    return new TestAuthority(folder, await readFile(join(folder, "ca.crt"), "utf8"));
  }

  /** Issues a certificate with the key usage that `remote-cert-tls` asks for. */
  async issue(options: IssueOptions): Promise<Identity> {
    const { commonName, use, lifetimeDays = 2 } = options;
    const file = (suffix: string): string => join(this.#folder, `${commonName}.${suffix}`);
    await writeFile(
      file("ext"),
      `basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=${use}Auth\n`,
    );
    await openssl(this.#folder, [
      ...["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
      ...["-keyout", file("key"), "-out", file("csr"), "-subj", `/CN=${commonName}`],
    ]);
    await openssl(this.#folder, [
      ...["x509", "-req", "-in", file("csr"), "-CA", "ca.crt", "-CAkey", "ca.key"],
      ...["-CAcreateserial", "-days", String(lifetimeDays), "-extfile", file("ext")],
      ...["-out", file("crt")],
    ]);
    return {
      certificate: await readFile(file("crt"), "utf8"),
      key: await readFile(file("key"), "utf8"),
    };
  }
}

/** A random static key in OpenVPN's file format, for tls-crypt and tls-auth. */
export function makeStaticKey(): string {
  const lines = randomBytes(256).toString("hex").match(/.{32}/g) ?? [];
  return [
    "-----BEGIN OpenVPN Static key V1-----",
    ...lines,
    "-----END OpenVPN Static key V1-----",
    "",
  ].join("\n");
}

async function openssl(folder: string, parameters: readonly string[]): Promise<void> {
  await runFine(["openssl", ...parameters], { directory: folder });
}
