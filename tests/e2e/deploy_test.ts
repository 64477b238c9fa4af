import assert from "node:assert/strict";
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

function manifests(folder: string): string {
  return new URL(`../../deploy/${folder}`, import.meta.url).pathname;
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

/** The part of `accesses` that the controller's service account in `home` has. */
async function allowed(
  plane: ControlPlane,
  home: string,
  accesses: readonly Access[],
): Promise<Access[]> {
  const granted: Access[] = [];
  for (const access of accesses) {
    const review = await plane.expect(
      "POST",
      "/apis/authorization.k8s.io/v1/subjectaccessreviews",
      {
        spec: {
          user: `system:serviceaccount:${home}:podconfigmap-controller`,
          groups: ["system:serviceaccounts", `system:serviceaccounts:${home}`],
          resourceAttributes: access,
        },
      },
    );
    if (review.status.allowed) granted.push(access);
  }
  return granted;
}
