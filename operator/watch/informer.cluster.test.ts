import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import { ControlPlane } from "../../test/cluster/control-plane.ts";
import { pause, waitFor } from "../../test/support/wait.ts";
import { type Api, ApiClient } from "../api/api-client.ts";
import { type KubeObject, pathOf, type ResourceKind } from "../api/object.ts";
import { SYSTEM_CLOCK } from "../clock.ts";
import { PAGE_OBJECTS_MAX } from "../limits.ts";
import { Informer } from "./informer.ts";

const CONFIG_MAP: ResourceKind = { apiVersion: "v1", kind: "ConfigMap", plural: "configmaps" };
const NAMESPACE = "default";

let plane: ControlPlane;
let api: ApiClient;

before(async () => {
  plane = await ControlPlane.start();
  const config = new KubeConfig();
  config.loadFromFile(plane.kubeconfig);
  api = new ApiClient(config, SYSTEM_CLOCK);
});
after(async () => {
  api.close();
  await plane[Symbol.asyncDispose]();
});

async function create(name: string, labels: Record<string, string> = {}): Promise<void> {
  const body = { metadata: { name, labels } };
  const path = pathOf(CONFIG_MAP, { namespace: NAMESPACE });
  await api.call({ method: "POST", path, body });
}

async function remove(name: string): Promise<void> {
  await api.call({ method: "DELETE", path: pathOf(CONFIG_MAP, { namespace: NAMESPACE, name }) });
}

interface Running {
  readonly informer: Informer<KubeObject>;
  readonly told: string[];
  readonly errors: unknown[];
  stop(): Promise<void>;
}

function run(labelSelector: string, through: Api = api): Running {
  const [told, errors]: [string[], unknown[]] = [[], []];
  const informer = new Informer<KubeObject>({
    api: through,
    clock: SYSTEM_CLOCK,
    selection: { kind: CONFIG_MAP, namespace: NAMESPACE, labelSelector },
    troubled: (_, error) => errors.push(error),
  });
  informer.onChange((key, { former, current }) => {
    const what = former === undefined ? "new" : current === undefined ? "gone" : "changed";
    told.push(`${what} ${key}`);
  });
  const controller = new AbortController();
  const ended = informer.run(controller.signal);
  const stop = async (): Promise<void> => {
    controller.abort();
    await ended;
  };
  return { informer, told, errors, stop };
}

test("what is there, comes, changes and goes is told once each", async () => {
  await create("a", { t: "one" });
  const running = run("t=one");
  await running.informer.synced;
  await create("b", { t: "one" });
  await create("unselected", { t: "other" });
  await waitFor("b", () => running.informer.get("default/b"));
  await plane.kubectl("label", "configmap", "b", "x=y");
  await waitFor("the label", () => running.informer.get("default/b")?.metadata.labels?.["x"]);
  await remove("a");
  await waitFor("the end of a", () => running.told.includes("gone default/a"));
  await running.stop();
  assert.deepEqual(running.told, [
    "new default/a",
    "new default/b",
    "changed default/b",
    "gone default/a",
  ]);
  assert.deepEqual(running.errors, []);
});

test("a list of several pages is read whole", async () => {
  const count = PAGE_OBJECTS_MAX + 20;
  for (let index = 0; index < count; index += 20) {
    const names = Array.from({ length: 20 }, (_, offset) => `page-${index + offset}`);
    await Promise.all(names.map((name) => create(name, { t: "pages" })));
  }
  const running = run("t=pages");
  await running.informer.synced;
  await running.stop();
  assert.equal(running.informer.figures.objects, count);
});

test("a killed API server is missed, and what changed meanwhile is told", async () => {
  await create("stays", { t: "kill" });
  await create("goes", { t: "kill" });
  const running = run("t=kill");
  await running.informer.synced;
  await plane.stopApiServer();
  await waitFor("the failure", () => running.errors.length > 0);
  await plane.startApiServer();
  await remove("goes");
  await create("comes", { t: "kill" });
  const isTold = (): boolean =>
    running.told.includes("gone default/goes") && running.told.includes("new default/comes");
  await waitFor("both changes", isTold, 35_000);
  await running.stop();
  assert.equal(running.told.filter((line) => line === "new default/stays").length, 1);
});

test("a watch that is torn down goes on where it was, without a new list", async () => {
  let tear: (() => void) | undefined;
  const torn: Api = {
    call: (call) => api.call(call),
    lines: (call, signal) => {
      const controller = new AbortController();
      tear = () => controller.abort(new Error("torn by the test"));
      return api.lines(call, AbortSignal.any([signal, controller.signal]));
    },
  };
  const running = run("t=torn", torn);
  await running.informer.synced;
  for (let index = 0; index < 3; index++) {
    await waitFor("a watch", () => running.informer.figures.watches > index);
    await pause(100);
    tear?.();
    await create(`torn-${index}`, { t: "torn" });
    await waitFor(`torn-${index}`, () => running.informer.get(`default/torn-${index}`));
  }
  await running.stop();
  assert.equal(running.informer.figures.lists, 1);
  assert.deepEqual(
    running.told,
    [0, 1, 2].map((index) => `new default/torn-${index}`),
  );
});

test("a version that is too old means a new list, and only differences are told", async () => {
  await create("old", { t: "gone" });
  let isFirst = true;
  const expired: Api = {
    call: (call) => api.call(call),
    lines: (call, signal) => {
      if (!isFirst) return api.lines(call, signal);
      isFirst = false;
      const object = { code: 410, reason: "Expired", metadata: {} };
      return linesOf(JSON.stringify({ type: "ERROR", object }));
    },
  };
  const running = run("t=gone", expired);
  await waitFor("the second list", () => running.informer.figures.lists === 2);
  await create("new", { t: "gone" });
  await waitFor("the new one", () => running.informer.get("default/new"));
  await running.stop();
  assert.deepEqual(running.told, ["new default/old", "new default/new"]);
});

async function* linesOf(line: string): AsyncIterable<string> {
  yield await Promise.resolve(line);
}
