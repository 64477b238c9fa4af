import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";
import { SimulatedCluster, type SimulatedClusterOptions } from "./cluster.ts";
import { at, type KubeObject } from "./objects.ts";

const MAPS = "/api/v1/namespaces/t/configmaps";

function worldOf(options: Partial<SimulatedClusterOptions> = {}) {
  const clock = new VirtualClock();
  const cluster = new SimulatedCluster({
    clock,
    garbageCollectionDelayMs: 100,
    namespaceDelayMs: 100,
    ...options,
  });
  cluster.seed([{ apiVersion: "v1", kind: "Namespace", metadata: { name: "t" } }]);
  const client = cluster.client();
  const call = async (method: "POST" | "PATCH" | "DELETE", path: string, bodyJson?: JsonValue) =>
    await client.performRequest({
      method,
      path,
      expectJson: true,
      ...(bodyJson === undefined ? {} : { bodyJson }),
      ...(method === "PATCH" ? { contentType: "application/merge-patch+json" } : {}),
    }) as unknown as KubeObject;
  const map = (name: string, metadata: JsonObject = {}) =>
    call("POST", MAPS, { metadata: { name, ...metadata } });
  const names = () => cluster.list("v1", "ConfigMap").map((item) => item.metadata.name);
  return { clock, cluster, call, map, names };
}

function ownedBy(owner: KubeObject, more: JsonObject = {}): JsonObject {
  const { name, uid } = owner.metadata;
  return { apiVersion: owner.apiVersion, kind: owner.kind, name, uid, ...more };
}

Deno.test("a dependent goes a delay after its owner, by the garbage collector's hand", async () => {
  const { clock, cluster, call, map, names } = worldOf();
  const owner = await map("owner");
  await map("dependent", { ownerReferences: [ownedBy(owner)] });
  await call("DELETE", `${MAPS}/owner`);
  await clock.advance(99);
  assert.deepEqual(names(), ["dependent"]);
  await clock.advance(1);
  assert.deepEqual(names(), []);
  const last = cluster.writes.at(-1);
  assert.match(last?.user ?? "", /generic-garbage-collector$/);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("an owner of the same name with another uid does not keep its dependents", async () => {
  const { clock, call, map, names } = worldOf();
  const owner = await map("owner");
  await map("dependent", { ownerReferences: [ownedBy(owner)] });
  await call("DELETE", `${MAPS}/owner`);
  await map("owner");
  await clock.advance(100);
  assert.deepEqual(names(), ["owner"]);
});

Deno.test("a dependent that moved to the new owner in time stays", async () => {
  const { clock, call, map, names } = worldOf();
  const owner = await map("owner");
  await map("dependent", { ownerReferences: [ownedBy(owner)] });
  await call("DELETE", `${MAPS}/owner`);
  const next = await map("owner");
  await call("PATCH", `${MAPS}/dependent`, { metadata: { ownerReferences: [ownedBy(next)] } });
  await clock.advance(1_000);
  assert.deepEqual(names(), ["dependent", "owner"]);
});

Deno.test("what is created for an absent owner goes; with one owner left it stays and forgets the other", async () => {
  const { clock, cluster, map, names } = worldOf();
  const owner = await map("owner");
  const absent = { ...ownedBy(owner), uid: "gone" };
  await map("orphaned", { ownerReferences: [absent] });
  await map("half", { ownerReferences: [{ ...absent, name: "other" }, ownedBy(owner)] });
  await map("foreign", {
    ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "x", uid: "x" }],
  });
  await clock.advance(200);
  assert.deepEqual(names(), ["foreign", "half", "owner"]);
  const half = cluster.get("v1", "ConfigMap", "t", "half");
  assert.deepEqual(half?.metadata.ownerReferences?.map(({ uid }) => uid), [owner.metadata.uid]);
});

Deno.test("held garbage collection waits, and goes on when released", async () => {
  const { clock, cluster, call, map, names } = worldOf();
  const owner = await map("owner");
  await map("dependent", { ownerReferences: [ownedBy(owner)] });
  await call("DELETE", `${MAPS}/owner`);
  cluster.holdGarbageCollection();
  await clock.advance(3_600_000);
  assert.deepEqual(names(), ["dependent"]);
  cluster.releaseGarbageCollection();
  await clock.advance(100);
  assert.deepEqual(names(), []);
});

Deno.test("foreground deletion waits for blocking dependents, orphaning leaves them without owner", async () => {
  const { clock, cluster, call, map, names } = worldOf();
  const first = await map("first");
  const blocking = ownedBy(first, { blockOwnerDeletion: true });
  await map("held", { ownerReferences: [blocking], finalizers: ["example.com/hold"] });
  await call("DELETE", `${MAPS}/first`, { propagationPolicy: "Foreground" });
  await clock.advance(1_000);
  assert.deepEqual(names(), ["first", "held"]);
  await call("PATCH", `${MAPS}/held`, { metadata: { finalizers: null } });
  await clock.advance(1_000);
  assert.deepEqual(names(), []);
  const second = await map("second");
  await map("left", { ownerReferences: [ownedBy(second)] });
  await call("DELETE", `${MAPS}/second`, { propagationPolicy: "Orphan" });
  await clock.advance(1_000);
  assert.deepEqual(names(), ["left"]);
  const left = cluster.get("v1", "ConfigMap", "t", "left");
  assert.equal(left?.metadata.ownerReferences, undefined);
});

Deno.test("a deleted namespace takes nothing new, loses its content, then goes", async () => {
  const { clock, cluster, call, map, names } = worldOf();
  await map("plain");
  await map("held", { finalizers: ["example.com/hold"] });
  await call("DELETE", "/api/v1/namespaces/t");
  assert.equal(at(cluster.get("v1", "Namespace", "", "t"), "status", "phase"), "Terminating");
  await assert.rejects(map("new"), /because it is being terminated/);
  await clock.advance(100);
  assert.deepEqual(names(), ["held"]);
  await clock.advance(60_000);
  assert.ok(cluster.get("v1", "Namespace", "", "t"));
  await call("PATCH", `${MAPS}/held`, { metadata: { finalizers: null } });
  await clock.advance(100);
  assert.equal(cluster.get("v1", "Namespace", "", "t"), undefined);
  assert.equal(clock.pendingTimers, 0);
});

function widgets(): JsonObject {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "widgets.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "widgets", kind: "Widget" },
      versions: [{
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: "object" } },
      }],
    },
  };
}

Deno.test("a definition is served from its creation to the end of its last object", async () => {
  const { clock, cluster, call } = worldOf();
  const path = "/apis/example.com/v1/namespaces/t/widgets";
  const widget = { apiVersion: "example.com/v1", kind: "Widget", metadata: { name: "w" } };
  await assert.rejects(call("POST", path, widget), /404/);
  cluster.seed([widgets()]);
  await call("POST", path, widget);
  await call("PATCH", `${path}/w`, { metadata: { finalizers: ["example.com/hold"] } });
  const definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
  await call("DELETE", definition);
  await clock.advance(1_000);
  const dying = cluster.get("example.com/v1", "Widget", "t", "w");
  assert.notEqual(dying?.metadata.deletionTimestamp, undefined);
  const other = { ...widget, metadata: { name: "x" } };
  await assert.rejects(call("POST", path, other), /definition is terminating/);
  await call("PATCH", `${path}/w`, { metadata: { finalizers: null } });
  await clock.advance(1_000);
  await assert.rejects(call("POST", path, widget), /404/);
  assert.equal(clock.pendingTimers, 0);
  // Made again, it starts empty.
  cluster.seed([widgets()]);
  assert.deepEqual(cluster.list("example.com/v1", "Widget"), []);
});

Deno.test("the kubelet stand-in binds, starts and stops Pods, each when its time has come", async () => {
  const kubelet = { node: "n1", scheduleMs: 5, startMs: 10, stopMs: 2_000 };
  const { clock, cluster, call } = worldOf({ kubelet });
  const pods = "/api/v1/namespaces/t/pods";
  const body = { metadata: { name: "p" }, spec: { containers: [{ name: "c", image: "i" }] } };
  await call("POST", pods, body);
  const state = () => {
    const pod = cluster.get("v1", "Pod", "t", "p");
    return pod && `${at(pod, "spec", "nodeName") ?? ""} ${at(pod, "status", "phase")}`;
  };
  assert.equal(state(), " Pending");
  await clock.advance(5);
  assert.equal(state(), "n1 Pending");
  await clock.advance(10);
  assert.equal(state(), "n1 Running");
  const startTime = at(cluster.get("v1", "Pod", "t", "p"), "status", "startTime");
  assert.equal(startTime, "2026-01-01T00:00:00Z");
  await call("DELETE", `${pods}/p`);
  await clock.advance(1_999);
  assert.equal(state(), "n1 Running");
  await clock.advance(1);
  assert.equal(state(), undefined);
  // A grace period shorter than the usual stop ends sooner.
  await call("POST", pods, body);
  await clock.advance(20);
  await call("DELETE", `${pods}/p`, { gracePeriodSeconds: 1 });
  await clock.advance(1_000);
  assert.equal(state(), undefined);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("without a kubelet a deleted Pod with a node stays until somebody ends it", async () => {
  const { clock, cluster, call } = worldOf();
  const spec = { nodeName: "n", containers: [{ name: "c", image: "i" }] };
  await call("POST", "/api/v1/namespaces/t/pods", { metadata: { name: "p" }, spec });
  await call("DELETE", "/api/v1/namespaces/t/pods/p");
  await clock.advance(3_600_000);
  assert.ok(cluster.get("v1", "Pod", "t", "p")?.metadata.deletionTimestamp);
  await call("DELETE", "/api/v1/namespaces/t/pods/p", { gracePeriodSeconds: 0 });
  assert.equal(cluster.get("v1", "Pod", "t", "p"), undefined);
});
