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
  assert.deepEqual(unseenStarts(pod(starts), []), ["init", "earlier", "sameSecond"]);
});

Deno.test("without a condition that says when counting began, no start was seen for sure", () => {
  const starts = { later: "2026-01-02T03:04:06Z" };
  assert.deepEqual(unseenStarts(pod(starts, null), []), ["init", "later"]);
  assert.deepEqual(unseenStarts(pod(starts, { status: "False" }), []), ["init", "later"]);
  assert.deepEqual(unseenStarts(pod(starts, { lastTransitionTime: null }), []), ["init", "later"]);
});

Deno.test("a Pod without a status has no containers", () => {
  assert.deepEqual(unseenStarts({}, []), []);
});

Deno.test("what is counted may have changed since the condition became true", () => {
  const started = pod({ web: "2026-01-02T05:00:00Z" });
  const [earlier, later] = ["2026-01-02T04:00:00Z", "2026-01-02T06:00:00Z"];
  const config = (enabled: boolean, time: string, subresource?: string) => ({
    metadata: { creationTimestamp: earlier, managedFields: [{ time, subresource }] },
    spec: { ebpfConfig: { syscallMonitoring: { enabled } } },
  });
  const unseen = (...configs: object[]) => unseenStarts(started, configs).includes("web");
  assert.equal(unseen(config(true, earlier)), false);
  assert.equal(unseen(config(true, later)), true);
  assert.equal(unseen(config(true, later, "status")), false);
  assert.equal(unseen(config(false, later), {}), false);
  const labelled = (fieldsV1: object) => ({
    ...started,
    metadata: { managedFields: [{ time: later, fieldsV1 }] },
  });
  const labels = { "f:metadata": { "f:labels": { "f:app": {} } } };
  assert.deepEqual(unseenStarts(labelled(labels), []), ["init", "web"]);
  assert.deepEqual(unseenStarts(labelled({ "f:metadata": { "f:annotations": {} } }), []), ["init"]);
});
