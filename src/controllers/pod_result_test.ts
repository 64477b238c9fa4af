import { deepEqual, equal } from "node:assert/strict";
import { KubeApiError } from "../runtime/ports/errors.ts";
import { type PairResult, summarise } from "./pod_result.ts";

function ended(result: Partial<PairResult>): PromiseSettledResult<PairResult> {
  return { status: "fulfilled", value: { state: "in-place", wrote: false, ...result } };
}

function failed(status: number, reason = ""): PromiseSettledResult<PairResult> {
  return {
    status: "rejected",
    reason: new KubeApiError({ status, reason, message: `${status} ${reason}` }),
  };
}

function statusOf(results: PromiseSettledResult<PairResult>[]): number {
  const { outcome } = summarise(results);
  return outcome.kind === "retry" ? (outcome.error as KubeApiError).status : 0;
}

Deno.test("the soonest look that a pair asks for counts", () => {
  const result = summarise([ended({ recheckMs: 5 }), ended({ wrote: true, recheckMs: 3 })]);
  deepEqual(result, { outcome: { kind: "after", ms: 3 }, wrote: true });
  deepEqual(summarise([ended({})]), { outcome: { kind: "done" }, wrote: false });
});

Deno.test("a write that is refused for long does not hold up another pair's next step", () => {
  const result = summarise([failed(403), ended({ wrote: true, recheckMs: 0 })]);
  equal(result.outcome.kind, "retry");
  equal(result.recheckMs, 0);
});

Deno.test("of several failures, the one that heals soonest decides the pace", () => {
  equal(statusOf([failed(403), failed(500), failed(409, "Conflict")]), 409);
  equal(statusOf([failed(403), failed(500)]), 500);
  equal(statusOf([failed(413), failed(403)]), 403);
});

Deno.test("a failure for good decides only where nothing else is to be done", () => {
  equal(statusOf([failed(413)]), 413);
  deepEqual(summarise([failed(413), ended({ recheckMs: 7 })]).outcome, { kind: "after", ms: 7 });
});
