import assert from "node:assert/strict";
import { WRITE_VERBS } from "./audit_log.ts";
import { startControlPlane } from "./control_plane.ts";
import { eventually } from "./eventually.ts";
import { testNeeding } from "./requirements.ts";

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name:
    "a control plane serves its administrator, checks service accounts by RBAC and survives an API server crash",
  async fn(t) {
    let dir = "";
    {
      await using plane = await startControlPlane({ audit: "writes" });
      dir = plane.dir;
      await plane.createNamespace("team");

      await t.step("a service account's token has only what RBAC grants", async () => {
        const token = await plane.serviceAccountToken("team", "default");
        const kubeconfig = await plane.kubeconfigFor(token, "team");
        const refused = await plane.kubectlAs(kubeconfig, "get", "pods");
        assert.equal(refused.code, 1);
        assert.match(
          refused.stderr,
          /system:serviceaccount:team:default.*cannot list resource "pods"/,
        );
      });

      await t.step("the garbage collector removes what an owner leaves", async () => {
        const pods = "/api/v1/namespaces/team/pods";
        const pod = await plane.expect("POST", pods, {
          metadata: { name: "p" },
          spec: { nodeName: "n", containers: [{ name: "c", image: "i" }] },
        });
        const owner = { apiVersion: "v1", kind: "Pod", name: "p", uid: pod.metadata.uid };
        const maps = "/api/v1/namespaces/team/configmaps";
        await plane.expect("POST", maps, { metadata: { name: "m", ownerReferences: [owner] } });
        await plane.expect("DELETE", `${pods}/p?gracePeriodSeconds=0`);
        await eventually(
          "the ConfigMap goes with its owner",
          async () => (await plane.request("GET", `${maps}/m`)).status === 404,
        );
      });

      await t.step("the audit log counts writes by user", async () => {
        const mark = await plane.auditLog.mark();
        await plane.kubectl("create", "configmap", "x", "-n", "team");
        const filter = { user: "test-admin", verbs: WRITE_VERBS };
        const writes = await plane.auditLog.entries(filter, mark);
        assert.deepEqual(writes.map((e) => [e.verb, e.objectRef?.name]), [["create", "x"]]);
      });

      await t.step("the API server comes back at the same address with its data", async () => {
        const url = plane.url;
        await plane.stopApiServer();
        await assert.rejects(plane.request("GET", "/readyz"));
        await plane.startApiServer();
        assert.equal(plane.url, url);
        await plane.expect("GET", "/api/v1/namespaces/team/configmaps/x");
      });
    }
    await assert.rejects(Deno.stat(dir), Deno.errors.NotFound);
  },
});
