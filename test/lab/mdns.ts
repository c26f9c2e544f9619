/**
 * Service discovery by Avahi as Debian ships it: a responder publishes, a browser finds and resolves.
 * Each host has a message bus and a folder for its daemon of its own.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Namespace } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import type { Program } from "../support/process.ts";

const SERVICE = "_fairlead-lab._tcp";

/** Avahi on one host. */
export class Avahi implements AsyncDisposable {
  readonly #namespace: Namespace;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    namespace: Namespace,
    environment: Readonly<Record<string, string>>,
    stack: AsyncDisposableStack,
  ) {
    this.#namespace = namespace;
    this.#environment = environment;
    this.#stack = stack;
  }

  /** Starts the bus and the daemon on one interface. */
  static async start(namespace: Namespace, device: string, folder: string): Promise<Avahi> {
    await ensureCommands(["avahi-daemon", "avahi-publish", "dbus-daemon"]);
    await using stack = new AsyncDisposableStack();
    const { label } = namespace;
    const address = `unix:path=${join(folder, `${label}-bus`)}`;
    const environment = { DBUS_SYSTEM_BUS_ADDRESS: address };
    const bus = stack.use(
      namespace.start([
        "dbus-daemon",
        "--session",
        "--nofork",
        `--address=${address}`,
        "--print-address",
      ]),
    );
    await bus.waitForOutput(/unix:path=/);
    const file = join(folder, `${label}-avahi.conf`);
    await writeFile(
      file,
      [
        ...["[server]", `host-name=${label}`, `allow-interfaces=${device}`, "use-ipv6=yes"],
        ...["[publish]", "publish-workstation=no", "[rlimits]", ""],
      ].join("\n"),
    );
    // The folder of its pid file is compiled in: each daemon sees one of its own.
    const inner = `mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f ${file}`;
    const daemon = stack.use(
      namespace.start(["unshare", "-m", "sh", "-c", inner], { environment }),
    );
    await daemon.waitForOutput(/Server startup complete/, 30_000);
    return new Avahi(namespace, environment, stack.move());
  }

  /** Publishes a service until the program is stopped. */
  publish(name: string, port: number): Program {
    return this.#namespace.start(["avahi-publish", "-s", name, SERVICE, String(port)], {
      environment: this.#environment,
    });
  }

  /** Milliseconds until a browser has resolved the service, by host and port; undefined: it never did. */
  async find(name: string, host: string, port: number): Promise<number | undefined> {
    const startMs = performance.now();
    await using browser = this.#namespace.start(["avahi-browse", "-rp", SERVICE], {
      environment: this.#environment,
    });
    const line = new RegExp(`^=;[^;]*;IPv[46];${name};[^\\n]*;${host}\\.local;[^;]*;${port};`, "m");
    try {
      await browser.waitForOutput(line, 15_000);
      return Math.round(performance.now() - startMs);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
