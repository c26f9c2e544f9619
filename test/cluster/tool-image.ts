/**
 * A small image of ordinary programs of this machine, for workloads that know nothing of Fairlead:
 * busybox, ip, ping and socat with the libraries they need. It also holds the pods' namespaces.
 */
import { createHash } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { run, runFine } from "../support/process.ts";

/** Its name on the node. */
export const TOOL_IMAGE = "localhost/fairlead-tools:1";

const PROGRAMS = ["ip", "ping", "socat"];

/** Makes the image's archive in a folder; returns its path. */
export async function makeToolImage(folder: string): Promise<string> {
  const root = join(folder, "tools");
  for (const path of ["bin", "tmp", "etc", "proc", "sys", "dev", "run"]) {
    mkdirSync(join(root, path), { recursive: true });
  }
  const busybox = (await runFine(["which", "busybox"])).trim();
  copyFileSync(busybox, join(root, "bin/busybox"));
  for (const name of (await runFine([busybox, "--list"])).split("\n").filter(Boolean)) {
    if (name !== "busybox" && !PROGRAMS.includes(name))
      symlinkSync("busybox", join(root, "bin", name));
  }
  for (const name of PROGRAMS) await copyProgram(root, name);
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\n");
  return await pack(folder, root);
}

/** The program at /bin, its shared libraries where its loader looks for them. */
async function copyProgram(root: string, name: string): Promise<void> {
  const path = (await runFine(["which", name])).trim();
  copyFileSync(realpathSync(path), join(root, "bin", name));
  const { stdout } = await run(["ldd", path]);
  for (const [library] of stdout.matchAll(/\/\S+/g)) {
    const file = library.replace(/:$/, "");
    mkdirSync(dirname(join(root, file)), { recursive: true });
    copyFileSync(realpathSync(file), join(root, file));
  }
}

/** One layer, a configuration and a manifest: what `ctr images import` reads. */
async function pack(folder: string, root: string): Promise<string> {
  const layer = join(folder, "layer.tar");
  const owner = ["--numeric-owner", "--owner=0", "--group=0"];
  await runFine(["tar", "--create", "--file", layer, "--directory", root, ...owner, "."]);
  const digest = createHash("sha256").update(readFileSync(layer)).digest("hex");
  const config = {
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Env: ["PATH=/bin"], Cmd: ["/bin/sleep", "1000000000"] },
    rootfs: { type: "layers", diff_ids: [`sha256:${digest}`] },
  };
  const manifest = [{ Config: "config.json", RepoTags: [TOOL_IMAGE], Layers: ["layer.tar"] }];
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  const archive = join(folder, "tools.tar");
  const files = ["manifest.json", "config.json", "layer.tar"];
  await runFine(["tar", "--create", "--file", archive, "--directory", folder, ...files]);
  return archive;
}
