/** ConfigMaps that are not ours, once were, or have lost their Pod. */
import assert from "node:assert/strict";
import { eventually, throughout } from "../support/eventually.ts";
import { asWritten, type Behaviour, condition, generated, type Namespace } from "./stage.ts";

const NAME = "pod-web-from-facts-cfg";
const FOREIGN = { metadata: { name: NAME, labels: { app: "theirs" } }, data: { key: "theirs" } };

interface EventObject {
  reason: string;
  type: string;
  note: string;
  series?: { count: number };
}

async function events(at: Namespace): Promise<EventObject[]> {
  const path = `/apis/events.k8s.io/v1/namespaces/${at.name}/events`;
  return (await at.plane.expect("GET", path)).items;
}

export const CONFLICTS: Behaviour[] = [{
  name:
    "a ConfigMap of the same name by someone else is never touched, and its name is taken up within 30 s of its going",
  async run(stage) {
    const at = await stage.namespace("foreign");
    const foreign = await at.createConfigMap(FOREIGN);
    const untouched = async () => assert.deepEqual(await at.configMap(NAME), foreign);
    await at.createPcmc("facts", {});
    const pod = await at.createPod("web");
    const conflicting = await at.untilReady("facts", "False");
    assert.equal(condition(conflicting, "Ready")?.reason, "NameConflict");
    assert.match(condition(conflicting, "Ready")?.message ?? "", new RegExp(NAME));
    assert.equal(conflicting.status?.conflicts, 1);
    const [event] = await eventually("there is an Event", async () => {
      const found = await events(at);
      return found.length > 0 && found;
    });
    assert.deepEqual([event?.type, event?.reason], ["Warning", "NameConflict"]);
    assert.match(
      await stage.plane.kubectl("describe", "pcmc", "facts", "-n", at.name),
      /NameConflict/,
    );
    await untouched();
    // Whatever happens around it.
    await at.setPhase("web", "Running");
    await at.changePcmc("facts", { labelsToInclude: ["app"] });
    await at.untilReady("facts", "False");
    await untouched();
    await at.changePcmc("facts", { podSelector: { matchLabels: { no: "pod" } } });
    await at.untilReady("facts");
    await untouched();
    await at.changePcmc("facts", { podSelector: null });
    await at.untilReady("facts", "False");
    await untouched();

    await at.deleteConfigMap(NAME);
    const taken = await at.untilConfigMap(NAME, () => {}, { timeoutMs: 30_000 });
    assert.deepEqual(asWritten(taken), generated(pod, "facts", { phase: "Running" }));
    await at.untilReady("facts", "True", ({ status }) => status?.conflicts === 0);
  },
}, {
  name: "a foreign ConfigMap outlives the Pod and the PodConfigMapConfig whose name it has",
  async run(stage) {
    const at = await stage.namespace("outlives");
    const labels = { "podconfig.example.com/generated-by-pcmc": "facts" };
    // Our label alone does not make it ours.
    const foreign = await at.createConfigMap({ ...FOREIGN, metadata: { name: NAME, labels } });
    await at.createPcmc("facts", {});
    await at.createPod("web");
    await at.untilReady("facts", "False");
    await at.deletePcmc("facts");
    await at.deletePod("web");
    // What comes after is dealt with, so what came before has been.
    await at.createPcmc("later", {});
    await at.createPod("other");
    await at.untilConfigMap("pod-other-from-later-cfg");
    await throughout(1_000, async () => assert.deepEqual(await at.configMap(NAME), foreign));
  },
}, {
  name: "a trouble that comes back is counted in its Event, not told in a second one",
  async run(stage) {
    const at = await stage.namespace("series");
    const other = "pod-other-from-facts-cfg";
    await at.createConfigMap(FOREIGN);
    await at.createConfigMap({ ...FOREIGN, metadata: { name: other } });
    await at.createPcmc("facts", {});
    await at.createPod("web");
    await at.untilReady("facts", "False");
    await at.deletePod("web");
    await at.untilReady("facts");
    await at.createPod("other");
    await at.untilReady("facts", "False");
    const found = await eventually("the Event has a series", async () => {
      const found = await events(at);
      return found.some(({ series }) => series !== undefined) && found;
    }, { timeoutMs: 150_000, everyMs: 500 });
    assert.deepEqual(found.map(({ reason, series }) => [reason, series?.count]), [[
      "NameConflict",
      2,
    ]]);
  },
}];
