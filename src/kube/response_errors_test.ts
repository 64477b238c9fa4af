import assert from "node:assert/strict";
import { refusedResponse, retryAfter } from "./response_errors.ts";

const now = Date.UTC(2026, 0, 1, 0, 0, 0);

function refuse(status: number, body: string | Uint8Array, headers: Record<string, string> = {}) {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return refusedResponse(
    { status, body: bytes, headers: new Map(Object.entries(headers)) },
    "GET /x",
    now,
  );
}

Deno.test("a Status keeps its reason, details and causes", () => {
  const error = refuse(
    409,
    JSON.stringify({
      kind: "Status",
      code: 409,
      reason: "Conflict",
      message: "object was modified",
      details: { kind: "leases", name: "l", causes: [{ reason: "X" }], retryAfterSeconds: 3 },
    }),
  );
  assert.deepEqual([error.status, error.reason, error.retryAfterMs], [409, "Conflict", 3000]);
  assert.equal(error.message, "Cannot GET /x: object was modified");
  assert.deepEqual([error.details.kind, error.details.name], ["leases", "l"]);
  assert.ok(error.hasCause("X"));
});

Deno.test("Retry-After counts where the Status says nothing", () => {
  assert.equal(refuse(429, "slow down", { "retry-after": "7" }).retryAfterMs, 7000);
  assert.equal(retryAfter(" 0 ", now), 0);
  assert.equal(retryAfter("Thu, 01 Jan 2026 00:00:09 GMT", now), 9000);
  assert.equal(retryAfter("Wed, 31 Dec 2025 00:00:09 GMT", now), 0);
  for (const bad of ["", "soon", "-1", "1.5"]) assert.equal(retryAfter(bad, now), undefined, bad);
});

Deno.test("text, HTML, nothing and broken bodies still say the status", () => {
  assert.equal(
    refuse(404, "404 page not found\n").message,
    "Cannot GET /x: HTTP status 404: 404 page not found",
  );
  assert.match(refuse(502, "<html><b>Bad Gateway</b></html>").message, /502: Bad Gateway$/);
  assert.equal(refuse(503, "").message, "Cannot GET /x: HTTP status 503");
  assert.equal(refuse(500, '{"a":').status, 500);
  assert.equal(refuse(500, new Uint8Array([0x6b, 0x38, 0x73, 0, 255])).status, 500);
  assert.ok(refuse(500, "x".repeat(5000)).message.length < 400);
});

Deno.test("a JSON body that is not a Status is not read as one", () => {
  const error = refuse(403, '{"code":200,"message":"fine"}');
  assert.equal(error.status, 403);
});
