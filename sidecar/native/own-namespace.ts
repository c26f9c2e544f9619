/**
 * The guard of tests that change links, addresses and routes as they like: they run only in a
 * network namespace made by `ip netns add`, never in the machine's own.
 */

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const NAMESPACES = "/run/netns";

/** Throws unless this process is in a network namespace that has a name. */
export function requireOwnNamespace(): void {
  const ours = statSync("/proc/self/ns/net").ino;
  const names = existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : [];
  // Another test may take its namespace away in between.
  const inode = (name: string) => statSync(join(NAMESPACES, name), { throwIfNoEntry: false })?.ino;
  if (names.some((name) => inode(name) === ours)) return;
  throw new Error(
    "this test changes the network: run it by `ip netns add X; ip netns exec X node --test FILE`",
  );
}
