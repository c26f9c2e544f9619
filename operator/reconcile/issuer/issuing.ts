/**
 * Has certificates issued by cert-manager and looks for what keeps it from doing so. Invariant: what
 * was issued and is good goes on being used, whatever is wrong with the next one.
 */
import type { Api } from "../../api/api-client.ts";
import { ApiError } from "../../api/api-error.ts";
import {
  CLUSTER_ISSUER,
  type DesiredObject,
  ISSUER,
  type KubeObject,
  keyOf,
  pathOf,
  SECRET,
} from "../../api/object.ts";
import { apply } from "../../apply/apply.ts";
import type { Children } from "../../apply/children.ts";
import type { Clock } from "../../clock.ts";
import type { Condition } from "../../status/conditions.ts";
import type { World } from "../../world.ts";
import { issuedSecretName } from "../labels.ts";
import type { SecretObject } from "../secret-data.ts";
import { fetchSecret } from "../vpn-tunnel/credentials.ts";
import { type CertificateObject, type CertificateWish, certificateOf } from "./certificate.ts";
import { IssuerReason, type Trouble } from "./conditions.ts";
import { type Issued, readIssued } from "./issued.ts";

/** What came of asking for a certificate. */
export interface Obtained {
  /** What was made, `Certificate lab/a`: to be spared among the owner's children. */
  readonly certificates: readonly string[];
  readonly issued?: Issued;
  /** Also beside `issued`: the next one is in trouble. */
  readonly trouble?: Trouble;
}

/** What it works with. */
export interface IssuingOptions {
  readonly api: Pick<Api, "call">;
  readonly children: Pick<Children, "ensure">;
  readonly clock: Clock;
  readonly world: Pick<World, "certificates" | "secrets">;
}

const OWN_GROUP = "cert-manager.io";
const NOT_FOUND = 404;
const FORBIDDEN = 403;
/** Answers by which the API server, or cert-manager's webhook behind it, turns a Certificate down. */
const REFUSALS: ReadonlySet<number> = new Set([400, FORBIDDEN, 422, 500]);

/** Certificates for gateways and peers. */
export class Issuing {
  readonly #options: IssuingOptions;

  constructor(options: IssuingOptions) {
    this.#options = options;
  }

  /** Asks for a certificate, and reads what there is. */
  async obtain(wish: CertificateWish): Promise<Obtained> {
    const { clock, world } = this.#options;
    const secret = await this.#secret(wish);
    const { issued, trouble } = readIssued(secret, wish, clock.wallMs());
    const found = issued === undefined ? {} : { issued };
    if (world.certificates === undefined) return { certificates: [], ...found, trouble: off() };
    const desired = certificateOf(wish);
    const asked = { certificates: [`${desired.kind} ${keyOf(desired)}`], ...found };
    const refused = await this.#ask(wish, desired);
    if (refused !== undefined) return { ...asked, trouble: refused };
    const certificate = world.certificates.get(keyOf(desired));
    await this.#adopt(certificate, secret);
    const pending = await this.#pending(wish, certificate, issued !== undefined);
    const wrong = trouble === undefined ? pending : (waitingFor(pending) ?? trouble);
    if (wrong !== undefined) return { ...asked, trouble: wrong };
    return issued === undefined ? { ...asked, trouble: missing(wish) } : asked;
  }

  async #secret({ name, namespace }: CertificateWish): Promise<SecretObject | undefined> {
    const { api, world } = this.#options;
    const place = { namespace, name: issuedSecretName(name) };
    // One that carries no label of ours, or is not in the copy yet, is asked for by name.
    return world.secrets.get(`${namespace}/${place.name}`) ?? (await fetchSecret(api, place));
  }

  async #ask(wish: CertificateWish, desired: DesiredObject): Promise<Trouble | undefined> {
    try {
      await this.#options.children.ensure(wish.owner, desired);
      return undefined;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const { name, namespace } = wish;
      if (error.status === NOT_FOUND) {
        const message = `spec.security.issuerRef: the API server knows no Certificates of ${OWN_GROUP}: install cert-manager with its kinds, and this goes on by itself`;
        return { status: "False", reason: IssuerReason.CertManagerMissing, message };
      }
      if (!REFUSALS.has(error.status)) throw error;
      const step = `correct that, and where it is the operator's account that may not, set the chart's value certManager.enabled`;
      const message = `The Certificate ${namespace}/${name} was refused: ${error.message}: ${step}`;
      return { status: "False", reason: IssuerReason.CertificateRefused, message };
    }
  }

  /** cert-manager leaves a Secret where its Certificate goes; ours goes with it. */
  async #adopt(
    certificate: CertificateObject | undefined,
    secret: SecretObject | undefined,
  ): Promise<void> {
    const { uid } = certificate?.metadata ?? {};
    if (certificate === undefined || uid === undefined || secret === undefined) return;
    if (secret.metadata.ownerReferences?.some((one) => one.uid === uid) === true) return;
    const { name, namespace = "", uid: secretUid } = secret.metadata;
    const { apiVersion = "cert-manager.io/v1", kind = "Certificate" } = certificate;
    const owner = { apiVersion, kind, name: certificate.metadata.name, uid };
    // With its uid, so that one that is gone by now is not made anew.
    const metadata = { name, namespace, uid: secretUid, ownerReferences: [owner] };
    try {
      await apply(this.#options.api, SECRET, { metadata } as KubeObject);
    } catch (error) {
      const isGone = error instanceof ApiError && [NOT_FOUND, 409].includes(error.status);
      if (!isGone) throw error;
    }
  }

  /** What cert-manager says of the Certificate; undefined: that all is well. */
  async #pending(
    wish: CertificateWish,
    certificate: CertificateObject | undefined,
    isUsable: boolean,
  ): Promise<Trouble | undefined> {
    const ready = conditionOf(certificate, "Ready");
    const generation = certificate?.metadata.generation ?? 0;
    const isSeen = (ready?.observedGeneration ?? generation) >= generation;
    const issuing = conditionOf(certificate, "Issuing");
    const hasFailed = issuing?.status === "False";
    if (ready?.status === "True" && isSeen && !hasFailed) return undefined;
    // Until cert-manager has looked at an edit, what was issued before is all that there is to say.
    if (isUsable && (ready === undefined || !isSeen)) return undefined;
    const issuer = await this.#issuerTrouble(wish);
    if (issuer !== undefined) return issuer;
    const { name, namespace } = wish;
    const step = `kubectl -n ${namespace} describe certificate ${name}`;
    if (hasFailed) {
      const message = `cert-manager could not issue the Certificate ${namespace}/${name}: ${issuing.message}: ${step}`;
      return { status: "False", reason: IssuerReason.CertificateFailed, message };
    }
    const said = isSeen && ready !== undefined ? `: ${ready.message}` : " yet";
    const message = `cert-manager has not issued the Certificate ${namespace}/${name}${said}: if it stays so, ${step}`;
    const status = isUsable ? "False" : "Unknown";
    return { status, reason: IssuerReason.CertificatePending, message };
  }

  /** An issuer of cert-manager's own kinds that is not there or not ready; others cannot be looked at. */
  async #issuerTrouble({ issuer, namespace }: CertificateWish): Promise<Trouble | undefined> {
    if (issuer.group !== OWN_GROUP) return undefined;
    const isCluster = issuer.kind === "ClusterIssuer";
    const place = isCluster ? { name: issuer.name } : { namespace, name: issuer.name };
    const path = pathOf(isCluster ? CLUSTER_ISSUER : ISSUER, place);
    const what = isCluster ? `ClusterIssuer ${issuer.name}` : `Issuer ${namespace}/${issuer.name}`;
    const step = "create it, or correct spec.security.issuerRef of the tunnel";
    try {
      const found = await this.#options.api.call<CertificateObject>({ method: "GET", path });
      const ready = conditionOf(found, "Ready");
      if (ready?.status === "True") return undefined;
      const said =
        ready?.message ?? "cert-manager has not looked at it yet: is its controller running?";
      const message = `The ${what} is not ready: ${said}`;
      return { status: "False", reason: IssuerReason.IssuerNotReady, message };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === FORBIDDEN) return undefined;
      if (error.status !== NOT_FOUND) throw error;
      const message = `spec.security.issuerRef: there is no ${what}: ${step}`;
      return { status: "False", reason: IssuerReason.IssuerMissing, message };
    }
  }
}

function off(): Trouble {
  const message =
    "spec.security.issuerRef: this operator makes no Certificates: set the chart's value certManager.enabled, or remove the field";
  return { status: "False", reason: IssuerReason.CertManagerOff, message };
}

function missing({ name, namespace }: CertificateWish): Trouble {
  const message = `cert-manager says that the Certificate ${namespace}/${name} is ready, and its Secret ${issuedSecretName(name)} is not there: it is made anew, or kubectl -n ${namespace} describe certificate ${name}`;
  return { status: "Unknown", reason: IssuerReason.CertificatePending, message };
}

/** A Secret of before is judged once cert-manager has nothing more to do to it. */
function waitingFor(pending: Trouble | undefined): Trouble | undefined {
  return pending?.status === "Unknown" ? undefined : pending;
}

function conditionOf(
  object: CertificateObject | undefined,
  type: string,
): (Omit<Condition, "observedGeneration"> & { readonly observedGeneration?: number }) | undefined {
  return object?.status?.conditions?.find((one) => one.type === type);
}
