import assert from "node:assert/strict";
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";
import { humanDuration } from "./human_duration.ts";
import { negotiateView, tableColumns, toTable } from "./table.ts";
import { BUILT_IN_TYPES, type ServedType } from "./types.ts";

const NOW = Date.UTC(2026, 0, 2, 12, 0, 0);
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

Deno.test("durations get coarser as they grow", () => {
  const expectations: [number, string][] = [
    [-5 * SECOND, "<invalid>"],
    [-SECOND / 2, "0s"],
    [0, "0s"],
    [119 * SECOND, "119s"],
    [2 * MINUTE, "2m"],
    [5 * MINUTE + 3 * SECOND, "5m3s"],
    [10 * MINUTE + 3 * SECOND, "10m"],
    [179 * MINUTE, "179m"],
    [3 * HOUR, "3h"],
    [3 * HOUR + 5 * MINUTE, "3h5m"],
    [8 * HOUR + 5 * MINUTE, "8h"],
    [47 * HOUR, "47h"],
    [2 * DAY, "2d"],
    [2 * DAY + 3 * HOUR, "2d3h"],
    [8 * DAY + 3 * HOUR, "8d"],
    [729 * DAY, "729d"],
    [730 * DAY, "2y"],
    [800 * DAY, "2y70d"],
    [3000 * DAY, "8y"],
  ];
  for (const [ms, text] of expectations) assert.equal(humanDuration(ms), text);
});

function builtIn(plural: string): ServedType {
  const type = BUILT_IN_TYPES.find((candidate) => candidate.plural === plural);
  return type ?? assert.fail(`${plural} is not served`);
}

function cells(type: ServedType, object: JsonObject): JsonValue {
  const table = toTable([object], {
    columns: tableColumns(type),
    listMetadata: {},
    includeObject: "None",
    now: NOW,
    withDefinitions: true,
  });
  const [row] = table.rows as JsonObject[];
  return row?.cells;
}

function podCells(
  pod: { metadata?: JsonObject; spec?: JsonObject; status: JsonObject },
): JsonValue {
  const found = cells(builtIn("pods"), {
    metadata: { name: "p", creationTimestamp: "2026-01-02T11:59:00Z", ...pod.metadata },
    spec: { containers: [{ name: "a" }, { name: "b" }], ...pod.spec },
    status: pod.status,
  });
  return (found as JsonValue[]).slice(1, 4);
}

function container(name: string, state: JsonObject, more: JsonObject = {}): JsonObject {
  return { name, state, ready: false, restartCount: 0, ...more };
}

Deno.test("a Pod's cells tell how its containers fare", () => {
  const running = { running: {} };
  const ready = { ready: true };
  assert.deepEqual(podCells({ status: { phase: "Pending" } }), ["0/2", "Pending", "0"]);
  assert.deepEqual(
    podCells({
      status: {
        phase: "Running",
        containerStatuses: [container("a", running, ready), container("b", running)],
      },
    }),
    ["1/2", "Running", "0"],
  );
  const waiting = { waiting: { reason: "CrashLoopBackOff" } };
  const restarted = {
    restartCount: 3,
    lastState: { terminated: { finishedAt: "2026-01-02T11:55:00Z" } },
  };
  assert.deepEqual(
    podCells({
      status: {
        phase: "Running",
        containerStatuses: [container("a", waiting, restarted), container("b", running, ready)],
      },
    }),
    ["1/2", "CrashLoopBackOff", "3 (5m ago)"],
  );
  assert.deepEqual(
    podCells({
      status: {
        phase: "Failed",
        containerStatuses: [container("a", { terminated: { exitCode: 3 } })],
      },
    }),
    ["0/2", "ExitCode:3", "0"],
  );
  assert.deepEqual(
    podCells({
      status: {
        phase: "Succeeded",
        containerStatuses: [container("a", { terminated: { reason: "Completed", exitCode: 0 } })],
      },
    }),
    ["0/2", "Completed", "0"],
  );
  assert.deepEqual(podCells({ status: { phase: "Failed", reason: "Evicted" } }), [
    "0/2",
    "Evicted",
    "0",
  ]);
  assert.deepEqual(
    podCells({
      metadata: { deletionTimestamp: "2026-01-02T12:00:30Z" },
      status: { phase: "Running" },
    }),
    ["0/2", "Terminating", "0"],
  );
});

Deno.test("a Pod's cells tell what its init containers wait for", () => {
  const spec = {
    containers: [{ name: "a" }],
    initContainers: [{ name: "i" }, { name: "j" }, { name: "s", restartPolicy: "Always" }],
  };
  const done = container("i", { terminated: { exitCode: 0 } });
  const status = (...initContainerStatuses: JsonObject[]) => ({
    phase: "Pending",
    initContainerStatuses,
  });
  assert.deepEqual(
    podCells({ spec, status: status(done, container("j", { running: {} })) }),
    ["0/2", "Init:1/3", "0"],
  );
  const failed = container("j", { terminated: { reason: "Error", exitCode: 1 } });
  assert.deepEqual(podCells({ spec, status: status(done, failed) }), ["0/2", "Init:Error", "0"]);
  const pulling = container("i", { waiting: { reason: "ImagePullBackOff" } });
  assert.deepEqual(podCells({ spec, status: status(pulling) }), [
    "0/2",
    "Init:ImagePullBackOff",
    "0",
  ]);
});

Deno.test("cells of the other built-in types", () => {
  const metadata = { name: "x", creationTimestamp: "2026-01-02T11:00:00Z" };
  const data = { data: { a: "" }, binaryData: { b: "" } };
  assert.deepEqual(cells(builtIn("configmaps"), { metadata, ...data }), ["x", 2, "60m"]);
  assert.deepEqual(cells(builtIn("namespaces"), { metadata, status: { phase: "Active" } }), [
    "x",
    "Active",
    "60m",
  ]);
  assert.deepEqual(cells(builtIn("leases"), { metadata, spec: { holderIdentity: "me" } }), [
    "x",
    "me",
    "60m",
  ]);
  assert.deepEqual(cells(builtIn("serviceaccounts"), { metadata }), ["x", "60m"]);
  const series = { count: 3, lastObservedTime: "2026-01-02T11:58:00.000000Z" };
  const event = {
    metadata,
    eventTime: "2026-01-02T11:30:00.000000Z",
    series,
    reportingController: "c",
    reportingInstance: "i",
    reason: "R",
    regarding: { kind: "Pod", name: "p" },
    type: "Normal",
    note: "text\n",
  };
  assert.deepEqual(cells(builtIn("events"), event), [
    "2m",
    "Normal",
    "R",
    "pod/p",
    "",
    "c, i",
    "text",
    "30m",
    3,
    "x",
  ]);
});

Deno.test("cells of custom resources have the type of their column", () => {
  const column = (type: string, jsonPath: string) => ({ name: type, type, jsonPath });
  const custom = {
    crd: "widgets.example.com",
    schema: undefined,
    preserveUnknown: true,
    selectableFields: [],
    printerColumns: [
      column("string", ".spec.text"),
      column("integer", ".spec.number"),
      column("number", ".spec.number"),
      column("boolean", ".spec.flag"),
      column("date", ".spec.when"),
      column("string", ".spec.list[*]"),
      column("integer", ".spec.text"),
      column("string", ".spec.map"),
    ],
  };
  const type = { ...builtIn("configmaps"), group: "example.com", plural: "widgets", custom };
  const spec = {
    text: "t",
    number: 2.5,
    flag: false,
    when: "2026-01-01T12:00:00Z",
    list: ["a", "b"],
    map: { k: 1 },
  };
  assert.deepEqual(cells(type, { metadata: { name: "w" }, spec }), [
    "w",
    "t",
    2,
    2.5,
    false,
    "24h",
    "a,b",
    null,
    '{"k":1}',
  ]);
  const bare = { ...type, custom: { ...custom, printerColumns: [] } };
  const metadata = { name: "w", creationTimestamp: "2026-01-02T11:59:55Z" };
  assert.deepEqual(cells(bare, { metadata }), ["w", "5s"]);
});

Deno.test("negotiateView() takes the first view that can be served", () => {
  const view = "g=meta.k8s.io;v=v1";
  assert.equal(negotiateView(undefined), "whole");
  assert.equal(negotiateView("*/*"), "whole");
  assert.equal(negotiateView(`application/json;as=Table;${view},application/json`), "table");
  assert.equal(negotiateView(`application/json;as=PartialObjectMetadata;${view}`), "metadata");
  const beta = "application/json;as=Table;g=meta.k8s.io;v=v1beta1";
  assert.equal(negotiateView(`${beta},application/json`), "whole");
  assert.equal(negotiateView(beta), undefined);
  assert.equal(negotiateView("application/vnd.kubernetes.protobuf,application/json"), "whole");
  assert.equal(negotiateView("application/vnd.kubernetes.protobuf"), undefined);
});
