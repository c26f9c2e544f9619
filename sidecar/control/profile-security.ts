/** The directives of a profile that concern keys, certificates and ciphers. See `profile-apply.ts`. */

import type { Directive } from "./ovpn-file.ts";
import type { ProfileDraft } from "./profile-draft.ts";
import { type Apply, blockOf, refuse } from "./profile-words.ts";
import type { DataCipher } from "./tunnel-config.ts";

const DATA_CIPHERS: readonly DataCipher[] = ["AES-256-GCM", "AES-128-GCM", "CHACHA20-POLY1305"];
const SERVER_AUTHENTICATION = ["TLS Web Server Authentication", "1.3.6.1.5.5.7.3.1"];

/** What to do with each of them. */
export const APPLY_SECURITY: Readonly<Record<string, Apply>> = {
  ca: block("caPem"),
  cert: block("certificatePem"),
  key: (draft, directive) => {
    const text = blockOf(draft, directive);
    if (text === undefined) return;
    if (/ENCRYPTED/.test(text)) {
      refuse(draft, directive, "the key has a passphrase: remove it with openssl pkey");
    }
    draft.privateKeyPem = `${text.trim()}\n`;
  },
  "extra-certs": block("extraCertificatesPem"),
  "crl-verify": block("crlPem"),
  "peer-fingerprint": applyFingerprint,
  "tls-crypt": (draft, directive) => {
    const value = blockOf(draft, directive);
    if (value !== undefined) draft.wrapText = { kind: "TlsCrypt", value, line: directive.line };
  },
  "tls-crypt-v2": (draft, directive) => {
    const value = blockOf(draft, directive);
    if (value !== undefined) draft.wrapText = { kind: "TlsCryptV2", value, line: directive.line };
  },
  "tls-auth": (draft, directive) => {
    const value = blockOf(draft, directive);
    if (value !== undefined) draft.wrapText = { kind: "TlsAuth", value, line: directive.line };
    else if (directive.words[1] !== undefined) direction(draft, directive, directive.words[1]);
  },
  "key-direction": (draft, directive) => direction(draft, directive, directive.words[0]),
  auth: (draft, directive) => {
    const name = (directive.words[0] ?? "").toUpperCase().replace(/^SHA-/, "SHA");
    draft.digestLine = directive.line;
    draft.digest = name === "SHA1" || name === "SHA256" || name === "SHA512" ? name : undefined;
  },
  cipher: (draft, directive) => {
    const cipher = cipherNamed(directive.words[0] ?? "");
    if (cipher === undefined) noteCipher(draft, directive);
    else draft.cipher = cipher;
  },
  "data-ciphers": applyDataCiphers,
  "ncp-ciphers": applyDataCiphers,
  "data-ciphers-fallback": (draft, directive) => {
    if (cipherNamed(directive.words[0] ?? "") === undefined) noteCipher(draft, directive);
  },
  "remote-cert-tls": (draft, directive) => {
    const [use] = directive.words;
    if (use === "server" || use === "client") draft.remoteCertTls = use;
    else refuse(draft, directive, "is server or client");
  },
  "remote-cert-eku": (draft, directive) => {
    if (SERVER_AUTHENTICATION.includes(directive.words.join(" "))) draft.remoteCertTls = "server";
    else refuse(draft, directive, "only TLS Web Server Authentication is supported");
  },
  "verify-x509-name": (draft, directive) => {
    const [name = "", type = "subject"] = directive.words;
    if (type === "name" && name !== "") draft.verifyName = name;
    else if (type === "name-prefix" && name !== "") draft.verifyNamePrefix = name;
    else if (type === "subject" && /^[A-Za-z0-9.]+=/.test(name)) draft.verifySubject = name;
    else {
      const forms = '"NAME" name, "PREFIX" name-prefix or "C=DE, CN=NAME" subject';
      refuse(draft, directive, `takes ${forms}`);
    }
  },
  "tls-version-min": (draft, directive) => {
    const [version] = directive.words;
    if (version === "1.2" || version === "1.3") draft.tlsVersionMin = version;
    else if (version === "1.0" || version === "1.1") draft.notes.push(oldTls(directive));
    else refuse(draft, directive, "is 1.2 or 1.3");
  },
  "tls-version-max": (draft, directive) => {
    const [version] = directive.words;
    if (version === "1.2" || version === "1.3") draft.tlsVersionMax = version;
    else refuse(draft, directive, "is 1.2 or 1.3: older versions are not spoken");
  },
  "auth-user-pass": applyUserPass,
};

function block(
  field: "caPem" | "certificatePem" | "extraCertificatesPem" | "crlPem",
): (draft: ProfileDraft, directive: Directive) => void {
  return (draft, directive) => {
    const text = blockOf(draft, directive);
    if (text !== undefined) draft[field] = `${text.trim()}\n`;
  };
}

function direction(draft: ProfileDraft, directive: Directive, word: string | undefined): void {
  if (word === "0" || word === "1") draft.keyDirection = word === "0" ? 0 : 1;
  else refuse(draft, directive, "the direction is 0 or 1");
}

function applyFingerprint(draft: ProfileDraft, directive: Directive): void {
  const lines = directive.block?.split("\n") ?? [directive.words[0] ?? ""];
  const texts = lines
    .map((line) => line.replace(/[#;].*$/, "").trim())
    .filter((line) => line !== "");
  for (const text of texts) {
    if (/^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31}$/.test(text)) {
      draft.peerFingerprints.push(text.toUpperCase());
    } else {
      refuse(draft, directive, "needs a SHA-256 fingerprint: 32 bytes in hex with colons between");
    }
  }
}

function applyDataCiphers(draft: ProfileDraft, directive: Directive): void {
  const names = (directive.words[0] ?? "").split(":").map((name) => name.replace(/^\?/, ""));
  const ciphers = names.flatMap((name) =>
    name === "DEFAULT" ? [...DATA_CIPHERS] : (cipherNamed(name) ?? []),
  );
  if (ciphers.length === 0) {
    refuse(draft, directive, `names no cipher that is supported: use ${DATA_CIPHERS.join(":")}`);
    return;
  }
  draft.dataCiphers = [...new Set(ciphers)];
}

function cipherNamed(name: string): DataCipher | undefined {
  return DATA_CIPHERS.find((cipher) => cipher === name.toUpperCase());
}

function noteCipher(draft: ProfileDraft, directive: Directive): void {
  draft.notes.push(
    `line ${directive.line}: ${directive.name} is ignored: only authenticated ciphers are used, and they are negotiated`,
  );
}

function oldTls(directive: Directive): string {
  return `line ${directive.line}: tls-version-min is raised to 1.2: older versions are not spoken`;
}

function applyUserPass(draft: ProfileDraft, directive: Directive): void {
  draft.asksUserPass = true;
  if (directive.block !== undefined) {
    const [username = "", password = ""] = directive.block.split("\n").map((line) => line.trim());
    if (username !== "" && password !== "") draft.userPass = { username, password };
    else refuse(draft, directive, "the block needs the username and the password on a line each");
  } else if (directive.words.length > 0 && directive.words[0] !== "[inline]") {
    const { line, words } = directive;
    draft.notes.push(
      `line ${line}: ${words[0]} is not read: give it with --auth-user-pass, as a block, or as a Secret in spec.security.userPassSecretRef`,
    );
  }
}
