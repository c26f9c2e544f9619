import assert from "node:assert/strict";
import { test } from "node:test";
import { createAuthority, issueCertificate } from "../../../authority/certificate.ts";
import type { Api, ApiCall } from "../../api/api-client.ts";
import { ApiError } from "../../api/api-error.ts";
import { SYSTEM_CLOCK } from "../../clock.ts";
import type { SecretObject } from "../secret-data.ts";
import type { CertificateObject, CertificateWish } from "./certificate.ts";
import { Issuing, type IssuingOptions, type Obtained } from "./issuing.ts";

const WISH: CertificateWish = {
  owner: { apiVersion: "fairlead.dev/v1alpha1", kind: "VpnPeer", name: "box", uid: "u" },
  ...{ namespace: "lab", name: "box-profile-1", tunnel: "t", labels: {} },
  ...{ commonName: "box", use: "client", lifetimeDays: 90, renewBeforeDays: 30 },
  issuer: { name: "plant", kind: "Issuer", group: "cert-manager.io" },
};

type Conditions = NonNullable<NonNullable<CertificateObject["status"]>["conditions"]>;

/** What the cluster has; a number is the status by which the API server refuses. */
interface Cluster {
  readonly conditions?: Conditions;
  readonly secret?: SecretObject;
  readonly ensured?: number;
  readonly issuer?: number;
}

function condition(type: string, status: "True" | "False", reason: string): Conditions[number] {
  const lastTransitionTime = "2026-01-01T00:00:00Z";
  return { type, status, reason, message: `said of ${reason}`, lastTransitionTime };
}

function refusal(status: number): ApiError {
  return new ApiError("PATCH x", { status, reason: "Because", message: "of this" });
}

async function obtain({ conditions, ensured, issuer, secret }: Cluster): Promise<Obtained> {
  const certificate = {
    metadata: { name: WISH.name, namespace: "lab", generation: 1 },
    ...(conditions === undefined ? {} : { status: { conditions } }),
  };
  const api: Pick<Api, "call"> = {
    call: <Answer>({ path }: ApiCall): Promise<Answer> => {
      const isIssuer = path.endsWith("/issuers/plant");
      if (!isIssuer || issuer !== undefined)
        return Promise.reject(refusal((isIssuer ? issuer : undefined) ?? 404));
      return Promise.resolve({
        metadata: { name: "plant" },
        status: { conditions: [condition("Ready", "True", "Fine")] },
      } as Answer);
    },
  };
  const ensure = (): Promise<void> =>
    ensured === undefined ? Promise.resolve() : Promise.reject(refusal(ensured));
  const issuing = new Issuing({
    ...{ api, clock: SYSTEM_CLOCK, children: { ensure } },
    world: {
      certificates: { get: () => certificate },
      secrets: { get: () => secret },
    } as unknown as IssuingOptions["world"],
  });
  return await issuing.obtain(WISH);
}

async function goodSecret(): Promise<SecretObject> {
  const wallMs = Date.now();
  const root = await createAuthority({ commonName: "plant", lifetimeDays: 900, wallMs });
  const pair = await issueCertificate(root, { ...WISH, wallMs });
  const texts = { crt: pair.certificatePem, key: pair.privateKeyPem, ca: root.certificatePem };
  const [crt, key, ca] = Object.values(texts).map((text) => Buffer.from(text).toString("base64"));
  const data = { "tls.crt": crt ?? "", "tls.key": key ?? "", "ca.crt": ca ?? "" };
  return { metadata: { name: "s", namespace: "lab" }, data };
}

test("what the API server refuses is told by its status", async () => {
  for (const [status, reason] of [
    [404, "CertManagerMissing"],
    [403, "CertificateRefused"],
    [422, "CertificateRefused"],
  ] as const) {
    const { issued, trouble } = await obtain({ ensured: status });
    assert.deepEqual([issued, trouble?.status, trouble?.reason], [undefined, "False", reason]);
  }
  await assert.rejects(obtain({ ensured: 409 }), ApiError);
});

test("cert-manager's own words are quoted, of a request that was denied before all", async () => {
  const waiting = [condition("Ready", "False", "DoesNotExist")];
  for (const [conditions, status, message] of [
    [undefined, "Unknown", /has not issued the Certificate lab\/box-profile-1 yet: if it stays so/],
    [waiting, "Unknown", /: said of DoesNotExist: if it stays so, kubectl -n lab describe/],
    [
      [...waiting, condition("Issuing", "False", "Denied")],
      "False",
      /could not issue .*: said of Denied: kubectl -n lab describe certificate box-profile-1$/,
    ],
  ] as const) {
    const { trouble } = await obtain(conditions === undefined ? {} : { conditions });
    assert.equal(trouble?.status, status);
    assert.match(trouble?.message ?? "", message);
  }
});

test("an issuer that may not be looked at is passed over, one that is not there is named", async () => {
  const conditions = [condition("Ready", "False", "DoesNotExist")];
  assert.equal((await obtain({ conditions, issuer: 403 })).trouble?.reason, "CertificatePending");
  const { trouble } = await obtain({ conditions, issuer: 404 });
  assert.equal(trouble?.reason, "IssuerMissing");
  assert.match(trouble?.message ?? "", /there is no Issuer lab\/plant: create it/);
});

test("what was issued is used on, also while the next one fails, which is said", async () => {
  const secret = await goodSecret();
  const ready = condition("Ready", "True", "Ready");
  const fine = await obtain({ secret, conditions: [ready] });
  assert.deepEqual([fine.trouble, fine.issued !== undefined], [undefined, true]);
  const failed = await obtain({
    secret,
    conditions: [ready, condition("Issuing", "False", "Failed")],
  });
  assert.deepEqual(
    [failed.trouble?.reason, failed.issued !== undefined],
    ["CertificateFailed", true],
  );
  const refused = await obtain({ secret, ensured: 403 });
  assert.deepEqual(
    [refused.trouble?.reason, refused.issued !== undefined],
    ["CertificateRefused", true],
  );
  // An edit that cert-manager has not looked at yet is no trouble.
  const edited = await obtain({ secret, conditions: [{ ...ready, observedGeneration: 0 }] });
  assert.deepEqual([edited.trouble, edited.issued !== undefined], [undefined, true]);
});
