/** The resources in the guides are ones that `fairlead up` and the API server would take. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadAll } from "js-yaml";
import { API_VERSION } from "../../crds/schemas.ts";
import { validate } from "../../crds/validate.ts";
import { trackedFiles } from "./tracked-files.ts";

const FENCED = /```yaml\n([\s\S]*?)```/g;

test("every resource in a guide is valid", () => {
  let count = 0;
  for (const { path, text } of trackedFiles()) {
    if (!path.endsWith(".md")) continue;
    for (const [, block = ""] of text.matchAll(FENCED)) {
      for (const document of loadAll(block)) {
        if (typeof document !== "object" || document === null || !("kind" in document)) continue;
        count += 1;
        const outcome = validate({ apiVersion: API_VERSION, ...document });
        assert(outcome.ok, `${path}: ${JSON.stringify(outcome)}`);
      }
    }
  }
  assert(count >= 4, `only ${count} resources were seen`);
});
