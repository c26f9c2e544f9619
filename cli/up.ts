/** `fairlead up`: the tunnels of some resource files on this host, in the foreground. */
import { readFileSync } from "node:fs";
import { OperatingError } from "../common/operating-error.ts";
import { readProfile } from "../sidecar/control/profile-config.ts";
import { runSidecar } from "../sidecar/main.ts";
import { type MetricsPlace, readMetricsPlace } from "../sidecar/metrics-server.ts";
import type { SidecarEnd } from "../sidecar/sidecar.ts";
import { ExitStatus } from "./exit-status.ts";
import { packageVersion } from "./package-version.ts";
import { UsageError } from "./process-state.ts";
import { askLine, askSecret, isAsking } from "./terminal.ts";

/** The options as commander hands them over. */
export interface UpFlags {
  readonly file?: readonly string[];
  readonly profile?: string;
  readonly interface?: string;
  readonly bridge?: string;
  readonly authUserPass?: string;
  readonly state: string;
  readonly run: string;
  readonly keepTrying?: true;
  readonly metrics?: string;
  readonly logLevel: string;
}

const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** The status that each failure ends with. */
export const STATUS_OF: Record<NonNullable<SidecarEnd["failure"]>, ExitStatus> = {
  invalid: ExitStatus.InvalidResource,
  notPermitted: ExitStatus.NotPermitted,
  noTunDevice: ExitStatus.NoTunDevice,
  interfaceMissing: ExitStatus.NoInterface,
  interfaceFailed: ExitStatus.Internal,
  cannotBind: ExitStatus.PortInUse,
  nameUnresolved: ExitStatus.NameUnresolved,
  noAnswer: ExitStatus.NoAnswer,
  certificateRefused: ExitStatus.CertificateRefused,
  authenticationFailed: ExitStatus.AuthenticationFailed,
  noCommonCipher: ExitStatus.NoCommonCipher,
  mtuMismatch: ExitStatus.MtuMismatch,
  optionRefused: ExitStatus.OptionRefused,
  internal: ExitStatus.Internal,
};

/** Runs the tunnels; the status of the first that failed for good, once none is left. */
export async function run(flags: UpFlags): Promise<ExitStatus> {
  const logLevel = LOG_LEVELS.find((level) => level === flags.logLevel);
  if (logLevel === undefined)
    throw new UsageError(`--log-level is one of ${LOG_LEVELS.join(", ")}`);
  const metrics = metricsOf(flags);
  const paths = flags.file ?? [];
  if (paths.length === 0 && flags.profile === undefined) {
    throw new UsageError("name resource files with -f, or an OpenVPN client file with --profile");
  }
  try {
    const end = await runSidecar({
      load: { paths, stateDirectory: flags.state, ...(await profileOf(flags)) },
      runDirectory: flags.run,
      ...metrics,
      settings: {
        version: packageVersion(),
        logLevel,
        isTerminal: process.stderr.isTTY === true,
        keepsTrying: flags.keepTrying === true,
      },
    });
    return end.failure === undefined ? ExitStatus.Fine : STATUS_OF[end.failure];
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    process.stderr.write(`fairlead: ${error.message}\n`);
    return error.code === "notPermitted" ? ExitStatus.NotPermitted : ExitStatus.InvalidResource;
  }
}

/** Where metrics are served, as an option of `runSidecar`. */
export function metricsOf(flags: Pick<UpFlags, "metrics">): { readonly metrics?: MetricsPlace } {
  if (flags.metrics === undefined) return {};
  const metrics = readMetricsPlace(flags.metrics);
  if (metrics !== undefined) return { metrics };
  throw new UsageError("--metrics is a port, or an address and a port as in 0.0.0.0:9464");
}

async function profileOf(
  flags: UpFlags,
): Promise<Pick<Parameters<typeof runSidecar>[0]["load"], "profile">> {
  if (flags.profile === undefined) {
    const lonely = flags.interface ?? flags.bridge ?? flags.authUserPass;
    if (lonely !== undefined) {
      throw new UsageError("--interface, --bridge and --auth-user-pass belong to --profile");
    }
    return {};
  }
  const userPass = await userPassOf(flags.profile, flags.authUserPass);
  return {
    profile: {
      path: flags.profile,
      ...(flags.interface === undefined ? {} : { interfaceName: flags.interface }),
      ...(flags.bridge === undefined ? {} : { bridge: flags.bridge }),
      ...(userPass === undefined ? {} : { userPass }),
    },
  };
}

/** From the file that was named, else from whoever sits there, where the profile asks for it. */
async function userPassOf(
  profile: string,
  file: string | undefined,
): Promise<{ username: string; password: string } | undefined> {
  if (file !== undefined) return readUserPass(file);
  if (!isAsking()) return undefined;
  let text: string;
  try {
    text = readFileSync(profile, "utf8");
  } catch {
    // Whoever loads the profile says what is wrong with it.
    return undefined;
  }
  const reading = readProfile(text);
  if (!reading.ok || !reading.settings.needsUserPass) return undefined;
  const username = await askLine("Username: ");
  return { username, password: await askSecret("Password: ") };
}

/** Two lines, as OpenVPN's --auth-user-pass file: never on the command line, where all can see it. */
function readUserPass(path: string): { username: string; password: string } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new UsageError(`--auth-user-pass: ${path} cannot be read`, { cause });
  }
  const [username = "", password = ""] = text.split(/\r?\n/);
  if (username === "")
    throw new UsageError(`--auth-user-pass: ${path} has no first line with a username`);
  return { username, password };
}
