/** The ordinary objects of the lab's cluster: programs that know nothing of Fairlead. */
import { TOOL_IMAGE } from "../cluster/tool-image.ts";
import { LAB_NAMESPACE } from "./cluster-install.ts";
import { LAB } from "./topology.ts";

/** What the viewer listens to from its first moment on. */
export const FIRST_GROUP = { family: 4, address: "239.1.2.9", port: 5009 } as const;

const APP = "app";

/**
 * A pod that joins a group as soon as it starts, and serves a page for its probe and its Service;
 * with the name of a tunnel it gets an interface on its segment.
 */
export function viewerPod(name: string, tunnel?: string): object {
  const { address, port } = FIRST_GROUP;
  const script = [
    "echo ready > /tmp/page",
    "httpd -p 8080 -h /tmp",
    `exec socat -u UDP4-RECV:${port},reuseaddr,ip-add-membership=${address}:0.0.0.0 STDOUT`,
  ].join("; ");
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: meta(name, { app: name, ...(tunnel === undefined ? {} : { needs: tunnel }) }),
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          ...container(["sh", "-c", script]),
          readinessProbe: { httpGet: { path: "/page", port: 8080 }, periodSeconds: 1 },
        },
      ],
    },
  };
}

/** The Service in front of a viewer. */
export function viewerService(name: string): object {
  const spec = { selector: { app: name }, ports: [{ port: 80, targetPort: 8080 }] };
  return { apiVersion: "v1", kind: "Service", metadata: meta(name, {}), spec };
}

/** A Job that reaches the testbed and ends. */
export function pingJob(name: string, tunnel: string): object {
  const containers = [container(["ping", "-c", "2", "-W", "2", LAB.lanHost])];
  const template = {
    metadata: { labels: { needs: tunnel } },
    spec: { restartPolicy: "Never", containers },
  };
  const spec = { backoffLimit: 0, template };
  return { apiVersion: "batch/v1", kind: "Job", metadata: meta(name, {}), spec };
}

/** The container of every pod here. */
export const APP_CONTAINER: string = APP;

function meta(name: string, labels: Readonly<Record<string, string>>): object {
  return { name, namespace: LAB_NAMESPACE, labels };
}

function container(command: readonly string[]): object {
  return { name: APP, image: TOOL_IMAGE, command };
}
