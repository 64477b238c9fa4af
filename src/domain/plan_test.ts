import { deepStrictEqual as deepEqual, strictEqual as equal } from "node:assert/strict";
import { desiredConfigMap, plan } from "./plan.ts";
import { projectConfigMap } from "./projections.ts";

const POD = { namespace: "shop", name: "web-0", uid: "new-uid" };
const DESIRED = desiredConfigMap(POD, "conf", { podName: "web-0" });

function observed(
  change: (object: Record<string, unknown>, metadata: Record<string, unknown>) => void,
) {
  const object = structuredClone(DESIRED) as unknown as Record<string, unknown>;
  const metadata = object["metadata"] as Record<string, unknown>;
  Object.assign(metadata, { uid: "cm", resourceVersion: "5" });
  change(object, metadata);
  return projectConfigMap(object);
}
const PRECONDITIONS = [
  { op: "add", path: "/metadata/uid", value: "cm" },
  { op: "add", path: "/metadata/resourceVersion", value: "5" },
];

Deno.test("desiredConfigMap() carries the metadata that users and tools rely on", () => {
  deepEqual(DESIRED.metadata, {
    name: "pod-web-0-from-conf-cfg",
    namespace: "shop",
    labels: {
      "podconfig.example.com/generated-by-pcmc": "conf",
      "podconfig.example.com/pod-uid": "new-uid",
      "app.kubernetes.io/managed-by": "podconfigmap-controller",
    },
    annotations: {
      "podconfig.example.com/pod": "web-0",
      "podconfig.example.com/pcmc": "conf",
      "reloader.stakater.com/ignore": "true",
    },
    ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "web-0", uid: "new-uid" }],
  });
});

Deno.test("a ConfigMap of a Pod that was recreated moves to the new uid", () => {
  const decision = plan(
    DESIRED,
    observed((_, metadata) => {
      metadata["labels"] = {
        ...metadata["labels"] as object,
        "podconfig.example.com/pod-uid": "old-uid",
      };
      metadata["ownerReferences"] = [{ ...DESIRED.metadata.ownerReferences[0], uid: "old-uid" }];
    }),
  );
  deepEqual(decision, {
    kind: "patch",
    changes: ["ownerReferences", "labels"],
    operations: [
      ...PRECONDITIONS,
      {
        op: "add",
        path: "/metadata/ownerReferences",
        value: DESIRED.metadata.ownerReferences,
      },
      {
        op: "add",
        path: "/metadata/labels/podconfig.example.com~1pod-uid",
        value: "new-uid",
      },
    ],
  });
});

Deno.test("edited data is replaced, binaryData removed", () => {
  const decision = plan(
    DESIRED,
    observed((object) => {
      object["data"] = { podName: "tampered", more: "" };
      object["binaryData"] = { b: "AA==" };
    }),
  );
  deepEqual(decision, {
    kind: "patch",
    changes: ["data", "binaryData"],
    operations: [
      ...PRECONDITIONS,
      { op: "add", path: "/data", value: { podName: "web-0" } },
      { op: "remove", path: "/binaryData" },
    ],
  });
});

Deno.test("a ConfigMap without any label gets the map", () => {
  const decision = plan(DESIRED, observed((_, metadata) => delete metadata["labels"]));
  deepEqual(decision.kind === "patch" && decision.operations.slice(2), [
    { op: "add", path: "/metadata/labels", value: DESIRED.metadata.labels },
  ]);
});

Deno.test("one made by the original program is adopted: annotations are added, the owner is plain", () => {
  const decision = plan(
    DESIRED,
    observed((_, metadata) => {
      delete metadata["annotations"];
      metadata["labels"] = {
        "podconfig.example.com/generated-by-pcmc": "conf",
        "podconfig.example.com/pod-uid": "new-uid",
      };
      metadata["ownerReferences"] = [{
        ...DESIRED.metadata.ownerReferences[0],
        controller: true,
        blockOwnerDeletion: true,
      }];
    }),
  );
  deepEqual(decision.kind === "patch" && decision.changes, [
    "ownerReferences",
    "labels",
    "annotations",
  ]);
});

Deno.test("an immutable ConfigMap is deleted under preconditions, a terminating one waited for", () => {
  deepEqual(plan(DESIRED, observed((object) => object["immutable"] = true)), {
    kind: "recreate",
    uid: "cm",
    resourceVersion: "5",
  });
  const terminating = observed((_, metadata) =>
    metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
  );
  deepEqual(plan(DESIRED, terminating), { kind: "wait", reason: "configmap-terminating" });
});

Deno.test("a foreign object of the name is a conflict, terminating or not, immutable or not", () => {
  const foreign = observed((object, metadata) => {
    metadata["annotations"] = { a: "b" };
    metadata["labels"] = { "podconfig.example.com/generated-by-pcmc": "conf" };
    metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z";
    object["immutable"] = true;
  });
  deepEqual(plan(DESIRED, foreign), { kind: "conflict", name: "pod-web-0-from-conf-cfg" });
});

Deno.test("a name built to equal a hashed one is a conflict, not an overwrite", () => {
  const long = desiredConfigMap({ ...POD, name: "p".repeat(200) }, "conf".repeat(20), {});
  const { name } = long.metadata;
  const [, pod, pcmc] = /^pod-(p+)-from-(.*)-cfg$/.exec(name) as unknown as [
    string,
    string,
    string,
  ];
  const clash = desiredConfigMap({ ...POD, name: pod }, pcmc, {});
  equal(clash.metadata.name, name);
  const existing = { ...clash, metadata: { ...clash.metadata, uid: "x", resourceVersion: "1" } };
  deepEqual(plan(long, projectConfigMap(existing)), { kind: "conflict", name });
});
