/**
 * The schemas of the kinds, read from the CustomResourceDefinitions beside this file. They are the
 * only place where a field is declared: validation, types and the reference all start here.
 */

import { readFileSync } from "node:fs";
import { load } from "js-yaml";
import type { CelRule } from "./cel-rules.ts";

/** The kinds of `fairlead.dev`. */
export type Kind = "VpnTunnel" | "UplinkSet" | "VpnPeer";

/** Group and version of every kind. */
export const API_VERSION = "fairlead.dev/v1alpha1";

/** The part of OpenAPI v3 that the schemas use. */
export interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-list-type"?: string;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-validations"?: readonly CelRule[];
}

/** File of each kind's CustomResourceDefinition, in the order people read them. */
export const DEFINITION_FILES: Readonly<Record<Kind, string>> = {
  VpnTunnel: "vpntunnel.yaml",
  UplinkSet: "uplinkset.yaml",
  VpnPeer: "vpnpeer.yaml",
};

/** All kinds. */
export const KINDS: readonly Kind[] = ["VpnTunnel", "UplinkSet", "VpnPeer"];

interface Definition {
  readonly spec: {
    readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

const schemas: Map<Kind, Schema> = new Map();

/** The schema of a kind; the same object at every call. */
export function schemaOf(kind: Kind): Schema {
  let schema = schemas.get(kind);
  if (schema === undefined) {
    schema = readSchema(kind);
    schemas.set(kind, schema);
  }
  return schema;
}

function readSchema(kind: Kind): Schema {
  const text = readFileSync(new URL(DEFINITION_FILES[kind], import.meta.url), "utf8");
  const definition = load(text) as Definition;
  const [version] = definition.spec.versions;
  if (version === undefined) throw new TypeError(`${DEFINITION_FILES[kind]} has no version`);
  return version.schema.openAPIV3Schema;
}
