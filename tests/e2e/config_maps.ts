/** The rows of the event table that speak of ConfigMaps and namespaces. */
import assert from "node:assert/strict";
import { eventually, throughout } from "../support/eventually.ts";
import { asWritten, type Behaviour, generated, type Stage } from "./stage.ts";

const NAME = "pod-web-from-facts-cfg";
const JSON_PATCH = "application/json-patch+json";

async function webWithFacts(stage: Stage, prefix: string) {
  const at = await stage.namespace(prefix);
  await at.createPcmc("facts", { labelsToInclude: ["app"] });
  const pod = await at.createPod("web", { labels: { app: "web" } });
  const wanted = generated(pod, "facts", { label_app: "web" });
  const found = await at.untilConfigMap(NAME);
  assert.deepEqual(asWritten(found), wanted);
  /** As wanted again; returns it. */
  const restored = (uid?: string) =>
    at.untilConfigMap(NAME, (now) => {
      assert.deepEqual(asWritten(now), wanted);
      return uid === undefined || now.metadata.uid === uid;
    });
  return { at, pod, wanted, uid: found.metadata.uid, restored };
}

export const CONFIG_MAPS: Behaviour[] = [{
  name: "a ConfigMap that someone edits or deletes is restored",
  async run(stage) {
    const { at, uid, restored } = await webWithFacts(stage, "edited");
    await at.changeConfigMap(NAME, { data: { phase: "Nonsense", podName: null, more: "x" } });
    await restored(uid);
    await at.changeConfigMap(NAME, { data: null });
    await restored(uid);
    await at.changeConfigMap(NAME, { binaryData: { blob: "AAEC" } });
    await restored(uid);
    await at.changeConfigMap(NAME, { metadata: { ownerReferences: null } });
    await restored(uid);
    await at.changeConfigMap(NAME, {
      metadata: { annotations: { "reloader.stakater.com/ignore": "false" } },
    });
    await restored(uid);
    await at.deleteConfigMap(NAME);
    assert.notEqual((await restored()).metadata.uid, uid);
  },
}, {
  name: "a ConfigMap whose labels, or whose annotations, were stripped is recognised and restored",
  async run(stage) {
    const { at, uid, restored } = await webWithFacts(stage, "stripped");
    await at.changeConfigMap(NAME, [{ op: "remove", path: "/metadata/labels" }], JSON_PATCH);
    await restored(uid);
    await at.changeConfigMap(NAME, [{ op: "remove", path: "/metadata/annotations" }], JSON_PATCH);
    await restored(uid);
    await at.changeConfigMap(NAME, {
      metadata: { labels: { "podconfig.example.com/pod-uid": "other" } },
    });
    await restored(uid);
  },
}, {
  name: "labels and annotations that others add to a ConfigMap survive its updates",
  async run(stage) {
    const { at, wanted } = await webWithFacts(stage, "foreign-metadata");
    const labels = { "example.com/team": "blue" };
    const annotations = { "example.com/note": "keep ~ and / me" };
    await at.changeConfigMap(NAME, { metadata: { labels, annotations }, data: { more: "x" } });
    await at.changePod("web", { metadata: { labels: { app: "shop" } } });
    await at.untilConfigMap(NAME, (now) => {
      assert.deepEqual(now.data, { ...wanted.data, label_app: "shop" });
      assert.deepEqual(now.metadata.labels, { ...wanted.metadata.labels, ...labels });
      assert.deepEqual(now.metadata.annotations, {
        ...wanted.metadata.annotations,
        ...annotations,
      });
    });
  },
}, {
  name: "a ConfigMap that was made immutable is made anew as soon as it has to change",
  async run(stage) {
    const { at, uid, wanted } = await webWithFacts(stage, "immutable");
    await at.changeConfigMap(NAME, { immutable: true });
    await at.changePod("web", { metadata: { labels: { app: "shop" } } });
    const made = await at.untilConfigMap(NAME, (now) => now.data?.["label_app"] === "shop");
    assert.notEqual(made.metadata.uid, uid);
    assert.deepEqual(asWritten(made), { ...wanted, data: { ...wanted.data, label_app: "shop" } });
  },
}, {
  name: "a ConfigMap that is terminating is waited for, and then made again",
  async run(stage) {
    const { at, uid, restored } = await webWithFacts(stage, "terminating-map");
    await at.changeConfigMap(NAME, { metadata: { finalizers: ["example.com/hold"] } });
    await at.deleteConfigMap(NAME);
    const mark = await at.plane.auditLog.mark();
    await throughout(1_500, async () => {
      assert.equal((await at.configMap(NAME))?.metadata.uid, uid);
    });
    const tries = (await at.writes(mark)).filter((e) => e.objectRef?.resource === "configmaps");
    assert.ok(tries.length <= 1, `${tries.length} writes in vain`);
    await at.changeConfigMap(NAME, { metadata: { finalizers: null } });
    assert.notEqual((await restored()).metadata.uid, uid);
  },
}, {
  name:
    "a namespace that is deleted takes everything along, and the controller does not stand in the way",
  async run(stage) {
    const at = await stage.namespace("deleted-namespace");
    await at.createPcmc("facts", {});
    const names = Array.from({ length: 20 }, (_, index) => `web-${index}`);
    // A Pod that is bound to a node would wait for a kubelet to end it.
    for (const name of names) await at.createPod(name, { nodeName: "" });
    await at.untilReady("facts", "True", ({ status }) => status?.configMaps === names.length);
    const mark = await at.plane.auditLog.mark();
    const path = `/api/v1/namespaces/${at.name}`;
    await at.plane.expect("DELETE", path);
    await eventually("the namespace is gone", async () => {
      return (await at.plane.request("GET", path)).status === 404;
    }, { timeoutMs: 120_000 });
    const writes = (await at.writes(mark)).filter((e) => e.objectRef?.resource === "configmaps");
    const creates = writes.filter(({ verb }) => verb === "create");
    // That the namespace is terminating, or is no more, it learns from the refusal: one try, and no other.
    const codes = new Set(creates.map(({ responseStatus }) => responseStatus?.code));
    assert.deepEqual([...codes].filter((code) => code !== 403 && code !== 404), []);
    const tried = creates.map(({ objectRef }) => objectRef?.name);
    assert.deepEqual(tried, [...new Set(tried)]);
  },
}];
