/**
 * The project's image, built from the Dockerfile itself without a container engine or a registry:
 * buildah, on a base image made here of Debian's packages and the project's own Node under the name
 * in FROM. Layers are kept outside the tree, so that a build without changes takes seconds. Nothing
 * of this machine's settings gets into the image: apt's and npm's are mounted during the build.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { cp, mkdir, rm } from "node:fs/promises";
import { delimiter, join, matchesGlob } from "node:path";
import { debianMirror } from "../support/debian-mirror.ts";
import { online } from "../support/owner.ts";
import { ensureCommands } from "../support/packages.ts";
import { run, runFine } from "../support/process.ts";
import { cacheFolder } from "../support/scratch.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** The name that the chart gives the image when nobody says another. */
const IMAGE_REPOSITORY = "docker.io/library/fairlead";

const BASE = "docker.io/library/node:24-bookworm-slim";
/** Home of the user that runs the steps of a build, inside the image. */
const BUILD_HOME = join("/", "root");
/** What the archive was built from. */
const SOURCES = "fairlead.sources";
const BUILD_TIMEOUT_MS = 25 * 60_000;
const STEP_TIMEOUT_MS = 5 * 60_000;

/** An image in a file. */
export interface ImageArchive {
  readonly path: string;
  readonly reference: string;
  /** Bytes of the file system that a container sees. */
  readonly bytes: number;
}

/** Builds the image, or finds it built, and returns it as an archive for a container runtime. */
export async function ensureImage(say: (line: string) => void): Promise<ImageArchive> {
  await ensureCommands(["buildah", "mmdebstrap"]);
  mkdirSync(folder(), { recursive: true });
  const reference = `${IMAGE_REPOSITORY}:${version()}`;
  const path = join(folder(), "fairlead.tar");
  const sources = `${reference} ${hashOfSources()}`;
  if (existsSync(path) && read(SOURCES) === sources) {
    return { path, reference, bytes: statSync(path).size };
  }
  if ((await buildah(["inspect", "--type", "image", BASE])).status !== 0) {
    say("making the base image of the Dockerfile, half a minute");
    await makeBase();
  }
  // Of a build that is killed nobody knows what the archive is.
  await rm(join(folder(), SOURCES), { force: true });
  say("building the image from the Dockerfile, minutes when nothing is cached");
  // The first stage by a name of its own, or its layers count as left over.
  await build("localhost/fairlead-build", ["--target", "build"]);
  await build(reference, []);
  const id = (await buildahFine(["images", "--quiet", "--no-trunc", reference])).trim();
  if (!existsSync(path) || read("fairlead.id") !== id) {
    await rm(`${path}.new`, { force: true });
    await buildahFine(["push", reference, `docker-archive:${path}.new:${reference}`]);
    renameSync(`${path}.new`, path);
    writeFileSync(join(folder(), "fairlead.id"), id);
    // What a killed build still holds is not removed, and costs space only.
    await buildah(["rmi", "--prune"]);
  }
  writeFileSync(join(folder(), SOURCES), sources);
  return { path, reference, bytes: statSync(path).size };
}

/** Of everything that the build can see, by .dockerignore: what it names with "!" and nothing else. */
function hashOfSources(): string {
  const lines = readFileSync(join(ROOT, ".dockerignore"), "utf8").split("\n");
  const named = lines.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  const left = lines.filter((line) => line.startsWith("**/"));
  const hash = createHash("sha256");
  const add = (path: string): void => {
    if (left.some((pattern) => matchesGlob(path, pattern))) return;
    const stat = statSync(join(ROOT, path));
    if (stat.isDirectory()) {
      for (const name of readdirSync(join(ROOT, path)).sort()) add(join(path, name));
      return;
    }
    hash.update(`${path} ${stat.mode & 0o777} ${stat.size}\n`);
    hash.update(readFileSync(join(ROOT, path)));
  };
  for (const path of ["Dockerfile", ".dockerignore", ...named]) add(path);
  return hash.digest("hex");
}

async function build(tag: string, options: readonly string[]): Promise<void> {
  await buildahFine(
    [
      ...["bud", "--isolation", "chroot", "--pull-never", "--layers", "--format", "docker"],
      ...(await machineSettings()),
      ...options,
      ...["-t", tag, ROOT],
    ],
    BUILD_TIMEOUT_MS,
  );
}

/** Where packages come from on this machine, mounted for the time of the build. */
async function machineSettings(): Promise<readonly string[]> {
  const npm = await npmSetting("globalconfig");
  const mounts = [
    ["/etc/apt", "/etc/apt"],
    ["/usr/local/share/ca-certificates", "/usr/local/share/ca-certificates"],
    [npm, "/usr/local/etc/npmrc"],
    [await npmSetting("userconfig"), join(BUILD_HOME, ".npmrc")],
  ] as const;
  // Crates and what was compiled of them are kept between builds, outside the image.
  const kept = ["cargo/registry", "cache/fairlead"].flatMap((path) => {
    mkdirSync(join(folder(), path), { recursive: true });
    return ["--volume", `${join(folder(), path)}:${join(BUILD_HOME, `.${path}`)}:rw`];
  });
  const read = mounts
    .filter(([source]) => source !== "" && existsSync(source))
    .flatMap(([source, target]) => ["--volume", `${source}:${target}:ro`]);
  return [...read, ...kept];
}

/** As the machine's own npm has it: run by the project's Node, npm looks beside that one. */
async function npmSetting(name: string): Promise<string> {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const PATH = folders.filter((path) => !path.endsWith("node_modules/.bin")).join(delimiter);
  const { stdout } = await run(["npm", "config", "get", name], { environment: { PATH } });
  return stdout.trim();
}

/** Debian's slim root with Node and npm where the image of that name has them. */
async function makeBase(): Promise<void> {
  const draft = join(folder(), "base");
  await rm(draft, { recursive: true, force: true });
  const local = join(draft, "usr/local");
  await mkdir(join(local, "bin"), { recursive: true });
  const archive = join(folder(), "base.tar");
  const slim = ["doc", "man", "locale", "info"].map(
    (name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`,
  );
  const command = ["mmdebstrap", "--variant=apt", ...slim, "bookworm", archive];
  await runFine(online([...command, await debianMirror()]), { timeoutMs: STEP_TIMEOUT_MS });
  await cp(join(ROOT, "node_modules/node/bin/node"), join(local, "bin/node"));
  const npm = ["npm", "install", "--global", "--prefix", local, "npm@11"];
  await runFine(online(npm), { timeoutMs: STEP_TIMEOUT_MS });
  const container = (await buildahFine(["from", "scratch"])).trim();
  await buildahFine(["add", container, archive, "/"]);
  await buildahFine(["add", container, draft, "/"]);
  await buildahFine(["config", "--env", `PATH=${PATH}`, "--cmd", "node", container]);
  await buildahFine(["commit", "--rm", container, BASE]);
  await rm(archive);
  await rm(draft, { recursive: true });
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

async function buildahFine(
  parameters: readonly string[],
  timeoutMs: number = STEP_TIMEOUT_MS,
): Promise<string> {
  return await runFine(buildahCommand(parameters), { timeoutMs, environment: environment() });
}

async function buildah(parameters: readonly string[]): ReturnType<typeof run> {
  return await run(buildahCommand(parameters), { environment: environment() });
}

/** One at a time; what it mounts is in a namespace of its own and goes with it, also after a kill. */
function buildahCommand(parameters: readonly string[]): readonly string[] {
  const storage = [
    ...["--root", join(folder(), "storage"), "--runroot", join(folder(), "run")],
    ...["--storage-driver", "overlay"],
  ];
  const apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
  const command = [...apart, "nice", "-n", "10", "buildah", ...storage, ...parameters];
  return online(["flock", join(folder(), ".lock"), ...command]);
}

function environment(): Readonly<Record<string, string>> {
  // Buildah's own default is /var/tmp.
  return { TMPDIR: folder() };
}

function version(): string {
  return (JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string })
    .version;
}

function read(name: string): string | undefined {
  const path = join(folder(), name);
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

function folder(): string {
  return join(cacheFolder(), "image");
}
