/**
 * The admission policies of `deploy/`, on a real API server: what they let through and what they
 * refuse, and with which words. Agents have tokens that are bound to their Pod, as the kubelet's.
 */
import assert from "node:assert/strict";
import { POD_CONDITION_EBPF } from "../../src/api/well_known.ts";
import { type ControlPlane, startControlPlane } from "../support/control_plane.ts";
import { CONTROLLER_USER } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { documents, kustomize } from "../support/manifests.ts";
import { testNeeding } from "../support/requirements.ts";
import { agentToken } from "./agents.ts";

const SHOP = "shop";
const AGENT_NAMESPACE = "podconfigmap-agent";
const ALICE = "alice";
const COMPONENTS = new URL("../../deploy/components/", import.meta.url).pathname;

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "deploy/policies: what RBAC cannot say",
  async fn(t) {
    await using plane = await startControlPlane();
    const manifests = await kustomize(plane, "deploy/overlays/with-agents");
    const started = ["Deployment", "DaemonSet"];
    await plane.apply(documents(manifests.filter(({ kind }) => !started.includes(kind))));
    await plane.kubectl(
      "apply",
      ...["ebpf-namespaces", "protect-config-maps"].flatMap((name) => [
        "-f",
        `${COMPONENTS}${name}/policy.yaml`,
      ]),
    );
    await plane.createNamespace(SHOP);
    const grant = ["create", "rolebinding", "alice", `--user=${ALICE}`, "--clusterrole=admin"];
    await plane.kubectl(...grant, "-n", SHOP);
    await createPod(plane, { namespace: SHOP, name: "near", node: "node-1" });
    await createPod(plane, { namespace: SHOP, name: "far", node: "node-2" });

    await t.step("an agent changes its condition on the Pods of its node, and nothing else", () => {
      return agents(plane);
    });
    await t.step("the controller touches only ConfigMaps that are its own", () => {
      return controller(plane);
    });
    await t.step("nobody else edits generated ConfigMaps, and they still go with their Pod", () => {
      return protectedConfigMaps(plane);
    });
    await t.step("ebpfConfig only where the namespace is labelled for it", () => {
      return ebpfNamespaces(plane);
    });
    await t.step("the API server understands every expression", () => checked(plane));
  },
});

/** The rest of a kubectl command, as somebody. @returns its standard error; empty when it went through. */
type Person = (...args: string[]) => Promise<string>;

/** The administrator, or who the administrator says to be. */
function as(plane: ControlPlane, user?: string): Person {
  const identity = user === undefined ? [] : [`--as=${user}`];
  return async (...args) => {
    const all = [...args, ...identity, "-n", SHOP];
    const { code, stderr } = await plane.kubectlAs(plane.kubeconfig, ...all);
    assert.equal(code === 0, stderr === "", stderr);
    return stderr;
  };
}

type StatusPatch = (pod: string, patch: unknown) => Promise<string>;

/** As an agent does it: it may not read before. @returns the refusal; empty when it went through. */
function statusPatches(plane: ControlPlane, client: Deno.HttpClient, token: string): StatusPatch {
  return async (pod, patch) => {
    const response = await fetch(`${plane.url}/api/v1/namespaces/${SHOP}/pods/${pod}/status`, {
      client,
      method: "PATCH",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/strategic-merge-patch+json",
      },
      body: JSON.stringify(patch),
    });
    const { message } = await response.json();
    return response.ok ? "" : message;
  };
}

/**
 * Policies are at work a moment after they are made. The first attempt that one is asked about is of a
 * kind that may go through before that, and be made again.
 */
async function assertRefused(attempt: () => Promise<string>, message: string): Promise<void> {
  await eventually(`it is refused with "${message}"`, async () => {
    const answer = await attempt();
    if (answer.includes(`denied request: ${message}`)) return true;
    throw new Error(answer === "" ? "it went through" : answer);
  });
}

const assertAllowed = async (attempt: Promise<string>) => assert.equal(await attempt, "");

async function agents(plane: ControlPlane): Promise<void> {
  using client = Deno.createHttpClient({ caCerts: [plane.caCertificate], http2: false });
  const agent = statusPatches(plane, client, await agentToken(plane, "node-1"));
  const condition = (change: unknown) => ({
    status: { conditions: [{ type: POD_CONDITION_EBPF, ...change as object }] },
  });
  const applied = condition({ status: "True", reason: "Applied", message: "r1: in place." });

  await assertRefused(
    () => agent("far", applied),
    "the agent of node node-1 may not change Pod shop/far of node node-2",
  );
  await assertAllowed(agent("near", applied));
  await assertAllowed(agent("near", condition({ status: "False" })));
  const status = `"shop/near" but the condition ${POD_CONDITION_EBPF}`.replaceAll('"', "");
  const others = [
    { status: { phase: "Failed" } },
    { status: { podIP: "10.9.9.9", podIPs: [{ ip: "10.9.9.9" }] } },
    { status: { conditions: [{ type: "Ready", status: "True" }] } },
    { status: { conditions: [{ type: "Initialized", $patch: "delete" }] } },
  ];
  for (const patch of others) {
    await assertRefused(
      () => agent("near", patch),
      `an agent may change nothing in the status of Pod ${status}`,
    );
  }
  for (const metadata of [{ labels: { app: "x" } }, { annotations: { a: "x" } }]) {
    await assertRefused(
      () => agent("near", { metadata }),
      "an agent may change nothing of Pod shop/near but its status",
    );
  }
  await assertAllowed(agent("near", condition({ $patch: "delete" })));

  const token = await plane.serviceAccountToken(AGENT_NAMESPACE, "podconfigmap-agent");
  const unbound = statusPatches(plane, client, token);
  await assertRefused(
    () => unbound("near", applied),
    "an agent whose token names no node may not change Pod shop/near of node node-1",
  );
  const running = ["--subresource=status", "-p", '{"status":{"phase":"Running"}}'];
  await assertAllowed(as(plane)("patch", "pod", "near", ...running));
}

async function controller(plane: ControlPlane): Promise<void> {
  const ours = as(plane, CONTROLLER_USER);
  const create = (who: Person, manifest: unknown) => createFrom(plane, who, manifest);
  const none = (name: string) =>
    `the controller touches only ConfigMaps that it generates: shop/${name} is none`;
  const admin = as(plane);
  await assertAllowed(admin("create", "configmap", "settings", "--from-literal=a=b"));
  const change = ["patch", "configmap", "--type=merge"];
  const data = ["-p", '{"data":{"a":"c"}}'];
  await assertRefused(() => ours(...change, "settings", ...data), none("settings"));
  await assertRefused(() => ours("delete", "configmap", "settings"), none("settings"));
  await assertRefused(
    () => create(ours, generated("web", "facts", { name: "settings-2" })),
    none("settings-2"),
  );

  await assertAllowed(create(ours, generated("web", "facts")));
  const name = "pod-web-from-facts-cfg";
  await assertAllowed(ours(...change, name, ...data));
  const stripped = '{"metadata":{"labels":null,"annotations":null}}';
  await assertRefused(() => ours(...change, name, "-p", stripped), none(name));
  // Someone in an emergency; the annotations tell whose it is.
  await assertAllowed(admin(...change, name, "-p", '{"metadata":{"labels":null}}'));
  await assertAllowed(ours(...change, name, "-p", '{"metadata":{"labels":{"a":"b"}}}'));
  await assertAllowed(ours("delete", "configmap", name));

  // A hashed name; and one of the original program: labels and owner.
  const hashed = `pod-a-from-b-from-c-0123456789-cfg`;
  await assertAllowed(create(ours, generated("a-from-b", "c", { name: hashed })));
  await assertAllowed(ours("delete", "configmap", hashed));
  const { uid } = (await plane.expect("GET", `/api/v1/namespaces/${SHOP}/pods/near`)).metadata;
  const original = generated("near", "facts", {
    annotations: undefined,
    ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "near", uid }],
  });
  await assertAllowed(create(admin, original));
  await assertAllowed(ours("delete", "configmap", "pod-near-from-facts-cfg"));
  const foreign = {
    ...original,
    metadata: { ...original.metadata, name: "pod-far-from-facts-cfg" },
  };
  await assertAllowed(create(admin, foreign));
  const far = "pod-far-from-facts-cfg";
  await assertRefused(() => ours("delete", "configmap", far), none(far));
}

async function protectedConfigMaps(plane: ControlPlane): Promise<void> {
  const alice = as(plane, ALICE);
  const ours = as(plane, CONTROLLER_USER);
  await createPod(plane, { namespace: SHOP, name: "web", node: "node-1" });
  const { uid } = (await plane.expect("GET", `/api/v1/namespaces/${SHOP}/pods/web`)).metadata;
  const ownerReferences = [{ apiVersion: "v1", kind: "Pod", name: "web", uid }];
  await assertAllowed(createFrom(plane, ours, generated("web", "facts", { ownerReferences })));
  const name = "pod-web-from-facts-cfg";
  const refusal =
    "ConfigMap shop/pod-web-from-facts-cfg is generated from PodConfigMapConfig facts: change that, or the Pod, instead";
  const change = ["patch", "configmap", "--type=merge"];
  const data = ["-p", '{"data":{"a":"c"}}'];
  await assertRefused(() => alice(...change, name, ...data), refusal);
  await assertRefused(() => alice("delete", "configmap", name), refusal);
  // All at once, where the request has no name.
  const all = ["delete", "--raw", `/api/v1/namespaces/${SHOP}/configmaps`];
  await assertRefused(() => alice(...all), refusal);
  await assertAllowed(ours(...change, name, ...data));
  // The name alone is not enough: whoever may make service accounts could take it.
  const namesake = as(plane, `system:serviceaccount:${SHOP}:podconfigmap-controller`);
  const grant = ["--clusterrole=admin", `--serviceaccount=${SHOP}:podconfigmap-controller`];
  await assertAllowed(as(plane)("create", "rolebinding", "namesake", ...grant));
  await assertRefused(() => namesake(...change, name, ...data), refusal);
  await assertAllowed(alice("create", "configmap", "mine", "--from-literal=a=b"));
  await assertAllowed(alice(...change, "mine", ...data));
  await assertAllowed(alice("delete", "configmap", "mine"));

  await plane.expect("DELETE", `/api/v1/namespaces/${SHOP}/pods/web?gracePeriodSeconds=0`);
  await eventually("the garbage collector has it", async () => {
    return (await plane.request("GET", `/api/v1/namespaces/${SHOP}/configmaps/${name}`)).status ===
      404;
  });
}

async function ebpfNamespaces(plane: ControlPlane): Promise<void> {
  const alice = as(plane, ALICE);
  const pcmc = (name: string, ports: number[]) => ({
    apiVersion: "podconfig.example.com/v1alpha1",
    kind: "PodConfigMapConfig",
    metadata: { name },
    spec: { ebpfConfig: { l4Firewall: { enabled: true, blockedPorts: ports } } },
  });
  const refusal =
    "ebpfConfig is not allowed in namespace shop: it has no label podconfig.example.com/ebpf=allowed";
  const attempt: Person = (...args) => alice(...args, "--dry-run=server");
  await assertRefused(() => createFrom(plane, attempt, pcmc("firewall", [22])), refusal);
  await assertAllowed(createFrom(plane, alice, { ...pcmc("plain", []), spec: {} }));

  const label = (value: string) =>
    plane.kubectl("label", "ns", SHOP, `podconfig.example.com/ebpf${value}`);
  await label("=allowed");
  await eventually("it is allowed", async () => {
    return (await createFrom(plane, alice, pcmc("firewall", [22]))) === "";
  });
  await label("-");
  const change = (patch: unknown) =>
    alice("patch", "pcmc", "firewall", "--type=merge", "-p", JSON.stringify(patch));
  await assertRefused(() => change(pcmc("firewall", [22, 23])), refusal);
  // The same, for other Pods.
  const others = { spec: { podSelector: { matchLabels: { app: "b" } } } };
  await assertRefused(() => change(others), refusal);
  await assertAllowed(
    change({ metadata: { labels: { a: "b" } }, spec: { labelsToInclude: ["a"] } }),
  );
  await assertAllowed(change({ spec: { ebpfConfig: null } }));
}

/** By the controller manager, which checks types of expressions where it knows them. */
async function checked(plane: ControlPlane): Promise<void> {
  const warnings = await eventually("every policy is checked", async () => {
    const { items } = await plane.expect(
      "GET",
      "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    );
    assert.equal(items.length, 4);
    for (const { metadata, status } of items) {
      assert.equal(status?.observedGeneration, metadata.generation, metadata.name);
    }
    // deno-lint-ignore no-explicit-any
    return items.flatMap(({ status }: any) => status.typeChecking?.expressionWarnings ?? []);
  });
  assert.deepEqual(warnings, []);
}

async function createFrom(plane: ControlPlane, who: Person, manifest: unknown): Promise<string> {
  const file = `${plane.dir}/manifest.json`;
  await Deno.writeTextFile(file, JSON.stringify(manifest));
  return await who("create", "-f", file);
}

/** As the controller makes it, but for the metadata given. */
function generated(pod: string, pcmc: string, metadata: Record<string, unknown> = {}) {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: `pod-${pod}-from-${pcmc}-cfg`,
      labels: {
        "podconfig.example.com/generated-by-pcmc": pcmc,
        "podconfig.example.com/pod-uid": "0b1",
        "app.kubernetes.io/managed-by": "podconfigmap-controller",
      },
      annotations: { "podconfig.example.com/pod": pod, "podconfig.example.com/pcmc": pcmc },
      ...metadata,
    },
    data: { podName: pod },
  };
}

interface PodPlace {
  namespace: string;
  name: string;
  node: string;
}

async function createPod(plane: ControlPlane, place: PodPlace): Promise<void> {
  const { namespace, name, node } = place;
  await plane.expect("POST", `/api/v1/namespaces/${namespace}/pods`, {
    metadata: { name },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "main", image: "example.com/main:1" }],
    },
  });
  const conditions = [{ type: "Initialized", status: "True" }];
  const path = `/api/v1/namespaces/${namespace}/pods/${name}/status`;
  const status = { status: { phase: "Pending", conditions } };
  await plane.expect("PATCH", path, status, "application/strategic-merge-patch+json");
}
