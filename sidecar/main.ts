/**
 * The sidecar program: tunnels from files, in the foreground, until a signal or until nothing is
 * left to carry. One invariant: whatever way it ends, what it made in the kernel is gone, or
 * marked so that the next start removes it.
 */

import type { Logger } from "pino";
import { OperatingError } from "../common/operating-error.ts";
import { serveCapture } from "./capture-server.ts";
import { loadTunnels } from "./control/load-tunnels.ts";
import type { LoadedTunnels, LoadOptions } from "./control/loaded.ts";
import { watchFiles } from "./control/watch-files.ts";
import { type MetricsPlace, type MetricsServer, serveMetrics } from "./metrics-server.ts";
import type { Sidecar, SidecarEnd } from "./sidecar.ts";
import { serveStatus } from "./status-server.ts";
import { LOG, SIDECAR, type SidecarSettings, wireSidecar } from "./wiring.ts";

/** What `fairlead up` asks for. */
export interface SidecarOptions {
  readonly load: Omit<LoadOptions, "wallMs">;
  readonly runDirectory: string;
  readonly settings: SidecarSettings;
  /** Where metrics are served; absent: nowhere. */
  readonly metrics?: MetricsPlace;
}

/** Runs until it is told to stop; how it ended. Throws an OperatingError when it cannot begin. */
export async function runSidecar(options: SidecarOptions): Promise<SidecarEnd> {
  const get = wireSidecar(options.settings);
  const sidecar = get(SIDECAR);
  const log = get(LOG);
  const load = (): ReturnType<typeof loadTunnels> =>
    loadTunnels({ ...options.load, wallMs: Date.now() });
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop());
  let reloading: Promise<void> = Promise.resolve();
  const reload = (apply: (loaded: LoadedTunnels) => Promise<void> | void): void => {
    reloading = reloading.then(async () => {
      try {
        await apply(await load());
      } catch (error) {
        if (!(error instanceof OperatingError)) throw error;
        log.error({ cause: error.code }, `the files were not read again: ${error.message}`);
      }
    });
  };
  process.on("SIGHUP", () => {
    log.info("reading the files again");
    reload((loaded) => sidecar.apply(loaded));
  });
  const watch = await watchFiles(options.load.paths, () =>
    reload((loaded) => sidecar.applyLive(loaded)),
  );
  const status = await serveStatus(options.runDirectory, () => sidecar.status());
  const capture = await serveCapture(options.runDirectory, (name) => sidecar.tunnel(name));
  let metrics: MetricsServer | undefined;
  try {
    metrics = await startMetrics(options, { sidecar, log });
    await sidecar.apply(await load());
    await Promise.race([stopped, sidecar.ended]);
    await reloading;
    return await sidecar.stop();
  } finally {
    watch.close();
    await metrics?.close();
    await capture.close();
    await status.close();
  }
}

/** Who is to keep trying carries frames without figures rather than none at all. */
async function startMetrics(
  { metrics: place, settings }: SidecarOptions,
  { log, sidecar }: { readonly log: Logger; readonly sidecar: Sidecar },
): Promise<MetricsServer | undefined> {
  if (place === undefined) return undefined;
  try {
    const server = await serveMetrics(place, () => sidecar.status());
    log.info({ ...place, port: server.port }, "metrics are served");
    return server;
  } catch (error) {
    if (!(error instanceof OperatingError) || !settings.keepsTrying) throw error;
    log.error({ cause: error.code }, error.message);
    return undefined;
  }
}
