import assert from "node:assert/strict";
import { startControlPlane } from "../support/control_plane.ts";
import {
  CONTROLLER_USER,
  controllerKubeconfig,
  ControllerProcess,
  HOME_NAMESPACE,
  installManifests,
  LOCK_NAME,
} from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { testNeeding } from "../support/requirements.ts";

const PCMC = JSON.stringify({
  apiVersion: "podconfig.example.com/v1alpha1",
  kind: "PodConfigMapConfig",
  metadata: { name: "facts", namespace: "team" },
  spec: {
    podSelector: { matchLabels: { app: "web" } },
    labelsToInclude: ["app", "app.kubernetes.io/version"],
    annotationsToInclude: ["build-id"],
  },
});

function pod(name: string) {
  return {
    metadata: {
      name,
      labels: { app: "web", "app.kubernetes.io/version": "1.2.3" },
      annotations: { "build-id": "77" },
    },
    spec: { nodeName: "node-1", containers: [{ name: "main", image: "nginx" }] },
  };
}

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "with the rights of deploy/ the controller makes ConfigMaps, reports, and leaves in order",
  async fn(t) {
    await using plane = await startControlPlane({ audit: "all" });
    await installManifests(plane);
    await plane.createNamespace("team");
    const kubeconfig = await controllerKubeconfig(plane);
    await using controller = await ControllerProcess.start({ plane, kubeconfig, name: "a" });
    await controller.ready();

    await t.step("a Pod that matches gets its ConfigMap, exactly", async () => {
      await plane.apply(PCMC);
      const created = await plane.expect("POST", "/api/v1/namespaces/team/pods", pod("web-1"));
      const path = "/api/v1/namespaces/team/configmaps/pod-web-1-from-facts-cfg";
      const map = await eventually("the ConfigMap is there", async () => {
        const answer = await plane.request("GET", path);
        return answer.status === 200 && answer.body;
      });
      assert.deepEqual(map.data, {
        podName: "web-1",
        namespace: "team",
        nodeName: "node-1",
        phase: "Pending",
        pcmcName: "facts",
        label_app: "web",
        "label_app.kubernetes.io_version": "1.2.3",
        "annotation_build-id": "77",
      });
      const owner = { apiVersion: "v1", kind: "Pod", name: "web-1", uid: created.metadata.uid };
      assert.deepEqual(map.metadata.ownerReferences, [owner]);
    });

    await t.step("kubectl wait sees the PCMC become ready", async () => {
      const pcmc = ["pcmc/facts", "-n", "team"];
      await plane.kubectl("wait", "--for=condition=Ready", "--timeout=20s", ...pcmc);
    });

    await t.step("metrics count what it did", async () => {
      const labels = 'operation="create",namespace="team",result="success"';
      const series = `podconfigmap_controller_configmap_operations_total{${labels}}`;
      assert.equal(await controller.metric(series), 1);
    });

    await t.step("on SIGTERM it gives up the lease and ends with 0", async () => {
      // Not in time is SIGKILL, and then no 0.
      const { code } = await controller.stop(5_000);
      assert.equal(code, 0);
      const leases = `/apis/coordination.k8s.io/v1/namespaces/${HOME_NAMESPACE}/leases`;
      const lease = await plane.expect("GET", `${leases}/${LOCK_NAME}`);
      assert.equal(lease.spec.holderIdentity ?? "", "");
    });

    await t.step("no request was refused for lack of rights", async () => {
      const entries = await plane.auditLog.entries({ user: CONTROLLER_USER });
      assert.ok(entries.length > 5, `${entries.length} requests`);
      const refused = entries.filter((entry) => entry.responseStatus?.code === 403);
      assert.deepEqual(refused.map((entry) => `${entry.verb} ${entry.requestURI}`), []);
    });
  },
});
