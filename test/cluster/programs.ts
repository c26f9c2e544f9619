/**
 * The programs of a real cluster (etcd, kube-apiserver, kubelet, …) and Helm, built from one Go module
 * once and kept outside the tree. Invariant: a program is used only when its stamp says that it was
 * built from this module by this Go; whoever builds holds a lock, so two runs build once.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OperatingError } from "../../common/operating-error.ts";
import { run, runFine } from "../support/process.ts";
import { cacheFolder } from "../support/scratch.ts";

/** Kubernetes as the module has it. */
const KUBERNETES_VERSION = "v1.34.4";
/** A Go module, and what its programs are made from besides the packages that it names. */
interface Module {
  readonly folder: string;
  readonly files: readonly string[];
}

/** One module for the cluster, so that what its programs share is fetched and compiled once. */
const CLUSTER: Module = {
  folder: join(import.meta.dirname, "gomod"),
  files: ["go.mod", "go.sum", "coredns/main.go"],
};
/** Apart, so that another version of it does not compile the whole cluster anew. */
const CERT_MANAGER: Module = {
  folder: join(import.meta.dirname, "gomod-cert-manager"),
  files: ["go.mod", "go.sum", "main.go"],
};
/** Apart for the same reason, with the cluster's own versions of what both use. */
const MULTUS: Module = {
  folder: join(import.meta.dirname, "gomod-multus"),
  files: ["go.mod", "go.sum"],
};

const BUILD_TIMEOUT_MS = 40 * 60_000;
/** Without what only debuggers read. */
const COMPILE_FLAGS = "all=-dwarf=false";
const LINK_FLAGS = `-s -w ${["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
  .flatMap((name) => [
    `-X ${name}.gitVersion=${KUBERNETES_VERSION} -X ${name}.gitMajor=1 -X ${name}.gitMinor=34`,
    `-X ${name}.gitCommit=module -X ${name}.gitTreeState=clean -X ${name}.buildDate=1970-01-01T00:00:00Z`,
  ])
  .join(" ")}`;

/** A program that can be built. */
export type ClusterProgram =
  | "etcd"
  | "kube-apiserver"
  | "kubectl"
  | "kube-controller-manager"
  | "kube-scheduler"
  | "kubelet"
  | "kube-proxy"
  | "coredns"
  | "helm"
  | "cert-manager"
  | "multus";

/** A main package, and what `go build` calls the program of it. */
interface Source {
  readonly module: Module;
  readonly package: string;
  readonly output: string;
}

function kubernetes(name: string): Source {
  return { module: CLUSTER, package: `k8s.io/kubernetes/cmd/${name}`, output: name };
}

const SOURCES: Readonly<Record<ClusterProgram, Source>> = {
  etcd: { module: CLUSTER, package: "go.etcd.io/etcd/server/v3", output: "server" },
  "kube-apiserver": kubernetes("kube-apiserver"),
  kubectl: kubernetes("kubectl"),
  "kube-controller-manager": kubernetes("kube-controller-manager"),
  "kube-scheduler": kubernetes("kube-scheduler"),
  kubelet: kubernetes("kubelet"),
  "kube-proxy": kubernetes("kube-proxy"),
  coredns: { module: CLUSTER, package: "./coredns", output: "coredns" },
  helm: { module: CLUSTER, package: "helm.sh/helm/v3/cmd/helm", output: "helm" },
  "cert-manager": { module: CERT_MANAGER, package: ".", output: "fairlead-test-cert-manager" },
  multus: {
    module: MULTUS,
    package: "gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd/multus",
    output: "multus",
  },
};

/** What every control plane needs. */
export const SERVER_PROGRAMS: readonly ClusterProgram[] = ["etcd", "kube-apiserver", "kubectl"];

/** What makes objects act: owner references, ReplicaSets, pods onto nodes. */
export const CONTROLLER_PROGRAMS: readonly ClusterProgram[] = [
  "kube-controller-manager",
  "kube-scheduler",
];

/** What runs on a node besides the container runtime. */
export const NODE_PROGRAMS: readonly ClusterProgram[] = ["kubelet", "kube-proxy", "coredns"];

/** What tests use that need no node. */
export const PLANE_PROGRAMS: readonly ClusterProgram[] = [
  ...SERVER_PROGRAMS,
  ...CONTROLLER_PROGRAMS,
  "helm",
];

/** Path of a built program; throws when it is not there: `ensurePrograms` comes first. */
export function programPath(name: ClusterProgram): string {
  return join(programFolder(), name);
}

/** Builds what is missing or was built from another module; says how long it took. */
export async function ensurePrograms(
  names: readonly ClusterProgram[],
  say: (line: string) => void,
): Promise<void> {
  mkdirSync(programFolder(), { recursive: true });
  const version = await goVersion();
  const missing = names.filter((name) => !isBuilt(name, stampOf(SOURCES[name], version)));
  if (missing.length === 0) return;
  say(`building ${missing.join(", ")}: minutes when nothing of them is cached`);
  const startMs = performance.now();
  for (const module of new Set(missing.map((name) => SOURCES[name].module))) {
    const own = missing.filter((name) => SOURCES[name].module === module);
    if (own.length > 0) await build(module, own, version);
  }
  say(`built in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
}

/** Files with the kinds of cert-manager, as its module has them. */
export async function certManagerKinds(): Promise<readonly string[]> {
  const command = ["go", "mod", "download", "-json", "github.com/cert-manager/cert-manager"];
  const text = await runFine(command, { directory: CERT_MANAGER.folder, timeoutMs: 120_000 });
  const { Dir: folder } = JSON.parse(text) as { readonly Dir: string };
  return ["certificates", "certificaterequests", "issuers", "clusterissuers"].map((kind) =>
    join(folder, "deploy", "crds", `cert-manager.io_${kind}.yaml`),
  );
}

async function goVersion(): Promise<string> {
  const { status, stdout } = await run(["go", "version"]);
  if (status === 0) return stdout.trim();
  throw new OperatingError(
    "program-missing",
    "go is not there, and the control plane is built from Go modules: install Go 1.24 or newer",
  );
}

/** All in one run of `go build`: both processors are busy while one program is linked. */
async function build(
  module: Module,
  names: readonly ClusterProgram[],
  version: string,
): Promise<void> {
  const draft = join(programFolder(), `.new-${process.pid}`);
  const command = ["go", "build", "-trimpath", "-gcflags", COMPILE_FLAGS, "-ldflags", LINK_FLAGS];
  const lock = join(programFolder(), ".lock");
  const packages = names.map((name) => SOURCES[name].package);
  try {
    mkdirSync(draft, { recursive: true });
    await runFine(["flock", lock, "nice", "-n", "19", ...command, "-o", `${draft}/`, ...packages], {
      directory: module.folder,
      environment: { CGO_ENABLED: "0", GOFLAGS: "-buildvcs=false" },
      timeoutMs: BUILD_TIMEOUT_MS,
    });
    for (const name of names) {
      renameSync(join(draft, SOURCES[name].output), programPath(name));
      writeFileSync(stampFile(name), stampOf(SOURCES[name], version));
    }
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function isBuilt(name: ClusterProgram, stamp: string): boolean {
  if (!existsSync(programPath(name)) || !existsSync(stampFile(name))) return false;
  return readFileSync(stampFile(name), "utf8") === stamp;
}

function stampOf(source: Source, version: string): string {
  const hash = createHash("sha256").update(`${version}\n${source.package}\n`);
  hash.update(`${COMPILE_FLAGS}\n${LINK_FLAGS}\n`);
  const { files, folder } = source.module;
  for (const file of files) hash.update(readFileSync(join(folder, file)));
  return hash.digest("hex");
}

function stampFile(name: ClusterProgram): string {
  return join(programFolder(), `.${name}.stamp`);
}

function programFolder(): string {
  return join(cacheFolder(), "kubernetes", "programs");
}
