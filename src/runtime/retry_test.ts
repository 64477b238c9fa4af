import assert from "node:assert/strict";
import { InvariantError } from "../lib/assert.ts";
import { LeadershipLostError } from "./leadership.ts";
import { KubeApiError, type KubeApiErrorInit, KubeConnectionError } from "./ports/errors.ts";
import { classify, ReconcileTimeoutError } from "./retry.ts";

const api = (status: number, init: Partial<KubeApiErrorInit> = {}) =>
  new KubeApiError({ message: "refused", status, ...init });
const causes = (...list: { reason?: string; field?: string; message?: string }[]) => ({
  details: { causes: list },
});

const TABLE: [name: string, error: unknown, verdict: string][] = [
  ["namespace terminating", api(403, causes({ reason: "NamespaceTerminating" })), "drop"],
  ["namespace gone", api(404, { details: { kind: "namespaces", causes: [] } }), "drop"],
  ["quota", api(403, { message: "forbidden: exceeded quota: q, requested: count=1" }), "backoff"],
  ["missing role", api(403, { reason: "Forbidden" }), "slow"],
  [
    "field validation",
    api(422, causes({ reason: "FieldValueInvalid", field: "data" })),
    "terminal",
  ],
  ["policy denial", api(422, causes({ message: "denied" })), "slow"],
  ["patch that does not fit", api(422), "fast"],
  [
    "patch of a recreated object",
    api(422, causes({ reason: "FieldValueInvalid", field: "metadata.uid" })),
    "fast",
  ],
  [
    "uid and more",
    api(422, causes({ field: "metadata.uid" }, { field: "metadata.name" })),
    "terminal",
  ],
  ["too large", api(413), "terminal"],
  ["webhook denial", api(400), "slow"],
  ["credentials refused", api(401), "backoff"],
  ["not found", api(404), "fast"],
  ["conflict", api(409, { reason: "Conflict" }), "fast"],
  ["already exists", api(409, { reason: "AlreadyExists" }), "fast"],
  ["gone", api(410), "fast"],
  ["throttled", api(429), "backoff"],
  ["server error", api(500), "backoff"],
  ["server timeout", api(504, { reason: "Timeout" }), "backoff"],
  ["unknown refusal", api(418), "slow"],
  ["no server", new KubeConnectionError("connect", "refused"), "backoff"],
  ["no answer", new KubeConnectionError("timeout", "late"), "backoff"],
  ["not leading", new LeadershipLostError("lost"), "backoff"],
  ["reconcile too long", new ReconcileTimeoutError("late"), "backoff"],
  ["our bug", new InvariantError("broken"), "slow"],
  ["aborted", new DOMException("stop", "AbortError"), "backoff"],
  ["a thrown string", "oops", "backoff"],
  ["nothing", undefined, "backoff"],
];

for (const [name, error, expected] of TABLE) {
  Deno.test(`classify: ${name} -> ${expected}`, () => {
    const verdict = classify(error);
    assert.equal(verdict.kind === "retry" ? verdict.pace : verdict.kind, expected);
  });
}

Deno.test("classify keeps the delay the server asked for", () => {
  const verdict = classify(api(429, { retryAfterMs: 7_000 }));
  assert.deepEqual(verdict, {
    kind: "retry",
    errorType: "throttled",
    pace: "backoff",
    minDelayMs: 7_000,
  });
});

Deno.test("error types: misfit patch, object over the size limit, server timeout, broken connection", () => {
  assert.equal(classify(api(422)).errorType, "conflict");
  const tooLong = api(422, causes({ reason: "FieldValueTooLong", field: "[]" }));
  assert.equal(classify(tooLong).errorType, "too_large");
  assert.equal(classify(api(500, { reason: "ServerTimeout" })).errorType, "timeout");
  assert.equal(classify(new KubeConnectionError("interrupted", "cut")).errorType, "connection");
});
