/**
 * PUSH_UPDATE of OpenVPN 2.7: a server changes what it pushed while the session goes on. `-` in front
 * of an option takes it back, `?` says that the session may go on without it. One invariant: of one
 * message everything is taken or nothing, so both ends mean the same.
 */

import { isIPv4, isIPv6 } from "../../wire/ip-text.ts";
import { type PushedOptions, parsePushReply } from "./push-options.ts";

/** What a message comes to. */
export interface PushUpdate {
  readonly pushed: PushedOptions;
  /** Options that changed something here. */
  readonly taken: readonly string[];
  /** Those that mean nothing here, as in a PUSH_REPLY. */
  readonly ignored: readonly string[];
  /** Those that cannot change while connected: with any of them nothing is taken. */
  readonly refused: readonly string[];
}

type Draft = { -readonly [Key in keyof PushedOptions]: PushedOptions[Key] };

/** What may change, by the fields that a `-` empties. */
const UPDATABLE: Readonly<Record<string, readonly (keyof PushedOptions)[]>> = {
  ifconfig: ["address4", "remoteAddress4"],
  "ifconfig-ipv6": ["address6"],
  "route-gateway": ["routeGateway"],
  "route-metric": ["routeMetric"],
  topology: ["topology"],
  "tun-mtu": ["mtuBytes"],
};

/** Routes of a family are replaced as a whole, by the first of them in a message. */
const ROUTES: readonly string[] = ["route", "route-ipv6"];

/** Options that stock changes as well, and that mean as little in a PUSH_REPLY. */
const WITHOUT_MEANING: readonly string[] = [
  "block-ipv6",
  "block-outside-dns",
  "dhcp-option",
  "dns",
  "redirect-gateway",
  "redirect-private",
];

/** Reads the options of a whole PUSH_UPDATE, continuations joined. */
export function readPushUpdate(current: PushedOptions, options: readonly string[]): PushUpdate {
  const draft: Draft = { ...current };
  const [taken, ignored, refused]: [string[], string[], string[]] = [[], [], []];
  const replaced = new Set<string>();
  for (const option of options) {
    const text = option.trim();
    const [, marks = "", words = ""] = /^([-?]{0,2})(.*)$/s.exec(text) ?? [];
    const [name = ""] = words.split(/\s+/);
    if (name === "" || name === "push-continuation") continue;
    if (ROUTES.includes(name) && !replaced.has(name)) {
      replaced.add(name);
      const isOurs = name === "route" ? isIPv4 : isIPv6;
      draft.routes = draft.routes.filter(({ network }) => !isOurs(network.split("/")[0] ?? ""));
    }
    if (WITHOUT_MEANING.includes(name)) ignored.push(text);
    else if (isTaken(draft, name, words, marks.includes("-"))) taken.push(text);
    else if (marks.includes("?")) ignored.push(text);
    else refused.push(text);
  }
  return { pushed: refused.length > 0 ? current : draft, taken, ignored, refused };
}

function isTaken(draft: Draft, name: string, words: string, isRemoved: boolean): boolean {
  if (ROUTES.includes(name)) {
    const { routes } = parsePushReply([words]);
    draft.routes = [...draft.routes, ...(isRemoved ? [] : routes)];
    return isRemoved || routes.length > 0;
  }
  const fields = Object.hasOwn(UPDATABLE, name) ? UPDATABLE[name] : undefined;
  if (fields === undefined) return false;
  const said: Draft = parsePushReply([words]);
  if (!isRemoved && said.ignored.length > 0) return false;
  for (const field of fields) {
    if (isRemoved || said[field] === undefined) delete draft[field];
    else Object.assign(draft, { [field]: said[field] });
  }
  return true;
}
