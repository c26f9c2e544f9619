/** NetworkAttachmentDefinitions for tests: the kind as Multus' own manifests have it, and objects of it. */
import assert from "node:assert/strict";
import { waitFor } from "../support/wait.ts";
import type { ControlPlane } from "./control-plane.ts";

const GROUP = "k8s.cni.cncf.io";
const PLURAL = "network-attachment-definitions";

/** The kind; ready to be used when it returns. */
export async function installNetworkKind(plane: ControlPlane): Promise<void> {
  const config = { type: "object", properties: { config: { type: "string" } } };
  const schema = { openAPIV3Schema: { type: "object", properties: { spec: config } } };
  await apply(plane, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${PLURAL}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: "Namespaced",
      names: { plural: PLURAL, singular: "network-attachment-definition", kind: KIND },
      versions: [{ name: "v1", served: true, storage: true, schema }],
    },
  });
  await waitFor("the kind of networks", async () => {
    const { status } = await plane.kubectlWith("", "get", PLURAL, "-A");
    return status === 0;
  });
}

const KIND = "NetworkAttachmentDefinition";

/** One network; `config` is that of a CNI plugin. */
export async function applyNetwork(
  plane: ControlPlane,
  place: { readonly namespace: string; readonly name: string },
  config: object,
): Promise<void> {
  const spec = { config: JSON.stringify({ cniVersion: "0.4.0", name: place.name, ...config }) };
  await apply(plane, { apiVersion: `${GROUP}/v1`, kind: KIND, metadata: place, spec });
}

async function apply(plane: ControlPlane, document: object): Promise<void> {
  const { output, status } = await plane.kubectlWith(JSON.stringify(document), "apply", "-f", "-");
  assert.equal(status, 0, output);
}
