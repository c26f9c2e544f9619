/**
 * Evaluates the CEL rules (`x-kubernetes-validations`) of the schemas outside Kubernetes, with the
 * IP and CIDR functions that Kubernetes adds to CEL. Rules that compare with the former object
 * (`oldSelf`) have nothing to compare with here and are left out.
 *
 * Invariant: integers are CEL ints, as the API server has them, so `self.port + 1` means the same.
 */

import { Environment } from "@marcbachmann/cel-js";
import {
  containsNetwork,
  type IpAddress,
  type IpNetwork,
  networkContains,
  networkRange,
  parseAddress,
  parseNetwork,
} from "./ip-network.ts";

/** One rule of a schema node. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
}

/** A CEL `IP`. */
class Ip {
  readonly address: IpAddress;
  constructor(address: IpAddress) {
    this.address = address;
  }
}

/** A CEL `CIDR`. */
class Cidr {
  readonly network: IpNetwork;
  constructor(network: IpNetwork) {
    this.network = network;
  }
}

type Evaluate = (context: { readonly self: unknown }) => unknown;

const environment: Environment = newEnvironment();
const compiled: Map<string, Evaluate> = new Map();

/** Whether a rule is about one object alone and can be evaluated here. */
export function isEvaluable(rule: CelRule): boolean {
  return !/\boldSelf\b/.test(rule.rule);
}

/**
 * Whether `self` keeps the rule. A rule that cannot be evaluated because a field it reads is absent
 * or of another type counts as kept: the schema has reported that field already.
 */
export function keepsRule(rule: CelRule, self: unknown): boolean {
  try {
    return compile(rule.rule)({ self: celValue(self) }) === true;
  } catch (error) {
    if (error instanceof Error && error.name === "EvaluationError") return true;
    throw error;
  }
}

function compile(rule: string): Evaluate {
  let evaluate = compiled.get(rule);
  if (evaluate === undefined) {
    evaluate = environment.parse(rule) as Evaluate;
    compiled.set(rule, evaluate);
  }
  return evaluate;
}

/** A JSON value as CEL sees it: whole numbers are ints. */
function celValue(value: unknown): unknown {
  if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(celValue);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, celValue(item)]));
}

function newEnvironment(): Environment {
  return new Environment({ unlistedVariablesAreDyn: true })
    .registerType("IP", { ctor: Ip, fields: {} })
    .registerType("CIDR", { ctor: Cidr, fields: {} })
    .registerFunction("isIP(string): bool", (text: string) => parseAddress(text) !== undefined)
    .registerFunction("isCIDR(string): bool", (text: string) => parseNetwork(text) !== undefined)
    .registerFunction("ip(string): IP", (text: string) => new Ip(needed(parseAddress(text))))
    .registerFunction("cidr(string): CIDR", (text: string) => new Cidr(needed(parseNetwork(text))))
    .registerFunction("IP.family(): int", (ip: Ip) => BigInt(ip.address.family))
    .registerFunction("CIDR.ip(): IP", (cidr: Cidr) => new Ip(cidr.network.address))
    .registerFunction("CIDR.prefixLength(): int", (cidr: Cidr) => BigInt(cidr.network.prefixBits))
    .registerFunction("CIDR.masked(): CIDR", (cidr: Cidr) => new Cidr(masked(cidr.network)))
    .registerFunction("CIDR.containsIP(IP): bool", (cidr: Cidr, ip: Ip) =>
      networkContains(cidr.network, ip.address),
    )
    .registerFunction("CIDR.containsCIDR(string): bool", (cidr: Cidr, text: string) =>
      containsNetwork(cidr.network, needed(parseNetwork(text))),
    )
    .registerOperator("IP == IP", (a: Ip, b: Ip) => sameAddress(a.address, b.address));
}

function masked(network: IpNetwork): IpNetwork {
  const { first } = networkRange(network);
  return { ...network, address: { family: network.address.family, value: first } };
}

function sameAddress(a: IpAddress, b: IpAddress): boolean {
  return a.family === b.family && a.value === b.value;
}

/** A CEL function's argument that is not what the function takes is an evaluation error. */
function needed<Value>(value: Value | undefined): Value {
  if (value !== undefined) return value;
  const error = new Error("not an IP address or network");
  error.name = "EvaluationError";
  throw error;
}
