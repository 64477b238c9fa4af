import { deepStrictEqual as deepEqual, strictEqual as equal } from "node:assert/strict";
import fc from "fast-check";
import type { ObservedConfigMap, PodFacts } from "./model.ts";
import { configMapName } from "./names.ts";
import { desiredConfigMap } from "./plan.ts";
import { planPod, type PodPlan } from "./plan_pod.ts";
import { type PcmcView, projectConfigMap, projectPcmc, projectPod } from "./projections.ts";

function pod(change: Partial<PodFacts> = {}): PodFacts {
  const base = projectPod({
    metadata: { name: "web", namespace: "ns", uid: "u1", labels: { app: "web" } },
    spec: { nodeName: "n1" },
    status: { phase: "Running" },
  });
  return { ...base, ...change };
}

function pcmc(name: string, spec: unknown = {}, metadata: object = {}): PcmcView {
  return projectPcmc({
    metadata: { name, namespace: "ns", uid: `uid-${name}`, generation: 1, ...metadata },
    spec,
  });
}

/** The ConfigMap as a past reconcile has left it. */
function existing(of: PodFacts, pcmcName: string, change: object = {}): ObservedConfigMap {
  const body = desiredConfigMap(of, pcmcName, {
    podName: of.name,
    namespace: of.namespace,
    nodeName: of.nodeName,
    phase: of.phase,
    pcmcName,
  });
  const metadata = { ...body.metadata, uid: `cm-${pcmcName}`, resourceVersion: "9" };
  return { ...projectConfigMap({ ...body, metadata }), ...change };
}

const run = (input: Partial<Parameters<typeof planPod>[0]>): PodPlan =>
  planPod({ podName: "web", pod: pod(), pcmcs: [], observed: [], served: false, ...input });
const kinds = (plan: PodPlan) => plan.pairs.map(({ pcmc, decision }) => [pcmc.name, decision.kind]);
const removed = (plan: PodPlan) =>
  plan.removals.map(({ pcmc, decision }) => [pcmc, decision.reason]);

Deno.test("each PCMC that selects the Pod has a ConfigMap, others none", () => {
  const plan = run({
    pcmcs: [
      pcmc("all"),
      pcmc("web", { podSelector: { matchLabels: { app: "web" } } }),
      pcmc("db", { podSelector: { matchLabels: { app: "db" } } }),
    ],
    observed: [existing(pod(), "all")],
  });
  deepEqual(kinds(plan), [["all", "none"], ["web", "create"]]);
  deepEqual([plan.removals, plan.leftovers], [[], []]);
  equal(plan.pairs[1]?.name, "pod-web-from-web-cfg");
});

Deno.test("ConfigMaps of a PCMC that is gone, going, or no longer selects the Pod are deleted", () => {
  const plan = run({
    pcmcs: [
      pcmc("going", {}, { deletionTimestamp: "2026-01-01T00:00:00Z" }),
      pcmc("db", { podSelector: { matchLabels: { app: "db" } } }),
    ],
    observed: ["gone", "going", "db"].map((name) => existing(pod(), name)),
  });
  deepEqual(kinds(plan), []);
  deepEqual(removed(plan), [
    ["gone", "pcmc-gone"],
    ["going", "pcmc-gone"],
    ["db", "not-selected"],
  ]);
  deepEqual(plan.removals[0]?.decision, {
    kind: "delete",
    reason: "pcmc-gone",
    uid: "cm-gone",
    resourceVersion: "9",
  });
});

Deno.test("a ConfigMap that is terminating already is not deleted again", () => {
  const plan = run({ observed: [existing(pod(), "gone", { terminating: true })] });
  deepEqual(plan, { pairs: [], removals: [], leftovers: [] });
});

Deno.test("ConfigMaps of an invalid PCMC are left alone", () => {
  const broken = pcmc("broken", { ebpfConfig: { l4Firewall: { allowedPorts: [70000] } } });
  const stale = existing(pod({ phase: "Pending", uid: "old" }), "broken");
  for (const state of [pod(), pod({ labels: {} }), pod({ terminating: true })]) {
    deepEqual(run({ pod: state, pcmcs: [broken], observed: [stale] }), {
      pairs: [],
      removals: [],
      leftovers: [],
    });
  }
});

Deno.test("for a terminating Pod nothing is made, what exists is kept current, and goes with its PCMC", () => {
  const terminating = pod({ terminating: true, phase: "Succeeded" });
  const plan = run({
    pod: terminating,
    pcmcs: [
      pcmc("new"),
      pcmc("old"),
      pcmc("frozen"),
      pcmc("db", { podSelector: { matchLabels: { app: "db" } } }),
    ],
    observed: [
      existing(pod(), "old"),
      existing(pod(), "db"),
      existing(pod(), "gone"),
      existing(pod(), "frozen", { immutable: true }),
    ],
  });
  deepEqual(kinds(plan), [["new", "wait"], ["old", "patch"], ["frozen", "wait"]]);
  deepEqual(removed(plan), [["gone", "pcmc-gone"]]);
});

Deno.test("of a Pod that is gone, ConfigMaps are left for the garbage collector first", () => {
  const plan = run({
    pod: undefined,
    pcmcs: [pcmc("all")],
    observed: [
      existing(pod(), "all"),
      existing(pod(), "gone"),
      existing(pod(), "all", { name: "precious" }),
    ],
  });
  deepEqual(kinds(plan), []);
  deepEqual(removed(plan), [["gone", "pcmc-gone"]]);
  deepEqual(plan.leftovers.map(({ name, decision }) => [name, decision.reason]), [
    ["pod-web-from-all-cfg", "pod-gone"],
  ]);
});

Deno.test("the ConfigMap of a recreated Pod is patched to the new uid", () => {
  const plan = run({
    pod: pod({ uid: "u2" }),
    pcmcs: [pcmc("all")],
    observed: [existing(pod(), "all")],
  });
  const [pair] = plan.pairs;
  deepEqual(pair?.decision.kind === "patch" && pair.decision.changes, [
    "ownerReferences",
    "labels",
  ]);
});

Deno.test("a foreign ConfigMap of a wanted name is a conflict, of an unwanted one nothing", () => {
  const foreign = { ourAnnotations: {}, ourLabels: {} };
  const plan = run({
    pcmcs: [pcmc("all")],
    observed: [existing(pod(), "all", foreign), existing(pod(), "gone", foreign)],
  });
  deepEqual(kinds(plan), [["all", "conflict"]]);
  deepEqual(plan.removals, []);
});

Deno.test("data past the API's limit is reported, what exists stays", () => {
  const annotations = { note: "x".repeat(1024 * 1024) };
  const plan = run({
    pod: pod({ annotations }),
    pcmcs: [pcmc("all", { annotationsToInclude: ["note"] })],
    observed: [existing(pod(), "all")],
  });
  deepEqual(plan.pairs[0]?.decision, {
    kind: "unrenderable",
    reason: "ConfigMapTooLarge",
    message: "ConfigMap pod-web-from-all-cfg would hold 1048593 bytes, " +
      "more than the 1048576 that Kubernetes allows",
  });
  deepEqual(plan.removals, []);
});

Deno.test("eBPF status goes into the data and the pair where a program is wanted", () => {
  const firewall = pcmc("fw", { ebpfConfig: { l4Firewall: { enabled: true } } });
  const off = pcmc("off", { ebpfConfig: { l4Firewall: { enabled: false } } });
  const statusOf = (input: Partial<Parameters<typeof planPod>[0]>) =>
    run({ pcmcs: [firewall, off], ...input }).pairs.map(({ ebpf, decision }) => [
      ebpf,
      decision.kind === "create" && decision.body.data["ebpf_status"],
    ]);
  deepEqual(statusOf({ served: false }), [["unserved", "unserved"], [undefined, "applied"]]);
  deepEqual(statusOf({ served: true }), [["pending", "pending"], [undefined, "applied"]]);
  // A finished Pod is not waited for.
  deepEqual(statusOf({ pod: pod({ phase: "Succeeded" }), served: true })[0], [
    undefined,
    "pending",
  ]);
});

Deno.test("a program is wanted for the firewall, for counting system calls, and for nothing else", () => {
  const wanted = (ebpfConfig: object) =>
    run({ pcmcs: [pcmc("c", { ebpfConfig })], served: true }).pairs[0]?.ebpf;
  equal(wanted({ l4Firewall: { enabled: true } }), "pending");
  equal(wanted({ syscallMonitoring: { enabled: true } }), "pending");
  equal(wanted({ metricsExport: { enabled: true } }), undefined);
  equal(wanted({}), undefined);
});

Deno.test("a ConfigMap of ours without annotations is found by its labels, its name and its owner", () => {
  const long = "c".repeat(100);
  const bare = { ourAnnotations: {}, hasAnnotations: false };
  const plan = run({ observed: [existing(pod(), "gone", bare), existing(pod(), long, bare)] });
  deepEqual(removed(plan), [["gone", "pcmc-gone"], [long, "pcmc-gone"]]);
});

Deno.test("nothing foreign is ever deleted, whatever exists", () => {
  const names = ["a", "b", "a-from-b"];
  const object = fc.record({
    of: fc.constantFrom(...names),
    pcmc: fc.constantFrom(...names),
    under: fc.option(fc.constantFrom(...names.map((name) => configMapName("web", name)))),
    bare: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(object, { maxLength: 5 }),
      fc.subarray(names),
      fc.constantFrom("absent", "terminating", "there"),
      (objects, live, state) => {
        const observed = objects.map(({ of, pcmc, under, bare }) => {
          const made = existing(pod({ name: of === "a" ? "web" : of }), pcmc);
          return {
            ...made,
            ...(under === null ? {} : { name: under }),
            ...(bare ? { ourAnnotations: {}, ourLabels: {} } : {}),
          };
        });
        const plan = run({
          observed,
          pcmcs: live.map((name) => pcmc(name)),
          pod: state === "absent" ? undefined : pod({ terminating: state === "terminating" }),
        });
        for (const removal of [...plan.removals, ...plan.leftovers]) {
          const target = observed.find(({ name, ourAnnotations }) =>
            name === removal.name && ourAnnotations["podconfig.example.com/pod"] === "web" &&
            ourAnnotations["podconfig.example.com/pcmc"] === removal.pcmc
          );
          equal(target?.name, configMapName("web", removal.pcmc));
          equal(live.includes(removal.pcmc) && state !== "absent", false);
        }
      },
    ),
    { seed: 11, numRuns: 3000 },
  );
});
