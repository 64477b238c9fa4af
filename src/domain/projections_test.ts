import { deepStrictEqual as deepEqual, strictEqual as equal } from "node:assert/strict";
import { formatProblem } from "../api/decode.ts";
import { dataDigest } from "./digest.ts";
import { samePodFacts } from "./model.ts";
import { projectConfigMap, projectPcmc, projectPod } from "./projections.ts";

const IDENTITY = { namespace: "ns", name: "x", uid: "u", resourceVersion: "12" };

const POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    ...IDENTITY,
    labels: { a: "b" },
    annotations: { c: "d" },
    managedFields: [{ manager: "kubectl" }],
    deletionTimestamp: "2026-01-01T00:00:00Z",
  },
  spec: { nodeName: "n1", containers: [{ name: "c", image: "i" }] },
  status: {
    phase: "Running",
    podIP: "10.0.0.1",
    conditions: [
      { type: "Ready", status: "True" },
      {
        type: "podconfig.example.com/EbpfApplied",
        status: "False",
        reason: "LoadFailed",
        message: "no BTF",
      },
    ],
  },
};

Deno.test("projectPod() keeps what decisions need, and nothing else", () => {
  deepEqual(projectPod(POD), {
    ...IDENTITY,
    labels: { a: "b" },
    annotations: { c: "d" },
    nodeName: "n1",
    phase: "Running",
    terminating: true,
    ready: true,
    ebpf: { status: "False", reason: "LoadFailed", message: "no BTF" },
  });
});

Deno.test("projectPod() takes what is absent as empty", () => {
  deepEqual(projectPod({ metadata: IDENTITY }), {
    ...IDENTITY,
    labels: {},
    annotations: {},
    nodeName: "",
    phase: "",
    terminating: false,
    ready: false,
  });
});

Deno.test("samePodFacts() sees every difference that matters, and no other", () => {
  const facts = projectPod(POD);
  equal(samePodFacts(facts, projectPod(structuredClone(POD))), true);
  equal(samePodFacts(facts, { ...facts, resourceVersion: "13" }), true);
  const changes = [
    { uid: "v" },
    { nodeName: "" },
    { phase: "Failed" },
    { terminating: false },
    { ready: false },
    { labels: { a: "c" } },
    { labels: {} },
    { annotations: { c: "d", e: "" } },
    { annotations: { e: "d" } },
    { ebpf: { status: "True", reason: "LoadFailed", message: "no BTF" } },
    { ebpf: { status: "False", reason: "Other", message: "no BTF" } },
    { ebpf: { status: "False", reason: "LoadFailed", message: "" } },
  ];
  for (const change of changes) {
    equal(samePodFacts(facts, { ...facts, ...change }), false, JSON.stringify(change));
  }
  const { ebpf: _, ...without } = facts;
  equal(samePodFacts(facts, without), false);
});

Deno.test("projectConfigMap() keeps our labels and annotations, a digest, and whether there are more", () => {
  const owner = { apiVersion: "v1", kind: "Pod", name: "p", uid: "pu" };
  deepEqual(
    projectConfigMap({
      metadata: {
        ...IDENTITY,
        labels: { "podconfig.example.com/pod-uid": "pu", other: "x" },
        annotations: { other: "y" },
        ownerReferences: [{ ...owner, controller: true, blockOwnerDeletion: false }],
      },
      data: { a: "1" },
      binaryData: { b: "AA==" },
      immutable: true,
    }),
    {
      ...IDENTITY,
      ourLabels: { "podconfig.example.com/pod-uid": "pu" },
      ourAnnotations: {},
      hasLabels: true,
      hasAnnotations: true,
      ownerReferences: [{ ...owner, controller: true }],
      terminating: false,
      immutable: true,
      hasBinaryData: true,
      dataDigest: dataDigest({ a: "1" }),
    },
  );
  for (const empty of [undefined, null, {}]) {
    const made = projectConfigMap({
      metadata: { ...IDENTITY, labels: empty, annotations: empty },
      data: empty,
      binaryData: empty,
    });
    deepEqual([made.hasLabels, made.hasAnnotations, made.hasBinaryData], [false, false, false]);
    equal(made.dataDigest, dataDigest({}));
  }
});

Deno.test("projectPcmc() decodes a valid spec and compiles it", () => {
  const view = projectPcmc({
    metadata: { ...IDENTITY, generation: 3, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { podSelector: { matchLabels: { a: "b" } }, labelsToInclude: ["x/y"] },
    status: { observedGeneration: 2 },
  });
  equal(view.generation, 3);
  equal(view.creationTimestamp, "2026-01-01T00:00:00Z");
  deepEqual(view.status, { observedGeneration: 2 });
  deepEqual(view.problems, []);
  deepEqual(view.spec?.labels, [{ key: "x/y", dataKey: "label_x_y" }]);
  deepEqual([view.spec?.selects({ a: "b" }), view.spec?.selects({})], [true, false]);
  equal(view.spec?.wantsEbpf, false);
});

Deno.test("projectPcmc() keeps the problems of an invalid spec", () => {
  const view = projectPcmc({ metadata: IDENTITY, spec: { labelsToInclude: ["-"] } });
  equal(view.spec, undefined);
  deepEqual(view.problems.map(formatProblem), [
    'spec.labelsToInclude[0]: must be a label key, got "-"',
  ]);
});
