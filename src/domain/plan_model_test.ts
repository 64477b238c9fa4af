/**
 * Properties of the plan over a model of the API server: one ConfigMap, in any state that the
 * controller, the original program, users and strangers can have left it in.
 */
import { deepStrictEqual as deepEqual, ok, strictEqual as equal } from "node:assert/strict";
import fc from "fast-check";
import { configMapName, labelValue } from "./names.ts";
import { configMapOwners, isOurs } from "./ownership.ts";
import { type Decision, desiredConfigMap, type JsonPatchOperation, plan } from "./plan.ts";
import { projectConfigMap } from "./projections.ts";

type Json = Record<string, unknown>;
interface Stored extends Json {
  metadata: Json & { uid: string; resourceVersion: string };
}

const POD = { namespace: "ns", name: "web-0", uid: "pod-uid-2" };
const PCMC = "conf";
const NAME = configMapName(POD.name, PCMC);
const desired = (data: Record<string, string>) => desiredConfigMap(POD, PCMC, data);

/** As the API server does it: refuses a patch whose preconditions fail, drops empty maps. */
function patched(stored: Stored, operations: readonly JsonPatchOperation[]): Stored {
  const result = structuredClone(stored) as Stored;
  for (const operation of operations) {
    const steps = operation.path.slice(1).split("/")
      .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = steps.pop() as string;
    let parent: Json = result;
    for (const step of steps) {
      ok(step in parent, `the parent of ${operation.path} exists`);
      parent = parent[step] as Json;
    }
    if (operation.op === "add") parent[last] = structuredClone(operation.value);
    else {
      ok(last in parent, `${operation.path} exists`);
      delete parent[last];
    }
  }
  equal(result.metadata.uid, stored.metadata.uid);
  equal(result.metadata.resourceVersion, stored.metadata.resourceVersion);
  equal(result.metadata["name"], stored.metadata["name"]);
  result.metadata.resourceVersion = String(Number(stored.metadata.resourceVersion) + 1);
  return result;
}

/** The object after the decision; undefined: there is none. */
function applied(decision: Decision, stored: Stored | undefined): Stored | undefined {
  switch (decision.kind) {
    case "create":
      equal(stored, undefined);
      return {
        ...structuredClone(decision.body) as unknown as Stored,
        metadata: {
          ...structuredClone(decision.body.metadata) as unknown as Json,
          uid: "made",
          resourceVersion: "900",
        },
      };
    case "patch":
      return patched(stored as Stored, decision.operations);
    case "recreate":
      deepEqual([decision.uid, decision.resourceVersion], [
        stored?.metadata.uid,
        stored?.metadata.resourceVersion,
      ]);
      return undefined;
    default:
      return stored;
  }
}

const planFor = (data: Record<string, string>, stored: Stored | undefined) =>
  plan(desired(data), stored && projectConfigMap(stored));

const text = fc.constantFrom("", "a", "ä", "true", "x/y");
const data = fc.dictionary(fc.constantFrom("podName", "phase", "label_a", "b"), text);
const podOwner = (name: string, uid: string, more: Json = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  name,
  uid,
  ...more,
});
const labels = fc.record({
  "podconfig.example.com/generated-by-pcmc": fc.constantFrom(PCMC, labelValue(PCMC), "other"),
  "podconfig.example.com/pod-uid": fc.constantFrom(POD.uid, "pod-uid-1"),
  "app.kubernetes.io/managed-by": fc.constantFrom("podconfigmap-controller", "Helm"),
  "of-a-user/with~tilde": text,
}, { requiredKeys: [] });
const annotations = fc.record({
  "podconfig.example.com/pod": fc.constantFrom(POD.name, POD.name, "other"),
  "podconfig.example.com/pcmc": fc.constantFrom(PCMC, PCMC, "other"),
  "reloader.stakater.com/ignore": fc.constantFrom("true", "false"),
  note: text,
}, { requiredKeys: [] });
const owners = fc.array(
  fc.constantFrom(
    podOwner(POD.name, POD.uid),
    podOwner(POD.name, "pod-uid-1"),
    podOwner(POD.name, POD.uid, { controller: true, blockOwnerDeletion: true }),
    podOwner("other", "pod-uid-3"),
    { ...podOwner(POD.name, "x"), kind: "Service" },
    { ...podOwner(POD.name, "x"), apiVersion: "example.com/v1" },
  ),
  { maxLength: 2 },
);
const orAbsent = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

/** What the API server may hold under the name: empty maps are never there. */
const stored = fc.record({
  labels: orAbsent(labels),
  annotations: orAbsent(annotations),
  owners: orAbsent(owners),
  data: orAbsent(data),
  binaryData: orAbsent(fc.constant({ b: "AA==" })),
  immutable: fc.constantFrom(true, false, undefined, undefined, undefined),
  deletionTimestamp: fc.constantFrom("2026-01-01T00:00:00Z", undefined, undefined, undefined),
}).map((parts): Stored => {
  const metadata = {
    name: NAME,
    namespace: POD.namespace,
    uid: "cm-uid",
    resourceVersion: "7",
    labels: parts.labels,
    annotations: parts.annotations,
    ownerReferences: parts.owners,
    deletionTimestamp: parts.deletionTimestamp,
  };
  const object = {
    metadata,
    data: parts.data,
    binaryData: parts.binaryData,
    immutable: parts.immutable,
  };
  return pruned(object) as Stored;
});

function pruned(value: Json): Json {
  return Object.fromEntries(
    Object.entries(value).filter(([, member]) =>
      member !== undefined &&
      !(typeof member === "object" && member !== null && Object.keys(member).length === 0)
    ).map(([key, member]) => [key, key === "metadata" ? pruned(member as Json) : member]),
  );
}

Deno.test("carrying out the plan until it says none takes at most two steps, and is then exact", () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(orAbsent(stored), data, (before, wanted) => {
      let object = before;
      const kinds: string[] = [];
      for (let step = 0; step < 3; step++) {
        const decision = planFor(wanted, object);
        kinds.push(decision.kind);
        if (["none", "conflict", "wait"].includes(decision.kind)) break;
        object = applied(decision, object);
      }
      const path = kinds.join(" ");
      seen.set(path, (seen.get(path) ?? 0) + 1);
      const last = kinds.at(-1);
      ok(last === "none" || last === "conflict" || last === "wait", path);
      if (last === "none") {
        const body = desired(wanted);
        deepEqual({ ...object?.["data"] as Json }, { ...body.data });
        deepEqual(object?.metadata["ownerReferences"], body.metadata.ownerReferences);
        equal(object !== undefined && "binaryData" in object, false);
      }
    }),
    { seed: 7, numRuns: 20_000 },
  );
  const expected = ["conflict", "create none", "patch none", "recreate create none", "wait"];
  deepEqual([...seen.keys()].sort(), expected, "each course was taken, and no other");
});

Deno.test("an exact object needs no write, and keeps needing none", () => {
  fc.assert(
    fc.property(data, (wanted) => {
      const object = applied(planFor(wanted, undefined), undefined);
      equal(planFor(wanted, object).kind, "none");
    }),
    { seed: 8 },
  );
});

Deno.test("labels and annotations of others survive a patch", () => {
  fc.assert(
    fc.property(stored, data, (before, wanted) => {
      const decision = planFor(wanted, before);
      if (decision.kind !== "patch") return;
      const after = applied(decision, before);
      for (const [field, key] of [["labels", "of-a-user/with~tilde"], ["annotations", "note"]]) {
        const kept = (object: Stored | undefined) =>
          (object?.metadata[field as string] as Json | undefined)?.[key as string];
        equal(kept(after), kept(before));
      }
    }),
    { seed: 9, numRuns: 5000 },
  );
});

Deno.test("a foreign object is never acted on, an object of ours is never called foreign", () => {
  fc.assert(
    fc.property(stored, data, (before, wanted) => {
      const meta = before.metadata as {
        annotations?: Record<string, string>;
        labels?: Record<string, string>;
        ownerReferences?: { apiVersion: string; kind: string; name: string }[];
      };
      const annotated = meta.annotations?.["podconfig.example.com/pod"] === POD.name &&
        meta.annotations["podconfig.example.com/pcmc"] === PCMC;
      const original = meta.labels?.["podconfig.example.com/generated-by-pcmc"] === PCMC &&
        meta.labels["podconfig.example.com/pod-uid"] !== undefined &&
        (meta.ownerReferences ?? []).some(({ apiVersion, kind, name }) =>
          apiVersion === "v1" && kind === "Pod" && name === POD.name
        );
      const observed = projectConfigMap(before);
      equal(isOurs(observed, { pod: POD.name, pcmc: PCMC }), annotated || original);
      equal(planFor(wanted, before).kind === "conflict", !(annotated || original));
      deepEqual(
        configMapOwners(observed),
        annotated || original ? { pod: POD.name, pcmc: PCMC } : undefined,
      );
    }),
    { seed: 10, numRuns: 10_000 },
  );
});
