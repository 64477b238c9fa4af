import assert from "node:assert/strict";
import { parse } from "yaml";
import { NEEDED } from "../../src/agent/adapters/capabilities.ts";
import { AGENT_LABELS } from "../../src/api/well_known.ts";
import { type ControlPlane, startControlPlane } from "../support/control_plane.ts";
import { eventually } from "../support/eventually.ts";
import { testNeeding } from "../support/requirements.ts";

const LOCK = "podconfigmap-controller-lock";

interface Access {
  verb: string;
  group?: string;
  resource: string;
  subresource?: string;
  name?: string;
  namespace: string;
}

/** Every request the controller makes, in the namespaces it serves and in its own. */
function needed(served: string, home: string): Access[] {
  const group = "podconfig.example.com";
  const each = (verbs: string, rest: Omit<Access, "verb" | "namespace">): Access[] =>
    verbs.split(" ").map((verb) => ({ verb, namespace: served, ...rest }));
  const lock = { group: "coordination.k8s.io", resource: "leases", namespace: home };
  return [
    ...each("get list watch", { resource: "pods" }),
    ...each("get list watch create patch delete", { resource: "configmaps" }),
    ...each("get list watch", { group, resource: "podconfigmapconfigs" }),
    ...each("patch", { group, resource: "podconfigmapconfigs", subresource: "status" }),
    ...each("create patch", { group: "events.k8s.io", resource: "events" }),
    { verb: "create", ...lock },
    { verb: "get", name: LOCK, ...lock },
    { verb: "update", name: LOCK, ...lock },
  ];
}

/** What a wider role would give away. */
function forbidden(served: string, home: string): Access[] {
  const group = "podconfig.example.com";
  return [
    { verb: "list", resource: "secrets", namespace: served },
    { verb: "list", resource: "secrets", namespace: home },
    { verb: "create", resource: "pods", namespace: served },
    { verb: "patch", resource: "pods", namespace: served },
    { verb: "delete", resource: "pods", namespace: served },
    { verb: "update", resource: "configmaps", namespace: served },
    { verb: "deletecollection", resource: "configmaps", namespace: served },
    { verb: "patch", group, resource: "podconfigmapconfigs", namespace: served },
    { verb: "delete", group, resource: "podconfigmapconfigs", namespace: served },
    {
      verb: "update",
      group: "coordination.k8s.io",
      resource: "leases",
      name: "another-lock",
      namespace: home,
    },
  ];
}

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "deploy/: the manifests are accepted, and grant the controller's requests and no others",
  async fn(t) {
    await using plane = await startControlPlane();
    await plane.createNamespace("served");

    await t.step("cluster-wide", async () => {
      await plane.kubectl("apply", "--validate=strict", "-f", manifests(""));
      await podsAppear(plane, "podconfigmap-system");
      await assertAccess(plane, { served: "served", home: "podconfigmap-system" });
    });

    await t.step("for one namespace", async () => {
      await plane.createNamespace("team");
      await plane.expect(
        "PATCH",
        "/api/v1/namespaces/team",
        { metadata: { labels: { "pod-security.kubernetes.io/enforce": "restricted" } } },
        "application/merge-patch+json",
      );
      const folder = manifests("namespaced/");
      await plane.kubectl("apply", "-n", "team", "--validate=strict", "-f", folder);
      await podsAppear(plane, "team");
      await assertAccess(plane, { served: "team", home: "team" });
      const elsewhere = needed("served", "served");
      assert.deepEqual(await allowed(plane, "team", elsewhere), [], "reaches another namespace");
    });
  },
});

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "deploy/agent/: the manifests are accepted, and grant an agent's requests and no others",
  async fn() {
    await using plane = await startControlPlane();
    await plane.createNamespace("served");
    await plane.kubectl("apply", "--validate=strict", "-f", manifests(""));
    const daemonSets = "/apis/apps/v1/daemonsets";
    assert.deepEqual((await plane.expect("GET", daemonSets)).items, [], "deploy/ has no agent");

    const home = "podconfigmap-agent";
    await plane.kubectl("apply", "--validate=strict", "-f", manifests("agent/"));
    const { items: [daemonSet] } = await plane.expect("GET", daemonSets);
    assert.deepEqual(daemonSet.spec.template.metadata.labels, AGENT_LABELS);
    const asked = neededByAgent("served");
    assert.deepEqual(await allowed(plane, home, asked, home), asked);
    assert.deepEqual(await allowed(plane, home, forbiddenToAgent("served", home), home), []);

    await eventually("the service account exists", async () => {
      const { status, body } = await createAgentPod(plane, home);
      assert.equal(status, 201, JSON.stringify(body));
      return true;
    });
  },
});

Deno.test("deploy/: the controller looks for agents where deploy/agent/ puts them", async () => {
  const namespace = parse(await Deno.readTextFile(manifests("agent/00-namespace.yaml")));
  const deployment = parse(await Deno.readTextFile(manifests("deployment.yaml")));
  const daemonSet = parse(await Deno.readTextFile(manifests("agent/daemonset.yaml")));
  const [{ env }] = deployment.spec.template.spec.containers;
  const variable = env.find(({ name }: { name: string }) => name === "AGENT_NAMESPACE");
  assert.equal(variable?.value, namespace.metadata.name);
  assert.equal(daemonSet.metadata.namespace, namespace.metadata.name);
  assert.deepEqual(daemonSet.spec.template.metadata.labels, AGENT_LABELS);
});

Deno.test("deploy/agent/: an agent has the three capabilities that eBPF takes, and no others", async () => {
  const { spec: { template: { spec } } } = parse(
    await Deno.readTextFile(manifests("agent/daemonset.yaml")),
  );
  const [{ securityContext }] = spec.containers;
  assert.deepEqual(securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"], add: [...NEEDED] },
  });
  assert.equal(spec.hostPID, undefined);
});

function manifests(path: string): string {
  return new URL(`../../deploy/${path}`, import.meta.url).pathname;
}

/** Both replicas pass admission, Pod Security "restricted" included. */
async function podsAppear(plane: ControlPlane, namespace: string): Promise<void> {
  await eventually("the Deployment has its Pods", async () => {
    const pods = await plane.expect("GET", `/api/v1/namespaces/${namespace}/pods`);
    if (pods.items.length === 2) return true;
    throw new Error(await plane.kubectl("describe", "replicasets", "-n", namespace));
  });
}

async function assertAccess(
  plane: ControlPlane,
  namespaces: { served: string; home: string },
): Promise<void> {
  const { served, home } = namespaces;
  assert.deepEqual(await allowed(plane, home, needed(served, home)), needed(served, home));
  assert.deepEqual(await allowed(plane, home, forbidden(served, home)), []);
}

/** Every request an agent makes, in the namespaces it serves. */
function neededByAgent(served: string): Access[] {
  const group = "podconfig.example.com";
  return [
    { verb: "list", resource: "pods", namespace: served },
    { verb: "watch", resource: "pods", namespace: served },
    { verb: "patch", resource: "pods", subresource: "status", namespace: served },
    { verb: "list", group, resource: "podconfigmapconfigs", namespace: served },
    { verb: "watch", group, resource: "podconfigmapconfigs", namespace: served },
    { verb: "create", group: "events.k8s.io", resource: "events", namespace: served },
    { verb: "patch", group: "events.k8s.io", resource: "events", namespace: served },
  ];
}

/** What the controller may and an agent need not, and what nobody of ours may. */
function forbiddenToAgent(served: string, home: string): Access[] {
  const group = "podconfig.example.com";
  const configMaps = ["get", "list", "watch", "create", "patch", "delete"];
  return [
    ...forbidden(served, home),
    ...configMaps.map((verb) => ({ verb, resource: "configmaps", namespace: served })),
    { verb: "get", resource: "pods", namespace: served },
    { verb: "update", resource: "pods", subresource: "status", namespace: served },
    { verb: "create", resource: "pods", subresource: "exec", namespace: served },
    {
      verb: "patch",
      group,
      resource: "podconfigmapconfigs",
      subresource: "status",
      namespace: served,
    },
    { verb: "create", group: "coordination.k8s.io", resource: "leases", namespace: home },
    { verb: "list", resource: "nodes", namespace: "" },
    { verb: "patch", resource: "nodes", subresource: "status", namespace: "" },
  ];
}

/** What the DaemonSet's controller would make on a node; nothing is kept. */
async function createAgentPod(plane: ControlPlane, namespace: string) {
  const { spec: { template } } = parse(await Deno.readTextFile(manifests("agent/daemonset.yaml")));
  return await plane.request("POST", `/api/v1/namespaces/${namespace}/pods?dryRun=All`, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "agent", labels: template.metadata.labels },
    spec: template.spec,
  });
}

/** The part of `accesses` that the service account in `home` has. */
async function allowed(
  plane: ControlPlane,
  home: string,
  accesses: readonly Access[],
  account = "podconfigmap-controller",
): Promise<Access[]> {
  const granted: Access[] = [];
  for (const access of accesses) {
    const review = await plane.expect(
      "POST",
      "/apis/authorization.k8s.io/v1/subjectaccessreviews",
      {
        spec: {
          user: `system:serviceaccount:${home}:${account}`,
          groups: ["system:serviceaccounts", `system:serviceaccounts:${home}`],
          resourceAttributes: access,
        },
      },
    );
    if (review.status.allowed) granted.push(access);
  }
  return granted;
}
