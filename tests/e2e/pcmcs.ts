/** The rows of the event table that speak of PodConfigMapConfigs, and what users see of these. */
import assert from "node:assert/strict";
import { eventually } from "../support/eventually.ts";
import { asWritten, type Behaviour, condition, generated, Namespace, ROOT } from "./stage.ts";

const POD_OF_BOTH = {
  labels: {
    app: "my-production-app",
    environment: "prod",
    version: "1.2.3",
    region: "us-west-1",
    tier: "frontend",
    "not-listed": "x",
  },
  annotations: {
    buildID: "build-12345",
    commitSHA: "abcdef123456",
    "deployment.kubernetes.io/revision": "7",
    "not-listed": "x",
  },
};

export const PCMCS: Behaviour[] = [{
  name:
    "both examples of the original README apply unchanged, without a warning, and give exact ConfigMaps",
  async run({ plane }) {
    await plane.createNamespace("my-namespace");
    const at = new Namespace(plane, "my-namespace");
    const files = ["01-app-specific-config.yaml", "02-ebpf-monitoring-config.yaml"];
    const args = files.flatMap((file) => ["-f", `${ROOT}examples/${file}`]);
    const applied = await plane.kubectlAs(plane.kubeconfig, "apply", "--validate=strict", ...args);
    assert.deepEqual({ code: applied.code, stderr: applied.stderr }, { code: 0, stderr: "" });

    const pod = await at.createPod("my-sample-pod", POD_OF_BOTH);
    await at.createPod("other", { labels: { app: "other" } });
    const wanted = [
      generated(pod, "app-specific-config", {
        label_app: "my-production-app",
        label_version: "1.2.3",
        label_region: "us-west-1",
        annotation_buildID: "build-12345",
        annotation_commitSHA: "abcdef123456",
      }),
      generated(pod, "ebpf-monitoring-config", {
        label_app: "my-production-app",
        label_version: "1.2.3",
        label_tier: "frontend",
        "annotation_deployment.kubernetes.io_revision": "7",
        ebpf_enabled: "true",
        ebpf_syscall_monitoring: "true",
        ebpf_l4_firewall: "true",
        ebpf_l4_firewall_default_action: "allow",
        ebpf_metrics_export: "true",
        // The Pod's node has no agent.
        ebpf_status: "unserved",
      }),
    ];
    await eventually("both ConfigMaps are there, and no others", async () => {
      const found = (await at.configMaps()).map((item) =>
        asWritten({ ...item, apiVersion: "v1", kind: "ConfigMap" })
      );
      assert.deepEqual(found, wanted);
      return true;
    });
  },
}, {
  name:
    "kubectl wait, get, describe and explain tell users of a PodConfigMapConfig what they expect",
  async run(stage) {
    const at = await stage.namespace("kubectl");
    const kubectl = (...args: string[]) => stage.plane.kubectl(...args, "-n", at.name);
    await at.createPcmc("first", { labelsToInclude: ["app"] });
    await at.createPod("web");
    // Now the controller knows of the Pod.
    await at.untilConfigMap("pod-web-from-first-cfg");
    await at.createPcmc("facts", {});
    await kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pcmc/facts");
    await kubectl("wait", "--for=jsonpath={.status.observedGeneration}=1", "pcmc/facts");
    const [header = "", row = ""] = (await kubectl("get", "pcmc", "facts")).trimEnd().split("\n");
    assert.deepEqual(header.split(/\s+/), ["NAME", "READY", "PODS", "CONFIGMAPS", "EBPF", "AGE"]);
    assert.match(row, /^facts\s+True\s+1\s+1\s+\d+s$/);
    assert.match(
      await kubectl("describe", "pcmc", "facts"),
      /Every selected Pod has its ConfigMap/,
    );
    const explained = await kubectl("explain", "pcmc.spec.ebpfConfig.l4Firewall.defaultAction");
    assert.match(explained, /FIELD: defaultAction <string>/);
    assert.match(explained, /ENUM:\s+allow\s+block/);
    assert.match(await kubectl("explain", "pcmc.spec.podSelector.matchExpressions"), /operator/);
  },
}, {
  name:
    "a PodConfigMapConfig that is created or changed reaches every Pod of its namespace and no other",
  async run(stage) {
    const at = await stage.namespace("config");
    const elsewhere = await stage.namespace("elsewhere");
    const pods = [];
    for (const name of ["a", "b", "c"]) {
      pods.push(await at.createPod(name, { labels: { app: "web", tier: name } }));
      await elsewhere.createPod(name, { labels: { app: "web", tier: name } });
    }
    const exactly = (wanted: unknown[]) =>
      eventually("the ConfigMaps are as wanted", async () => {
        const found = (await at.configMaps()).map((item) =>
          asWritten({ ...item, apiVersion: "v1", kind: "ConfigMap" })
        );
        assert.deepEqual(found, wanted);
        return true;
      });
    await at.createPcmc("facts", { labelsToInclude: ["app"] });
    await exactly(pods.map((pod) => generated(pod, "facts", { label_app: "web" })));
    await at.changePcmc("facts", {
      labelsToInclude: ["tier"],
      podSelector: { matchExpressions: [{ key: "tier", operator: "NotIn", values: ["b"] }] },
    });
    await exactly(
      pods.filter(({ metadata }) => metadata.name !== "b").map((pod) =>
        generated(pod, "facts", { label_tier: pod.metadata.name })
      ),
    );
    const { status, metadata } = await at.untilReady("facts");
    assert.deepEqual([status?.observedGeneration, metadata.generation], [2, 2]);
    await at.deletePcmc("facts");
    await exactly([]);
    assert.deepEqual(await elsewhere.configMaps(), []);
  },
}, {
  name: "the keys of ebpfConfig come into the ConfigMap with it and go with it",
  async run(stage) {
    const at = await stage.namespace("ebpf");
    const pod = await at.createPod("web");
    await at.createPcmc("facts", {});
    const exactly = (data: Record<string, string>) =>
      at.untilConfigMap(
        "pod-web-from-facts-cfg",
        (found) => assert.deepEqual(asWritten(found), generated(pod, "facts", data)),
      );
    await exactly({});
    await at.changePcmc("facts", {
      ebpfConfig: { l4Firewall: { enabled: true, defaultAction: "block" } },
    });
    await exactly({
      ebpf_enabled: "true",
      ebpf_l4_firewall: "true",
      ebpf_l4_firewall_default_action: "block",
      ebpf_status: "unserved",
    });
    const served = await at.untilReady("facts");
    assert.equal(condition(served, "EbpfApplied")?.reason, "NoAgent");
    await at.changePcmc("facts", { ebpfConfig: null });
    await exactly({});
    const plain = await at.untilReady("facts");
    assert.equal(condition(plain, "EbpfApplied"), undefined);
  },
}, {
  name: "the API server refuses an invalid spec, and names the field",
  async run(stage) {
    const at = await stage.namespace("invalid");
    const refused = async (spec: unknown, message: RegExp) => {
      await assert.rejects(at.createPcmc("facts", spec), message);
    };
    await refused(
      { ebpfConfig: { l4Firewall: { enabled: true, defaultAction: "drop" } } },
      /spec\.ebpfConfig\.l4Firewall\.defaultAction.*"drop".*"allow", "block"/s,
    );
    await refused(
      { ebpfConfig: { l4Firewall: { enabled: true, blockedPorts: [70000] } } },
      /spec\.ebpfConfig\.l4Firewall\.blockedPorts\[0\].*65535/s,
    );
    await refused({ labelsToInclude: ["a b"] }, /spec\.labelsToInclude/);
    await refused({ labelsToInclude: ["a/b", "a_b"] }, /spec\.labelsToInclude/);
    await refused(
      { podSelector: { matchExpressions: [{ key: "a", operator: "Is", values: ["b"] }] } },
      /spec\.podSelector\.matchExpressions\[0\]\.operator/,
    );
  },
}];
