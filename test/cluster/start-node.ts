/**
 * A real cluster of one node to look around in, until Ctrl-C:
 * `node test/cluster/start-node.ts [image archive…]`.
 */
import { Network } from "../support/netns.ts";
import { ClusterNode } from "./node.ts";

await using network = await Network.create();
await using node = await ClusterNode.start(network, process.argv.slice(2));
process.stdout.write(`up: ${node.plane.kubectlCommand().join(" ")}\n`);
const { promise, resolve } = Promise.withResolvers<void>();
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => resolve());
await promise;
