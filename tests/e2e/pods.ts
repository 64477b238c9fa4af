/** The rows of the event table that speak of Pods. */
import assert from "node:assert/strict";
import { eventually, throughout } from "../support/eventually.ts";
import { asWritten, type Behaviour, generated, type KubeObject, type Stage } from "./stage.ts";

const SPEC = {
  podSelector: { matchLabels: { app: "web" } },
  labelsToInclude: ["app", "version"],
  annotationsToInclude: ["build"],
};
const WEB = { labels: { app: "web", version: "1" } };
const NAME = "pod-web-from-facts-cfg";

async function webWithFacts(stage: Stage, prefix: string) {
  const at = await stage.namespace(prefix);
  await at.createPcmc("facts", SPEC);
  const pod = await at.createPod("web", WEB);
  await at.untilConfigMap(NAME);
  return { at, pod };
}

export const PODS: Behaviour[] = [{
  name:
    "a Pod that appears gets its ConfigMap, which follows its labels, annotations, node and phase",
  async run(stage) {
    const at = await stage.namespace("follow");
    await at.createPcmc("facts", SPEC);
    const pod = await at.createPod("web", { ...WEB, nodeName: "" });
    const exactly = (data: Record<string, string>) =>
      at.untilConfigMap(
        NAME,
        (found) => assert.deepEqual(asWritten(found), generated(pod, "facts", data)),
      );
    const labels = { label_app: "web", label_version: "1" };
    const { metadata: { uid } } = await exactly({ ...labels, nodeName: "" });
    await at.bind("web", "node-7");
    await exactly({ ...labels, nodeName: "node-7" });
    await at.setPhase("web", "Running");
    const running = { nodeName: "node-7", phase: "Running" };
    await exactly({ ...labels, ...running });
    await at.changePod("web", {
      metadata: { labels: { version: "2" }, annotations: { build: "b1" } },
    });
    await exactly({ ...running, label_app: "web", label_version: "2", annotation_build: "b1" });
    await at.changePod("web", {
      metadata: { labels: { version: null }, annotations: { build: "" } },
    });
    const last = await exactly({ ...running, label_app: "web", annotation_build: "" });
    assert.equal(last.metadata.uid, uid, "it was replaced instead of updated");
  },
}, {
  name: "a change of a Pod that its ConfigMap does not show writes nothing",
  async run(stage) {
    const { at } = await webWithFacts(stage, "unseen");
    await at.untilReady("facts");
    const mark = await at.plane.auditLog.mark();
    await at.changePod("web", { metadata: { labels: { other: "x" }, annotations: { note: "y" } } });
    // The queue is fair: once a later Pod has its ConfigMap, the earlier event has been dealt with.
    await at.createPod("later", WEB);
    // Its ConfigMap is to be seen a little before the audit log has the request.
    await eventually("the later Pod's ConfigMap is the only write", async () => {
      const written = (await at.writes(mark)).filter((e) => e.objectRef?.resource === "configmaps");
      assert.deepEqual(written.map((e) => e.verb), ["create"]);
      return true;
    });
  },
}, {
  name: "a Pod that stops matching loses its ConfigMap, and gets it back when it matches again",
  async run(stage) {
    const { at } = await webWithFacts(stage, "unmatch");
    await at.changePod("web", { metadata: { labels: { app: "db" } } });
    await at.untilNoConfigMap(NAME);
    await at.untilReady("facts", "True", ({ status }) => status?.matchedPods === 0);
    await at.changePod("web", { metadata: { labels: { app: "web" } } });
    await at.untilConfigMap(NAME);
  },
}, {
  name: "a deleted Pod's ConfigMap is removed by the garbage collector, not by the controller",
  async run(stage) {
    const { at } = await webWithFacts(stage, "collect");
    await at.deletePod("web");
    await at.untilNoConfigMap(NAME);
    // Now the controller knows, too, and has done what it does about it.
    await at.untilReady("facts", "True", ({ status }) => status?.matchedPods === 0);
    const filter = { verbs: ["delete"], resource: "configmaps" };
    await eventually("the garbage collector's deletion is the only one", async () => {
      const deletions = (await at.plane.auditLog.entries(filter))
        .filter(({ objectRef }) => objectRef?.namespace === at.name);
      // It may ask more than once: the second time finds nothing.
      assert.deepEqual(
        [...new Set(deletions.map(({ user }) => user.username))],
        ["system:serviceaccount:kube-system:generic-garbage-collector"],
      );
      return true;
    });
  },
}, {
  name: "a Pod recreated under its name keeps its ConfigMap, which moves to the new uid",
  async run(stage) {
    const { at } = await webWithFacts(stage, "recreate");
    let pod: KubeObject | undefined;
    for (let i = 1; i <= 5; i++) {
      await at.deletePod("web");
      pod = await at.createPod("web", { labels: { app: "web", version: String(i) } });
    }
    assert.ok(pod);
    const wanted = generated(pod, "facts", { label_app: "web", label_version: "5" });
    const moved = await at.untilConfigMap(
      NAME,
      (found) => assert.deepEqual(asWritten(found), wanted),
    );
    // The garbage collector still works on the four earlier uids.
    await throughout(3_000, async () => {
      assert.equal((await at.configMap(NAME))?.metadata.uid, moved.metadata.uid);
    }, 200);
  },
}, {
  name: "nothing new is made for a terminating Pod, and what it has stays until it is gone",
  async run(stage) {
    const at = await stage.namespace("terminating-pod");
    await at.createPcmc("facts", SPEC);
    await at.createPod("web", { ...WEB, finalizers: ["example.com/hold"] });
    const before = await at.untilConfigMap(NAME);
    await at.deletePod("web");
    // Pods and PCMCs are separate watches: once this shows, the Pod's end has been seen.
    await at.setPhase("web", "Running");
    await at.untilConfigMap(NAME, ({ data }) => data?.["phase"] === "Running");
    await at.createPcmc("late", SPEC);
    await at.untilReady("late");
    assert.deepEqual((await at.configMaps()).map(({ metadata }) => metadata.uid), [
      before.metadata.uid,
    ]);
    // Not made again for it either.
    await at.deleteConfigMap(NAME);
    await at.createPod("other", WEB);
    await at.untilConfigMap("pod-other-from-late-cfg");
    assert.equal(await at.configMap(NAME), undefined);
    await at.changePod("web", { metadata: { finalizers: null } });
    await at.untilReady("facts", "True", ({ status }) => status?.matchedPods === 1);
  },
}];
