/**
 * Writes the two reference pages from what the program goes by: `docs/reference/resources.md` from
 * the schemas and the fields that are refused for now, `docs/reference/profile-directives.md` from
 * the table of directives. Run: `node sidecar/control/reference.ts [--check]`.
 */

import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import type { CelRule } from "../../crds/cel-rules.ts";
import { KINDS, type Kind, type Schema, schemaOf } from "../../crds/schemas.ts";
import { UNSUPPORTED_FIELDS } from "../../crds/unsupported.ts";
import { PROFILE_DIRECTIVES, type Treatment } from "./profile-directives.ts";

/** The pages by their place under the project's root. */
export const PAGES: Readonly<Record<string, () => string>> = {
  "docs/reference/resources.md": printResources,
  "docs/reference/profile-directives.md": printDirectives,
};

const NOTICE = "<!-- Made by `node sidecar/control/reference.ts`: do not edit. -->";

const RESOURCES_HEAD = `# The resources
${NOTICE}

Group \`fairlead.dev\`, version \`v1alpha1\`, all namespaced. The same documents drive \`kubectl apply\`
and \`fairlead up -f\`; the latter reads \`kind: Secret\` documents from the same files, refuses fields
it does not know, and reports every error at once with its line. In a cluster, \`kubectl explain
vt.spec\` says the same as this page.

Outside a cluster, \`workloads\` means this machine: \`workloads.interface\` names its tap, and
\`multicast.routes\` are set in the namespace the program runs in, unless \`gateway.bridge\` is set.
A dialling tunnel takes what its resource does not say from its profile.
`;

function printResources(): string {
  const parts = [RESOURCES_HEAD, refusedTable()];
  for (const kind of KINDS) parts.push(kindSection(kind));
  return `${parts.join("\n").trimEnd()}\n`;
}

function refusedTable(): string {
  const rows = UNSUPPORTED_FIELDS.map(({ field, reason }) => `| \`${field}\` | ${cell(reason)} |`);
  return [
    "## Refused for now",
    "`fairlead up` refuses these with the reason, rather than start a tunnel that does not do what",
    "its resource says. In a routed tunnel, `gateway.bridge`, `stormLimits` and `VpnPeer` `stations` are",
    "refused as well, and in a bridged one `VpnPeer` `networks`.",
    "",
    "| field of VpnTunnel | reason |",
    "|---|---|",
    ...rows,
    "",
  ].join("\n");
}

function kindSection(kind: Kind): string {
  const schema = schemaOf(kind);
  const spec = schema.properties?.["spec"] ?? {};
  const rows = [...fieldRows(spec, "", new Set(spec.required ?? []))];
  const rules = [...rulesOf(schema)].map((rule) => `- ${rule.message}`);
  return [
    `## ${kind}`,
    schema.description ?? "",
    "",
    "| field of spec | value | meaning |",
    "|---|---|---|",
    ...rows,
    "",
    "Rules:",
    "",
    ...new Set(rules),
    "",
  ].join("\n");
}

function* fieldRows(
  schema: Schema,
  prefix: string,
  required: ReadonlySet<string>,
): Generator<string> {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const isList = property.items !== undefined;
    const inner = property.items ?? property;
    const path = `${prefix}${name}${isList ? "[]" : ""}`;
    const value = [valueText(property), required.has(name) ? "required" : ""];
    yield `| \`${path}\` | ${value.filter((part) => part !== "").join("; ")} | ${cell(property.description ?? "")} |`;
    yield* fieldRows(inner, `${path}.`, new Set(inner.required ?? []));
  }
}

function valueText(schema: Schema): string {
  const inner = schema.items ?? schema;
  const parts = [inner.enum?.join(", ") ?? typeOf(inner)];
  if (inner.minimum !== undefined || inner.maximum !== undefined) {
    parts.push(`${inner.minimum ?? ""} to ${inner.maximum ?? ""}`);
  }
  // The default of a block is shown field by field.
  if (schema.default !== undefined && schema.type !== "object") {
    parts.push(`default ${[schema.default].flat().join(", ")}`);
  }
  return parts.filter((part) => part !== "").join("; ");
}

function typeOf(schema: Schema): string {
  if (schema["x-kubernetes-int-or-string"] === true) {
    const word = /^\^(\w+)\$$/.exec(schema.pattern ?? "")?.[1];
    return word === undefined ? "number or text" : `${word} or a number`;
  }
  if (schema.additionalProperties !== undefined) return "keys and texts";
  const words: Readonly<Record<string, string>> = {
    string: "text",
    integer: "number",
    number: "number",
    boolean: "true or false",
    object: "",
  };
  return words[schema.type ?? ""] ?? "";
}

function* rulesOf(schema: Schema): Generator<CelRule> {
  yield* schema["x-kubernetes-validations"] ?? [];
  if (schema.items !== undefined) yield* rulesOf(schema.items);
  for (const property of Object.values(schema.properties ?? {})) yield* rulesOf(property);
}

const DIRECTIVES_HEAD = `# Directives of a client profile
${NOTICE}

What \`fairlead up --profile\` and \`dial.profileSecretRef\` do with each directive of an OpenVPN client
file. A name that is not here is refused, unless the profile names it in \`ignore-unknown-option\`.
Certificates and keys are inline blocks only. Inside \`<connection>\`, \`remote\`, \`proto\`, \`port\` and
\`rport\` count.
`;

/** Directives that are applied only in some of their forms. */
const FORMS: readonly string[] = [
  "`dev`, `dev-type`: tap (`mode: Bridged`) or tun (`mode: Routed`).",
  "`route`, `route-ipv6`: of a tap, multicast networks only; of a tun, all but `net_gateway` and `remote_host`.",
  "`route-nopull`: no pushed route is taken; `route-noexec`: no route is set at all.",
  "`proto`, `proto-force`: udp or tcp; a `remote` may name its own, and remotes of both are tried in turn.",
  "`compress migrate` has no effect; every other `compress` and `comp-lzo`, `comp-lzo no` included, is refused: even that adds a framing byte to each packet, and compression leaks what is encrypted.",
  "`route`, `route-ipv6`: multicast networks are routed into the interface; of a tap, others are ignored with a note. `route 224.0.0.0 224.0.0.0 …` means 224.0.0.0/4.",
  "`verify-x509-name`: all three types, `name`, `name-prefix` and `subject` (as OpenVPN prints it).",
  "`remote-cert-eku`: TLS Web Server Authentication only.",
  "`auth`: SHA1, SHA256, SHA512, where tls-auth uses it.",
  "`cipher`, `data-ciphers-fallback`: authenticated ciphers only; others are ignored with a note.",
  "`script-security` above 1 is ignored with a note.",
];

function printDirectives(): string {
  const parts = [
    DIRECTIVES_HEAD,
    "## Applied",
    namesOf("applied"),
    "",
    ...FORMS.map((form) => `- ${form}`),
    "",
    "## So anyway",
    "These say what is so in any case; nothing is noted.",
    "",
    namesOf("settled"),
    "",
    "## Ignored with a note",
    ...reasonTable("ignored"),
    "",
    "## Refused",
    ...reasonTable("refused"),
  ];
  return `${parts.join("\n")}\n`;
}

function namesOf(treatment: Treatment): string {
  const names = [...PROFILE_DIRECTIVES].filter(([, rule]) => rule.treatment === treatment);
  return names.map(([name]) => `\`${name}\``).join(", ");
}

function reasonTable(treatment: Treatment): string[] {
  const reasons = new Map<string, string[]>();
  for (const [name, rule] of PROFILE_DIRECTIVES) {
    if (rule.treatment !== treatment) continue;
    reasons.set(rule.reason, [...(reasons.get(rule.reason) ?? []), `\`${name}\``]);
  }
  const rows = [...reasons].map(([reason, names]) => `| ${cell(reason)} | ${names.join(", ")} |`);
  return ["", "| reason | directives |", "|---|---|", ...rows];
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

async function main(): Promise<number> {
  let status = 0;
  for (const [path, print] of Object.entries(PAGES)) {
    const target = new URL(`../../${path}`, import.meta.url);
    const wanted = print();
    if (!process.argv.includes("--check")) await writeFile(target, wanted);
    else if ((await readFile(target, "utf8")) !== wanted) {
      process.stderr.write(`${path} is out of date: run node sidecar/control/reference.ts\n`);
      status = 1;
    }
  }
  return status;
}

if (import.meta.main) process.exitCode = await main();
