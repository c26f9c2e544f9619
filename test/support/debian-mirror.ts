/** Where this machine gets Debian from, asked of apt at run time and written nowhere. */
import { run } from "./process.ts";

/** Debian's mirror as apt on this machine knows it. */
export async function debianMirror(): Promise<string> {
  const { stdout } = await run([
    ...["apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN) $(LABEL)"],
    "Created-By: Packages",
  ]);
  const line = stdout.split("\n").find((text) => text.endsWith(" Debian Debian"));
  const mirror = line?.split(" ")[0];
  if (mirror === undefined) throw new Error("apt names no Debian mirror on this machine");
  return mirror;
}
