import assert from "node:assert/strict";
import { unseenStarts } from "./seccomp_pod.ts";

const APPLIED = "2026-01-02T03:04:05Z";

function pod(startedAt: Record<string, string>, condition: object | null = {}) {
  return {
    status: {
      conditions: [
        { type: "Ready", status: "True", lastTransitionTime: "2020-01-01T00:00:00Z" },
        ...condition === null ? [] : [{
          type: "podconfig.example.com/EbpfApplied",
          status: "True",
          lastTransitionTime: APPLIED,
          ...condition,
        }],
      ],
      initContainerStatuses: [
        { name: "init", state: { terminated: { startedAt: "2026-01-02T03:04:01Z" } } },
      ],
      containerStatuses: [
        ...Object.entries(startedAt).map(([name, at]) => ({
          name,
          state: { running: { startedAt: at } },
        })),
        { name: "waiting", state: { waiting: { reason: "ImagePullBackOff" } } },
      ],
    },
  };
}

Deno.test("a container that started before counting began was not seen to start", () => {
  const starts = {
    earlier: "2026-01-02T03:04:04Z",
    sameSecond: "2026-01-02T03:04:05Z",
    later: "2026-01-02T03:04:06Z",
  };
  assert.deepEqual(unseenStarts(pod(starts)), ["init", "earlier", "sameSecond"]);
});

Deno.test("without a condition that says when counting began, no start was seen for sure", () => {
  const starts = { later: "2026-01-02T03:04:06Z" };
  assert.deepEqual(unseenStarts(pod(starts, null)), ["init", "later"]);
  assert.deepEqual(unseenStarts(pod(starts, { status: "False" })), ["init", "later"]);
  assert.deepEqual(unseenStarts(pod(starts, { lastTransitionTime: null })), ["init", "later"]);
});

Deno.test("a Pod without a status has no containers", () => {
  assert.deepEqual(unseenStarts({}), []);
});
