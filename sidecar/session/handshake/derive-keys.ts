/**
 * From an agreed key negotiation to keys in the data plane, the same at both ends. One invariant:
 * a key has `hasDataKeys` only once its keys were installed, and the material is wiped then.
 */

import type { DataCipher } from "../../control/tunnel-config.ts";
import type { ControlSession } from "./control-session.ts";
import {
  DATA_KEYS_LABEL,
  expandKeyMaterial,
  KEY_MATERIAL_BYTES,
  splitEpochSecrets,
  splitKeyMaterial,
} from "./data-keys.ts";
import type { KeyNegotiation } from "./key-negotiation.ts";
import type { SessionEvents } from "./session-outcome.ts";

/** What both ends agreed on for their data keys, and which end this is. */
export interface KeyAgreement {
  readonly role: "client" | "server";
  readonly cipher: DataCipher;
  /** RFC 5705, else OpenVPN's own expansion. */
  readonly usesKeyExport: boolean;
  readonly usesEpochs: boolean;
}

/** Derives the keys of one key id and hands them on. */
export function deriveKeys(
  session: ControlSession,
  key: KeyNegotiation,
  agreement: KeyAgreement,
  events: Pick<SessionEvents, "installEpochs" | "installKeys">,
): void {
  const { role, cipher, usesKeyExport, usesEpochs } = agreement;
  const material = usesKeyExport
    ? key.exportKeyingMaterial(KEY_MATERIAL_BYTES, DATA_KEYS_LABEL)
    : expandedMaterial(session, key, role);
  if (material === undefined) return;
  if (usesEpochs) events.installEpochs(key.keyId, splitEpochSecrets(material, cipher, role));
  else events.installKeys(key.keyId, splitKeyMaterial(material, cipher, role));
  material.fill(0);
  key.wipeKeyMethods();
  key.hasDataKeys = true;
}

function expandedMaterial(
  session: ControlSession,
  key: KeyNegotiation,
  role: "client" | "server",
): Buffer | undefined {
  const { localKeyMethod: local, remoteKeyMethod: remote } = key;
  const { sessionId, remoteSessionId } = session;
  if (local === undefined || remote === undefined || remoteSessionId === undefined) {
    return undefined;
  }
  return role === "client"
    ? expandKeyMaterial({
        client: local,
        server: remote,
        clientSessionId: sessionId,
        serverSessionId: remoteSessionId,
      })
    : expandKeyMaterial({
        client: remote,
        server: local,
        clientSessionId: remoteSessionId,
        serverSessionId: sessionId,
      });
}
