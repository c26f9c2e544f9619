/** `fairlead operator`: the program that carries out the resources of a cluster. */
import { runOperator } from "../operator/main.ts";
import { ExitStatus } from "./exit-status.ts";
import { UsageError } from "./process-state.ts";

/** The options as commander hands them over. */
export interface OperatorFlags {
  readonly kubeconfig?: string;
  readonly namespace: string;
  readonly image: string;
  readonly imagePullPolicy: string;
  readonly imagePullSecret?: readonly string[];
  readonly hostAccess?: readonly string[];
  readonly port: string;
  readonly logLevel: string;
}

const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
const PULL_POLICIES = ["Always", "IfNotPresent", "Never"] as const;
const PORT_MAX = 65_535;

/** Runs until a signal, or until another replica leads. */
export async function run(flags: OperatorFlags): Promise<ExitStatus> {
  const logLevel = oneOf("--log-level", LOG_LEVELS, flags.logLevel);
  const pullPolicy = oneOf("--image-pull-policy", PULL_POLICIES, flags.imagePullPolicy);
  const port = Number(flags.port);
  if (!Number.isInteger(port) || port < 0 || port > PORT_MAX) {
    throw new UsageError(`--port is a number from 0 to ${PORT_MAX}`);
  }
  const isToldToStop = await runOperator({
    ...(flags.kubeconfig === undefined ? {} : { kubeconfig: flags.kubeconfig }),
    namespace: flags.namespace,
    image: { reference: flags.image, pullPolicy, pullSecrets: flags.imagePullSecret ?? [] },
    hostAccess: { namespaces: flags.hostAccess ?? [] },
    port,
    logLevel,
  });
  return isToldToStop ? ExitStatus.Fine : ExitStatus.Internal;
}

function oneOf<Value extends string>(flag: string, values: readonly Value[], given: string): Value {
  const value = values.find((candidate) => candidate === given);
  if (value === undefined) throw new UsageError(`${flag} is one of ${values.join(", ")}`);
  return value;
}
