import assert from "node:assert/strict";
import { createClients } from "../../src/kube/clients.ts";
import { startControlPlane } from "../support/control_plane.ts";
import { testNeeding } from "../support/requirements.ts";
import { connectionTo, createAll } from "./writers.ts";
import { podBody } from "./workload.ts";

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "createAll() creates every object once; the Pods are as large as real ones",
  async fn() {
    await using plane = await startControlPlane();
    await plane.createNamespace("bench-0");
    await plane.kubectl(
      ...["create", "clusterrolebinding", "bench", "--clusterrole=cluster-admin"],
      "--serviceaccount=bench-0:default",
    );
    await plane.untilAllowed("system:serviceaccount:bench-0:default", {
      ...{ verb: "create", resource: "pods", namespace: "bench-0" },
    });
    const token = await plane.serviceAccountToken("bench-0", "default");
    const { url, caCertificate } = plane;
    using clients = createClients(connectionTo({ url, caCertificate, token }));
    const bodies = Array.from({ length: 100 }, (_, index) => podBody(index));
    const seconds = await createAll(clients.api, bodies);
    assert.ok(seconds > 0);
    const list = await plane.expect("GET", "/api/v1/namespaces/bench-0/pods");
    assert.equal(list.items.length, 100);
    for (const pod of list.items) {
      const size = JSON.stringify(pod).length;
      assert.ok(size > 5_000 && size < 7_000, `${pod.metadata.name} has ${size} bytes`);
    }
  },
});
