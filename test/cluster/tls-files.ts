/**
 * Certificates and kubeconfigs of a test's control plane, in its own folder, made by the openssl
 * program. They are worth nothing outside it: the server dies with the test.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureCommands } from "../support/packages.ts";
import { runFine } from "../support/process.ts";

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];

/** Who a kubeconfig is for. */
export interface Holder {
  readonly file: string;
  /** OpenSSL's form: `/O=system:masters/CN=admin`. */
  readonly subject: string;
}

/** Makes the authority, the server's certificate and the keys of service accounts. */
export async function makeServerFiles(folder: string, address: string): Promise<void> {
  await ensureCommands(["openssl"]);
  await openssl(folder, [
    ...["req", "-x509", ...NEW_KEY, "-subj", "/CN=test cluster"],
    ...["-keyout", "ca.key", "-out", "ca.crt"],
  ]);
  const names = [
    ...["IP:127.0.0.1", `IP:${address}`, "IP:10.96.0.1", "DNS:localhost", "DNS:kubernetes"],
    ...["DNS:kubernetes.default.svc", "DNS:kubernetes.default.svc.cluster.local"],
  ];
  await issueCertificate(folder, { file: "apiserver", subject: "/CN=kube-apiserver" }, names);
  const parameters = ["-genkey", "-name", "prime256v1", "-noout", "-out", "sa.key"];
  await openssl(folder, ["ecparam", ...parameters]);
  await openssl(folder, ["ec", "-in", "sa.key", "-pubout", "-out", "sa.pub"]);
}

/** Makes a client certificate and writes the kubeconfig that holds it; returns its path. */
export async function makeKubeconfig(
  folder: string,
  holder: Holder,
  server: string,
): Promise<string> {
  await issueCertificate(folder, holder, []);
  const base64 = async (name: string): Promise<string> =>
    (await readFile(join(folder, name))).toString("base64");
  const user = {
    "client-certificate-data": await base64(`${holder.file}.crt`),
    "client-key-data": await base64(`${holder.file}.key`),
  };
  const cluster = { server, "certificate-authority-data": await base64("ca.crt") };
  return await writeKubeconfig(join(folder, `${holder.file}.kubeconfig`), cluster, user);
}

/** Writes a kubeconfig with one cluster and one user. */
export async function writeKubeconfig(
  path: string,
  cluster: Readonly<Record<string, string>>,
  user: Readonly<Record<string, string>>,
): Promise<string> {
  const document = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster }],
    users: [{ name: "test", user }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  };
  await writeFile(path, JSON.stringify(document), { mode: 0o600 });
  return path;
}

/** Makes a key and a certificate, `<file>.key` and `<file>.crt`; `names` as OpenSSL writes them. */
export async function issueCertificate(
  folder: string,
  holder: Holder,
  names: readonly string[],
): Promise<void> {
  const extensions = ["-addext", "basicConstraints=critical,CA:FALSE"];
  extensions.push("-addext", "extendedKeyUsage=serverAuth,clientAuth");
  if (names.length > 0) extensions.push("-addext", `subjectAltName=${names.join(",")}`);
  await openssl(folder, [
    ...["req", "-x509", "-CA", "ca.crt", "-CAkey", "ca.key", ...NEW_KEY, ...extensions],
    ...["-subj", holder.subject, "-keyout", `${holder.file}.key`, "-out", `${holder.file}.crt`],
  ]);
}

async function openssl(folder: string, parameters: readonly string[]): Promise<void> {
  await runFine(["openssl", ...parameters], { directory: folder });
}
