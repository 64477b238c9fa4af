import { deepStrictEqual as deepEqual, match, ok, strictEqual as equal } from "node:assert/strict";
import { findCondition } from "../api/conditions.ts";
import type { PcmcStatus } from "../api/status_schema.ts";
import { decodeStatus } from "../api/decode.ts";
import { type PcmcView, projectPcmc } from "./projections.ts";
import { nextStatus, statusChange, statusPatch, type StatusTally } from "./status.ts";

const T0 = Date.UTC(2026, 0, 1);
const FIREWALL = { ebpfConfig: { l4Firewall: { enabled: true } } };
const BROKEN = { labelsToInclude: ["-"], ebpfConfig: { l4Firewall: { mode: "x" } } };

function view(
  options: { spec?: unknown; generation?: number; status?: PcmcStatus } = {},
): PcmcView {
  const { spec = {}, generation = 1, status } = options;
  const metadata = { name: "c", namespace: "ns", uid: "u", resourceVersion: "4", generation };
  return projectPcmc({ metadata, spec, status });
}

function tally(change: Partial<StatusTally> = {}): StatusTally {
  const parts = { pending: 0, inPlace: 0, waiting: 0, conflicts: 0, failed: 0, ...change };
  const { pending, inPlace, waiting, conflicts, failed } = parts;
  return { matched: pending + inPlace + waiting + conflicts + failed, ...parts };
}

const summary = (status: PcmcStatus) =>
  (status.conditions ?? []).map((c) => `${c.type}=${c.status}/${c.reason}@${c.observedGeneration}`);
const settle = (of: PcmcView, counts: StatusTally, at = T0): PcmcStatus =>
  nextStatus(of, counts, at);

Deno.test("once every Pod is dealt with, Ready and Valid are True and the generation is observed", () => {
  const status = settle(view({ generation: 3 }), tally({ inPlace: 5, waiting: 1 }));
  deepEqual(summary(status), ["Valid=True/Valid@3", "Ready=True/ConfigMapsInPlace@3"]);
  deepEqual({ ...status, conditions: [] }, {
    observedGeneration: 3,
    conditions: [],
    matchedPods: 6,
    configMaps: 5,
    conflicts: 0,
    failed: 0,
  });
  deepEqual(decodeStatus(status), status, "the CRD's schema accepts it");
});

Deno.test("a first generation under way is Unknown and not observed", () => {
  const status = settle(view(), tally({ pending: 4, inPlace: 1 }));
  deepEqual(summary(status), ["Valid=True/Valid@1", "Ready=Unknown/Reconciling@1"]);
  equal(status.observedGeneration, undefined);
  equal(status.configMaps, 1);
});

Deno.test("a later generation under way leaves the conditions until it is done: one urgent write", () => {
  const before = settle(view(), tally({ inPlace: 2 }));
  const changed = view({ generation: 2, status: before });
  const underWay = settle(changed, tally({ pending: 1, inPlace: 1 }), T0 + 5000);
  deepEqual(underWay.conditions, before.conditions);
  equal(underWay.observedGeneration, 1);
  equal(statusChange(before, underWay), "counts-only");
  const done = settle(changed, tally({ inPlace: 2 }), T0 + 9000);
  deepEqual(summary(done), ["Valid=True/Valid@2", "Ready=True/ConfigMapsInPlace@2"]);
  equal(statusChange(underWay, done), "now");
  equal(findCondition(done.conditions, "Ready")?.lastTransitionTime, "2026-01-01T00:00:00Z");
});

Deno.test("a restart changes nothing: pending Pods of an observed generation are not news", () => {
  const before = settle(view({ spec: FIREWALL }), tally({ inPlace: 9, ebpf: EBPF.applied }));
  const again = view({ spec: FIREWALL, status: before });
  for (const counts of [tally({ pending: 9 }), tally({ pending: 3, inPlace: 6 })]) {
    equal(statusChange(before, settle(again, counts, T0 + 60_000)), "none");
  }
  const done = settle(again, tally({ inPlace: 9, ebpf: EBPF.applied }), T0 + 60_000);
  equal(statusChange(before, done), "none");
});

Deno.test("a conflict is Ready=False at once, with an example, also while Pods are pending", () => {
  const before = settle(view(), tally({ inPlace: 2 }));
  const counts = tally({ pending: 1, conflicts: 2, conflictExample: "x is someone else's" });
  const status = settle(view({ status: before }), counts, T0 + 5000);
  const ready = findCondition(status.conditions, "Ready");
  equal(ready?.status, "False");
  equal(ready?.reason, "NameConflict");
  equal(ready?.message, "x is someone else's");
  equal(ready?.lastTransitionTime, "2026-01-01T00:00:05Z");
  equal(status.conflicts, 2);
  equal(statusChange(before, status), "now");
  // Gone again.
  const after = settle(view({ status }), tally({ inPlace: 4 }), T0 + 9000);
  equal(findCondition(after.conditions, "Ready")?.status, "True");
});

Deno.test("a failure is Ready=False with its reason; the generation is dealt with all the same", () => {
  const counts = tally({
    failed: 1,
    failedReason: "ConfigMapTooLarge",
    failedExample: "too large",
  });
  const status = settle(view({ generation: 2 }), counts);
  deepEqual(summary(status), ["Valid=True/Valid@2", "Ready=False/ConfigMapTooLarge@2"]);
  equal(status.observedGeneration, 2);
  equal(status.failed, 1);
  equal(summary(settle(view(), tally({ failed: 1 })))[1], "Ready=False/ConfigMapsFailed@1");
});

Deno.test("an invalid spec is Valid=False with the field paths; counts and other conditions stay", () => {
  const before = settle(view({ spec: FIREWALL }), tally({ inPlace: 7, ebpf: EBPF.applied }));
  const status = settle(view({ spec: BROKEN, generation: 2, status: before }), tally());
  deepEqual(summary(status), [
    "Valid=False/InvalidSpec@2",
    "Ready=False/InvalidSpec@2",
    "EbpfApplied=True/Applied@1",
  ]);
  const message = findCondition(status.conditions, "Valid")?.message ?? "";
  match(message, /spec\.labelsToInclude\[0\]: must be a label key, got "-"; spec\.ebpfConfig/);
  equal(status.observedGeneration, 2);
  equal(status.configMaps, 7);
  // And it heals, also while Pods are pending.
  const healed = settle(view({ generation: 3, status }), tally({ pending: 1 }), T0 + 1000);
  equal(findCondition(healed.conditions, "Valid")?.status, "True");
  equal(healed.observedGeneration, 2);
});

Deno.test("a long list of problems is cut", () => {
  const labelsToInclude = Array.from({ length: 100 }, (_, index) => `-${index}`);
  const status = settle(view({ spec: { labelsToInclude } }), tally());
  const message = findCondition(status.conditions, "Valid")?.message ?? "";
  equal(message.length, 1024);
  ok(message.endsWith("..."));
});

const EBPF = {
  none: { desired: 0, applied: 0, failed: 0, unserved: 0 },
  applied: { desired: 9, applied: 9, failed: 0, unserved: 0 },
  pending: { desired: 9, applied: 5, failed: 0, unserved: 0 },
  failed: { desired: 9, applied: 1, failed: 1, unserved: 7 },
  noAgent: { desired: 9, applied: 0, failed: 0, unserved: 5 },
  partly: { desired: 9, applied: 8, failed: 0, unserved: 1 },
};

Deno.test("EbpfApplied follows the counts, and Ready does not wait for it", () => {
  const cases: [keyof typeof EBPF, string][] = [
    ["none", "True/NotRequired"],
    ["applied", "True/Applied"],
    ["pending", "False/Pending"],
    ["failed", "False/ApplyFailed"],
    ["noAgent", "Unknown/NoAgent"],
    ["partly", "False/NodesUnserved"],
  ];
  for (const [counts, expected] of cases) {
    const status = settle(view({ spec: FIREWALL }), tally({ inPlace: 9, ebpf: EBPF[counts] }));
    deepEqual(summary(status).slice(1), [
      "Ready=True/ConfigMapsInPlace@1",
      `EbpfApplied=${expected}@1`,
    ]);
    deepEqual(status.ebpf, EBPF[counts]);
  }
});

Deno.test("a new Pod's programs on their way do not take EbpfApplied back, a failure does", () => {
  const before = settle(view({ spec: FIREWALL }), tally({ ebpf: EBPF.applied }));
  const again = view({ spec: FIREWALL, status: before });
  const held = settle(again, tally({ ebpf: EBPF.pending }));
  equal(findCondition(held.conditions, "EbpfApplied")?.reason, "Applied");
  equal(statusChange(before, held), "counts-only");
  const failed = settle(again, tally({ ebpf: EBPF.failed }));
  equal(findCondition(failed.conditions, "EbpfApplied")?.reason, "ApplyFailed");
  const changed = view({ spec: FIREWALL, status: before, generation: 2 });
  const renewed = settle(changed, tally({ ebpf: EBPF.pending }));
  equal(findCondition(renewed.conditions, "EbpfApplied")?.reason, "Pending");
});

Deno.test("EbpfApplied and its counts are absent without ebpfConfig, and leave with it", () => {
  const before = settle(view({ spec: FIREWALL }), tally({ ebpf: EBPF.applied }));
  const turnedOff = view({ status: before, generation: 2 });
  const after = settle(turnedOff, tally({ inPlace: 1 }));
  deepEqual(summary(after), ["Valid=True/Valid@2", "Ready=True/ConfigMapsInPlace@2"]);
  equal("ebpf" in after, false);
  deepEqual(statusPatch(turnedOff, after), {
    metadata: { uid: "u", resourceVersion: "4" },
    status: { ...after, ebpf: null },
  });
  equal("ebpf" in statusPatch(view(), settle(view(), tally())).status, false);
});

Deno.test("conditions of others stay", () => {
  const other = {
    type: "example.com/Other",
    status: "True" as const,
    reason: "R",
    message: "",
    lastTransitionTime: "2025-01-01T00:00:00Z",
  };
  const status = settle(view({ status: { conditions: [other] } }), tally());
  deepEqual(status.conditions?.[0], other);
});

Deno.test("statusChange() tells urgent changes from counts and from none", () => {
  const current = settle(view(), tally({ inPlace: 1 }));
  equal(statusChange(current, structuredClone(current)), "none");
  equal(statusChange({}, {}), "none");
  equal(statusChange({}, current), "now");
  equal(statusChange(current, { ...current, configMaps: 2 }), "counts-only");
  const reworded = current.conditions?.map((condition) => ({ ...condition, message: "other" }));
  equal(statusChange(current, { ...current, conditions: reworded }), "counts-only");
  const reordered = Object.fromEntries(Object.entries(current).reverse());
  equal(statusChange(current, reordered), "none");
  for (const change of [{ status: "False" as const }, { reason: "X" }, { observedGeneration: 2 }]) {
    const conditions = current.conditions?.map((condition) => ({ ...condition, ...change }));
    equal(statusChange(current, { ...current, conditions }), "now", JSON.stringify(change));
  }
  equal(statusChange(current, { ...current, conditions: current.conditions?.slice(1) }), "now");
  equal(statusChange(current, { ...current, observedGeneration: 2 }), "now");
});
