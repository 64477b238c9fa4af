/** configMapDataTemplate on a real cluster. */
import assert from "node:assert/strict";
import { eventually } from "../support/eventually.ts";
import { type Behaviour, condition, type KubeObject, type Namespace } from "./stage.ts";

const PODS = 200;

const TEMPLATES = {
  "application.properties": `app={{ .metadata.labels.app }}
{{- range .spec.containers }}
image.{{ .name }}={{ .image }}
{{- end }}
`,
  "pod.json": '{{ dict "name" .metadata.name "node" .spec.nodeName | toJson }}',
  "greeting": '{{ printf "%s on %s" .metadata.name (.spec.nodeName | upper) }}',
};

export const TEMPLATES_ON_A_CLUSTER: Behaviour[] = [{
  name: "three templates over 200 Pods: rendered, followed, rendered anew, and never half",
  async run(stage) {
    const at = await stage.namespace("templates");
    await createPods(at);
    await at.createPcmc("facts", { configMapDataTemplate: TEMPLATES });
    await every(at, (item, pod) => {
      assert.equal(item.data?.["greeting"], `${pod} on NODE-1`);
      assert.equal(item.data?.["pod.json"], `{"name":"${pod}","node":"node-1"}`);
      assert.equal(
        item.data?.["application.properties"],
        `app=${pod}\nimage.main=example.com/main:1\n`,
      );
    });

    await at.changePod("web-7", { metadata: { labels: { app: "changed" } } });
    await at.untilConfigMap(
      "pod-web-7-from-facts-cfg",
      (item) =>
        item.data?.["application.properties"] === "app=changed\nimage.main=example.com/main:1\n",
    );

    // Reaches a field that no template had reached so far.
    const restart = { ...TEMPLATES, greeting: "{{ .spec.restartPolicy }} {{ .status.phase }}" };
    await at.changePcmc("facts", { configMapDataTemplate: restart });
    await every(at, (item) => assert.equal(item.data?.["greeting"], "Always Pending"));
    await at.untilReady("facts");
  },
}, {
  name:
    "a template that does not parse: Valid=False with key and line, and the old ConfigMaps stay",
  async run(stage) {
    const at = await stage.namespace("templates-invalid");
    await at.createPod("web");
    await at.createPcmc("facts", { configMapDataTemplate: { x: "{{ .metadata.name }}" } });
    const before = await at.untilConfigMap("pod-web-from-facts-cfg");
    await at.changePcmc("facts", { configMapDataTemplate: { x: "one\n{{ nosuch }}" } });
    const pcmc = await eventually("it is invalid", async () => {
      const pcmc = await at.pcmc("facts");
      return condition(pcmc, "Valid")?.status === "False" && pcmc;
    });
    assert.match(
      condition(pcmc, "Valid")?.message ?? "",
      /^spec\.configMapDataTemplate\.x: template: x:2: function "nosuch" not defined/,
    );
    const after = await at.untilConfigMap("pod-web-from-facts-cfg");
    assert.equal(after.metadata.resourceVersion, before.metadata.resourceVersion);
  },
}, {
  name: "a template that fails on one Pod: that ConfigMap stays, the status counts it and names it",
  async run(stage) {
    const at = await stage.namespace("templates-failing");
    await at.createPod("good");
    await at.createPod("bad");
    await at.createPcmc("facts", { configMapDataTemplate: { x: "{{ .metadata.name }}" } });
    await at.untilConfigMap("pod-bad-from-facts-cfg");
    const template = '{{ if eq .metadata.name "bad" }}{{ fail "not this one" }}{{ end }}fine';
    await at.changePcmc("facts", { configMapDataTemplate: { x: template } });
    await at.untilConfigMap("pod-good-from-facts-cfg", (item) => item.data?.["x"] === "fine");
    const pcmc = await eventually("the failure is counted", async () => {
      const pcmc = await at.pcmc("facts");
      return pcmc.status?.failed === 1 && pcmc;
    });
    assert.match(condition(pcmc, "Ready")?.message ?? "", /\/bad: template: x:1:.*not this one/);
    const bad = await at.untilConfigMap("pod-bad-from-facts-cfg");
    assert.equal(bad.data?.["x"], "bad");
  },
}];

async function createPods(at: Namespace): Promise<void> {
  const names = Array.from({ length: PODS }, (_, index) => `web-${index}`);
  await Promise.all(names.map((name) => at.createPod(name, { labels: { app: name } })));
}

/** Waits until there are all ConfigMaps, and each passes `check`. */
async function every(
  at: Namespace,
  check: (item: KubeObject, pod: string) => void,
): Promise<void> {
  await eventually("every ConfigMap is as wanted", async () => {
    const items = await at.configMaps();
    assert.equal(items.length, PODS);
    for (const item of items) check(item, item.data?.["podName"] ?? "");
    return true;
  });
}
