/**
 * What the sidecar is made of, in one place: tokens and factories over tsyringe's container. No
 * decorators, no metadata; nothing is resolved once the program runs.
 */

import pino, { type Logger } from "pino";
import pretty from "pino-pretty";
import "./reflect-shim.ts";
import { type DependencyContainer, instanceCachingFactory, container as root } from "tsyringe";
import { KeySlots } from "./cipher/key-slots.ts";
import { SystemClock } from "./clock.ts";
import { keyInstall, keyRemove } from "./native/native.ts";
import { Sidecar } from "./sidecar.ts";

declare const valueType: unique symbol;
/** A name for something of type T in the container. */
export type Token<T> = symbol & { readonly [valueType]?: T };

/** What the program is started with. */
export interface SidecarSettings {
  readonly version: string;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly isTerminal: boolean;
  readonly keepsTrying: boolean;
  /** The server is a gateway of ours: it takes another certificate of a peer in a running session. */
  readonly isOursAtServer?: boolean;
}

const STDERR = 2;

const SETTINGS: Token<SidecarSettings> = Symbol("SidecarSettings");
export const LOG: Token<Logger> = Symbol("Logger");
const CLOCK: Token<SystemClock> = Symbol("SystemClock");
const KEY_SLOTS: Token<KeySlots> = Symbol("KeySlots");
export const SIDECAR: Token<Sidecar> = Symbol("Sidecar");

/** Resolves tokens to what they name. */
export type Resolve = <T>(token: Token<T>) => T;

/** Everything that one sidecar process is made of. */
export function wireSidecar(settings: SidecarSettings): Resolve {
  const container = root.createChildContainer();
  const get: Resolve = <T>(token: Token<T>): T => container.resolve<T>(token as symbol);
  once(container, SETTINGS, () => settings);
  once(container, CLOCK, () => new SystemClock());
  once(container, LOG, () => createLog(settings));
  once(container, KEY_SLOTS, () => new KeySlots({ keyInstall, keyRemove }));
  once(
    container,
    SIDECAR,
    () =>
      new Sidecar({
        version: settings.version,
        keepsTrying: settings.keepsTrying,
        isOursAtServer: settings.isOursAtServer === true,
        clock: get(CLOCK),
        keySlots: get(KEY_SLOTS),
        log: get(LOG),
      }),
  );
  return get;
}

function once<T>(container: DependencyContainer, token: Token<T>, make: () => NoInfer<T>): void {
  container.register(token as symbol, { useFactory: instanceCachingFactory(make) });
}

/** JSON lines, or readable ones on a terminal. Both to standard error: standard output is for data. */
function createLog(settings: SidecarSettings): Logger {
  const options = { level: settings.logLevel, base: null };
  if (!settings.isTerminal) return pino(options, pino.destination({ fd: STDERR, sync: true }));
  const stream = pretty({
    colorize: true,
    singleLine: true,
    sync: true,
    destination: STDERR,
    translateTime: "SYS:HH:MM:ss.l",
  });
  return pino(options, stream);
}
