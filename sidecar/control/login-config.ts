/** Who knows the passwords of a listening tunnel's peers: `spec.security.userPass…` read and checked. */

import { parseUsers } from "../../authority/password.ts";
import type { VpnTunnel } from "../../crds/types.ts";
import type { Documents } from "./documents.ts";
import { secretText } from "./secret-lookup.ts";
import type { LoginConfig } from "./tunnel-config.ts";

const TOKEN_SECONDS_DEFAULT = 86_400;
const FIELD = "spec.security.userPassSecretRef";
/** Key of the Secret with a line for each user. */
const USERS_KEY = "users";

/** Undefined: a certificate is enough. A text is a problem. */
export function loginOf(tunnel: VpnTunnel, documents: Documents): LoginConfig | string | undefined {
  const { userPassSecretRef, userPassSocket, authTokenSeconds } = tunnel.spec.security;
  const tokenSeconds = authTokenSeconds ?? TOKEN_SECONDS_DEFAULT;
  if (userPassSocket !== undefined) {
    if (userPassSecretRef === undefined) return { socket: userPassSocket, tokenSeconds };
    return `${FIELD}: spec.security.userPassSocket decides already: remove one of both`;
  }
  if (userPassSecretRef === undefined) return undefined;
  const at = { namespace: tunnel.metadata.namespace, name: userPassSecretRef.name };
  const found = secretText(documents, { ...at, key: USERS_KEY }, FIELD);
  if (!found.ok) return found.problem;
  const { users, problems } = parseUsers(found.text);
  if (problems.length === 0) return { users, tokenSeconds };
  const lines = problems.map(({ line, text }) => `line ${line} of ${USERS_KEY}: ${text}`);
  return `${FIELD}: ${lines.join("; ")}`;
}
