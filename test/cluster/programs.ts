/**
 * The programs of a real cluster (etcd, kube-apiserver, kubelet, …) and Helm, built from Go modules
 * once and kept outside the tree. Invariant: a program is used only when its stamp says that it was
 * built from these modules by this Go; whoever builds holds a lock, so two runs build once.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OperatingError } from "../../common/operating-error.ts";
import { run, runFine } from "../support/process.ts";
import { cacheFolder } from "../support/scratch.ts";

/** Kubernetes as the modules have it. */
const KUBERNETES_VERSION = "v1.34.4";

interface Source {
  readonly module: "gomod" | "helm" | "coredns";
  readonly package: string;
  readonly flags: string;
}

const BUILD_TIMEOUT_MS = 25 * 60_000;
const PLAIN = "-s -w";
const KUBERNETES = `-s -w ${["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
  .flatMap((name) => [
    `-X ${name}.gitVersion=${KUBERNETES_VERSION} -X ${name}.gitMajor=1 -X ${name}.gitMinor=34`,
    `-X ${name}.gitCommit=module -X ${name}.gitTreeState=clean -X ${name}.buildDate=1970-01-01T00:00:00Z`,
  ])
  .join(" ")}`;

function kubernetes(name: string): Source {
  return { module: "gomod", package: `k8s.io/kubernetes/cmd/${name}`, flags: KUBERNETES };
}

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
  | "helm";

const SOURCES: Readonly<Record<ClusterProgram, Source>> = {
  etcd: { module: "gomod", package: "go.etcd.io/etcd/server/v3", flags: PLAIN },
  "kube-apiserver": kubernetes("kube-apiserver"),
  kubectl: kubernetes("kubectl"),
  "kube-controller-manager": kubernetes("kube-controller-manager"),
  "kube-scheduler": kubernetes("kube-scheduler"),
  kubelet: kubernetes("kubelet"),
  "kube-proxy": kubernetes("kube-proxy"),
  coredns: { module: "coredns", package: "github.com/coredns/coredns", flags: PLAIN },
  helm: { module: "helm", package: "helm.sh/helm/v3/cmd/helm", flags: PLAIN },
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
  return join(binFolder(), name);
}

/** Builds what is missing or was built from other modules; says how long it took. */
export async function ensurePrograms(
  names: readonly ClusterProgram[],
  say: (line: string) => void,
): Promise<void> {
  mkdirSync(binFolder(), { recursive: true });
  const version = await goVersion();
  for (const name of names) {
    const stamp = stampOf(SOURCES[name], version);
    if (isBuilt(name, stamp)) continue;
    const startMs = performance.now();
    await build(name, stamp);
    say(`${name} built in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
  }
}

async function goVersion(): Promise<string> {
  const { status, stdout } = await run(["go", "version"]);
  if (status === 0) return stdout.trim();
  throw new OperatingError(
    "program-missing",
    "go is not there, and the control plane is built from Go modules: install Go 1.24 or newer",
  );
}

async function build(name: ClusterProgram, stamp: string): Promise<void> {
  const source = SOURCES[name];
  const target = `${programPath(name)}.${process.pid}.new`;
  const command = ["go", "build", "-trimpath", "-ldflags", source.flags, "-o", target];
  const lock = join(binFolder(), ".lock");
  await runFine(["flock", lock, "nice", "-n", "19", ...command, source.package], {
    directory: join(import.meta.dirname, source.module),
    environment: { CGO_ENABLED: "0", GOFLAGS: "-buildvcs=false" },
    timeoutMs: BUILD_TIMEOUT_MS,
  });
  renameSync(target, programPath(name));
  writeFileSync(stampFile(name), stamp);
}

function isBuilt(name: ClusterProgram, stamp: string): boolean {
  if (!existsSync(programPath(name)) || !existsSync(stampFile(name))) return false;
  return readFileSync(stampFile(name), "utf8") === stamp;
}

function stampOf(source: Source, version: string): string {
  const hash = createHash("sha256").update(`${version}\n${source.package}\n${source.flags}\n`);
  for (const file of ["go.mod", "go.sum"]) {
    hash.update(readFileSync(join(import.meta.dirname, source.module, file)));
  }
  return hash.digest("hex");
}

function stampFile(name: ClusterProgram): string {
  return join(binFolder(), `.${name}.stamp`);
}

function binFolder(): string {
  return join(cacheFolder(), "kubernetes", "bin");
}
