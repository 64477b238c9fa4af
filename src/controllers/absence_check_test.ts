import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { ApiClient } from "../runtime/api_client.ts";
import { KubeApiError } from "../runtime/ports/errors.ts";
import type { RestClient } from "../runtime/ports/rest.ts";
import { AbsenceCheck } from "./absence_check.ts";

/** A server that has the PCMC for as long as `there` is true, and counts how often it was asked. */
function setUp() {
  const server = { there: true, reads: 0 };
  const clock = new VirtualClock();
  const rest = {
    performRequest() {
      server.reads++;
      if (server.there) return Promise.resolve({ metadata: {} });
      const refusal = { status: 404, reason: "NotFound", message: "not found" };
      return Promise.reject(new KubeApiError(refusal));
    },
  };
  const api = new ApiClient({
    rest: rest as unknown as RestClient,
    clock,
  });
  const check = new AbsenceCheck(api, clock);
  return { server, gone: () => check.ofPcmc("ns", "facts", new AbortController().signal) };
}

Deno.test("AbsenceCheck asks once for all ConfigMaps of a deleted PCMC", async () => {
  const { server, gone } = setUp();
  server.there = false;
  assert.deepEqual(await Promise.all([gone(), gone(), gone()]), [true, true, true]);
  assert.equal(await gone(), true);
  assert.equal(server.reads, 1);
});

Deno.test("AbsenceCheck does not answer with a PCMC that was there before it was deleted", async () => {
  const { server, gone } = setUp();
  assert.equal(await gone(), false);
  server.there = false;
  assert.equal(await gone(), true);
});
