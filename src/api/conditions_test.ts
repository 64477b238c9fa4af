import { deepStrictEqual as deepEqual, strictEqual as equal } from "node:assert/strict";
import { findCondition, formatTime, removeCondition, setCondition } from "./conditions.ts";

const T0 = Date.UTC(2026, 0, 1);
const T1 = T0 + 61_500;
const ready = { type: "Ready", status: "True" as const, reason: "Done", message: "all done" };

Deno.test("lastTransitionTime moves with status only", () => {
  const first = setCondition([], ready, T0);
  deepEqual(first, [{ ...ready, lastTransitionTime: "2026-01-01T00:00:00Z" }]);
  const reworded = setCondition(first, { ...ready, reason: "Again", observedGeneration: 2 }, T1);
  deepEqual(reworded, [{
    ...ready,
    reason: "Again",
    observedGeneration: 2,
    lastTransitionTime: "2026-01-01T00:00:00Z",
  }]);
  const failed = setCondition(reworded, { ...ready, status: "False" }, T1);
  equal(failed[0]?.lastTransitionTime, "2026-01-01T00:01:01Z");
});

Deno.test("conditions of other types stay, in their order", () => {
  const other = { ...ready, type: "Other", lastTransitionTime: formatTime(T0) };
  const both = setCondition(setCondition([other], ready, T0), { ...ready, reason: "New" }, T1);
  deepEqual(both.map(({ type }) => type), ["Other", "Ready"]);
  equal(both[0], other);
  deepEqual(removeCondition(both, "Ready"), [other]);
  equal(findCondition(both, "Ready")?.reason, "New");
  equal(findCondition(undefined, "Ready"), undefined);
});
