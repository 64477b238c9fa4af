import assert from "node:assert/strict";
import { differences, estimate } from "./statistics.ts";

Deno.test("estimate() gives the median and ends that few values lie beyond", () => {
  assert.deepEqual(estimate([3]), { median: 3, low: 3, high: 3 });
  assert.deepEqual(estimate([4, 1, 3, 2]), { median: 2.5, low: 1, high: 4 });
  // Of the binomial distribution with 12: P(at most 2) = 0.019, P(at most 3) = 0.073.
  const twelve = Array.from({ length: 12 }, (_, index) => index);
  assert.deepEqual(estimate(twelve), { median: 5.5, low: 2, high: 9 });
  assert.throws(() => estimate([]), RangeError);
});

Deno.test("differences() compares values of the same round", () => {
  assert.deepEqual(differences([5, 7], [1, 2]), [4, 5]);
  assert.throws(() => differences([1], [1, 2]), RangeError);
});
