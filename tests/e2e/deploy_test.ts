import assert from "node:assert/strict";
import { posix } from "node:path";
import { parse } from "yaml";
import { NEEDED } from "../../src/agent/adapters/capabilities.ts";
import { AGENT_LABELS } from "../../src/api/well_known.ts";
import { type Access, type ControlPlane, startControlPlane } from "../support/control_plane.ts";
import { eventually } from "../support/eventually.ts";
import { identify, parseManifests } from "../support/manifests.ts";
import { temporaryDir } from "../support/processes.ts";
import { testNeeding } from "../support/requirements.ts";

const GROUP_VERSION = "podconfig.example.com/v1alpha1";
const DAEMON_SETS = "/apis/apps/v1/daemonsets";
const COMPONENTS = ["ebpf-namespaces", "priority-class", "protect-config-maps", "service-monitor"];
/** Of cluster scope: what a namespace does not take with it. */
const LEFTOVER_KINDS =
  "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings";
const LOCK = "podconfigmap-controller-lock";

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
  name: "deploy/: what kubectl apply -k installs",
  async fn(t) {
    await using plane = await startControlPlane();
    await plane.createNamespace("served");

    await t.step(
      "deploy/: the manifests are accepted, and grant the controller's requests and no others",
      async () => {
        await installs(plane, "deploy/overlays/controller");
        await podsAppear(plane, "podconfigmap-system");
        await assertAccess(plane, { served: "served", home: "podconfigmap-system" });
        const { items } = await plane.expect("GET", DAEMON_SETS);
        assert.deepEqual(items, [], "deploy/overlays/controller/ has no agent");
      },
    );
    await t.step("for one namespace: a Role there, and nothing elsewhere", async () => {
      await plane.createNamespace("team");
      await plane.kubectl("label", "ns", "team", "pod-security.kubernetes.io/enforce=restricted");
      await installs(plane, "deploy/namespaced", ["-n", "team"]);
      await podsAppear(plane, "team");
      await assertAccess(plane, { served: "team", home: "team" });
      const elsewhere = needed("served", "served");
      assert.deepEqual(await allowed(plane, "team", elsewhere), [], "reaches another namespace");
    });
    await t.step(
      "deploy/agent/: the manifests are accepted, and grant an agent's requests and no others",
      () => agentsInstalled(plane),
    );
    await t.step("the cleanup's Pod is one that its namespace admits", async () => {
      await installs(plane, "deploy/cleanup");
      await assertAdmitted(plane, "podconfigmap-cleanup");
      await plane.kubectl("delete", "-k", path("deploy/cleanup"));
    });
    await t.step("each component goes with the overlays", () => componentsInstalled(plane));
    await t.step("kubectl explain documents every field", () => everyFieldExplained(plane));
    await t.step("who may view, edit or administer a namespace may do so with its PCMCs", () => {
      return aggregated(plane);
    });
    await t.step("deleting what is installed keeps the CRD and its PCMCs", async () => {
      const config = { apiVersion: GROUP_VERSION, kind: "PodConfigMapConfig", spec: {} };
      await plane.apply(JSON.stringify({ ...config, metadata: { name: "kept" } }));
      const folders = ["policies/agent", "agent", "policies/controller", "controller"];
      for (const folder of folders) {
        await plane.kubectl("delete", "--wait=false", "-k", path(`deploy/${folder}`));
      }
      assert.match(await plane.kubectl("get", "pcmc"), /^kept /m);
      const left = await plane.kubectl("get", LEFTOVER_KINDS, "-o", "name");
      assert.deepEqual(left.split("\n").filter((name) => name.includes("podconfigmap")), []);
    });
  },
});

Deno.test("deploy/: the controller looks for agents where deploy/agent/ puts them", async () => {
  const namespace = await read("deploy/agent/namespace.yaml");
  const daemonSet = await read("deploy/agent/daemonset.yaml");
  const { patches: [{ patch }] } = await read("deploy/controller/kustomization.yaml");
  const [{ value }] = parse(patch);
  assert.deepEqual(value, { name: "AGENT_NAMESPACE", value: namespace.metadata.name });
  assert.equal(daemonSet.metadata.namespace, namespace.metadata.name);
  assert.deepEqual(daemonSet.spec.template.metadata.labels, AGENT_LABELS);
});

Deno.test("deploy/agent/: an agent has the three capabilities that eBPF takes, and no others", async () => {
  const { spec: { template: { spec } } } = await read("deploy/agent/daemonset.yaml");
  const [{ securityContext, command }] = spec.containers;
  assert.deepEqual(securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"], add: [...NEEDED] },
  });
  assert.deepEqual(command, ["/agent-launcher"]);
  assert.equal(spec.securityContext.runAsNonRoot, true);
  assert.equal(spec.hostPID, undefined);
});

Deno.test("deploy/: the image is that of this version", async () => {
  const { version } = await read("deno.json");
  const files = ["base/deployment", "agent/daemonset", "cleanup/daemonset"];
  for (const file of files) {
    const { containers, initContainers = [] } =
      (await read(`deploy/${file}.yaml`)).spec.template.spec;
    for (const { image } of [...containers, ...initContainers]) {
      assert.equal(image, `podconfigmap-controller:${version}`, file);
    }
  }
});

const path = (relative: string) => new URL(`../../${relative}`, import.meta.url).pathname;
const read = async (relative: string) => parse(await Deno.readTextFile(path(relative)));

/** Applied without a warning; then nothing is left to apply, and the server still takes all of it. */
async function installs(plane: ControlPlane, folder: string, flags: string[] = []): Promise<void> {
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await plane.kubectlAs(plane.kubeconfig, ...args, ...flags);
    assert.deepEqual([code, stderr], [0, ""], `${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  };
  await run("apply", "-k", path(folder));
  // It says "configured" of some that it sends anew, to no effect.
  await run("apply", "-k", path(folder));
  assert.equal(await run("diff", "-k", path(folder)), "");
  await run("apply", "--dry-run=server", "-k", path(folder));
}

async function agentsInstalled(plane: ControlPlane): Promise<void> {
  await installs(plane, "deploy/overlays/with-agents");
  const home = "podconfigmap-agent";
  const { items: [daemonSet] } = await plane.expect("GET", DAEMON_SETS);
  assert.deepEqual(daemonSet.spec.template.metadata.labels, AGENT_LABELS);
  const asked = neededByAgent("served");
  assert.deepEqual(await allowed(plane, home, asked, home), asked);
  assert.deepEqual(await allowed(plane, home, forbiddenToAgent("served", home), home), []);
  await assertAdmitted(plane, "podconfigmap-agent");
}

/** What the DaemonSet's controller would make on a node; nothing is kept. */
async function assertAdmitted(plane: ControlPlane, daemonSet: string): Promise<void> {
  const { metadata: { namespace }, spec: { template } } = await plane.expect(
    "GET",
    `/apis/apps/v1/namespaces/podconfigmap-agent/daemonsets/${daemonSet}`,
  );
  await eventually("the service account exists", async () => {
    await plane.expect("POST", `/api/v1/namespaces/${namespace}/pods?dryRun=All`, {
      metadata: { name: "agent", labels: template.metadata.labels },
      spec: template.spec,
    });
    return true;
  });
}

/** Together, over the overlay with agents, as a user's own kustomization would name them. */
async function componentsInstalled(plane: ControlPlane): Promise<void> {
  await plane.apply(await Deno.readTextFile(path("tests/e2e/service_monitor_crd.yaml")));
  const names = [...Deno.readDirSync(path("deploy/components"))].map(({ name }) => name).sort();
  await using dir = await temporaryDir("overlay");
  const folder = dir.path;
  // Only relative paths are allowed there.
  const root = posix.relative(await Deno.realPath(folder), await Deno.realPath(path("")));
  const kustomization = {
    apiVersion: "kustomize.config.k8s.io/v1beta1",
    kind: "Kustomization",
    resources: [`${root}/deploy/overlays/with-agents`],
    components: names.map((name) => `${root}/deploy/components/${name}`),
    images: [{ name: "podconfigmap-controller", newName: "registry.example.com/pcmc" }],
  };
  await Deno.writeTextFile(`${folder}/kustomization.yaml`, JSON.stringify(kustomization));
  const { code, stderr } = await plane.kubectlAs(plane.kubeconfig, "apply", "-k", folder);
  assert.deepEqual([code, stderr], [0, ""]);
  const after = parseManifests(await plane.kubectl("kustomize", folder));
  assert.deepEqual(names, ["agent-root", ...COMPONENTS]);
  const spec = (kind: string) => after.find((each) => each.kind === kind)?.["spec"].template.spec;
  assert.equal(spec("Deployment").priorityClassName, "system-cluster-critical");
  const { containers: [agent], initContainers: [prepare], securityContext } = spec("DaemonSet");
  assert.deepEqual([securityContext.runAsUser, securityContext.runAsNonRoot], [0, false]);
  assert.deepEqual(agent.securityContext.capabilities.add, [...NEEDED, "SYS_RESOURCE"]);
  assert.deepEqual(prepare.args, ["prepare-node", "--owner-uid=0", "--owner-gid=0"]);
  assert.match(agent.image, /^registry\.example\.com\/pcmc:/);
  const kinds = new Set(after.map(identify));
  assert.ok(kinds.has("ServiceMonitor podconfigmap-system/podconfigmap-controller"));
  await assertAdmitted(plane, "podconfigmap-agent");
  for (const kind of ["validatingadmissionpolicy", "validatingadmissionpolicybinding"]) {
    const policies = ["podconfigmap-ebpf-namespaces", "podconfigmap-protect-config-maps"];
    await plane.kubectl("delete", kind, ...policies);
  }
}

/** As a user would read it. `status` is not the user's to write, but is to be understood. */
async function everyFieldExplained(plane: ControlPlane): Promise<void> {
  const tree = await plane.kubectl("explain", "pcmc.spec", "--recursive");
  const paths: string[] = [];
  const open: string[] = [];
  for (const line of tree.slice(tree.indexOf("FIELDS:")).split("\n").slice(1)) {
    const [, indent = "", name] = /^( +)(\w+)\t/.exec(line) ?? [];
    if (name === undefined) continue;
    open.splice(indent.length / 2 - 1, Infinity, name);
    paths.push(open.join("."));
  }
  assert.ok(paths.includes("ebpfConfig.l4Firewall.blockedPorts"), tree);
  assert.ok(paths.includes("podSelector.matchExpressions.operator"), tree);
  const explained = async (field: string) => {
    const text = await plane.kubectl("explain", `pcmc.spec.${field}`);
    return /DESCRIPTION:\n +(?!<empty>)\S/.test(text);
  };
  const flags = await Promise.all(paths.map(explained));
  assert.deepEqual(paths.filter((_, index) => !flags[index]), []);
}

async function aggregated(plane: ControlPlane): Promise<void> {
  const group = "podconfig.example.com";
  const can = (role: string, verb: string, resource = "podconfigmapconfigs") =>
    plane.kubectl("get", "clusterrole", role, "-o", "json").then((text) =>
      JSON.parse(text).rules.some((rule: Record<string, string[]>) =>
        rule["apiGroups"]?.includes(group) && rule["resources"]?.includes(resource) &&
        rule["verbs"]?.includes(verb)
      )
    );
  const table: [role: string, verb: string, may: boolean][] = [
    ["view", "list", true],
    ["view", "create", false],
    ["edit", "watch", true],
    ["edit", "patch", true],
    ["admin", "get", true],
    ["admin", "deletecollection", true],
  ];
  await eventually("the roles are aggregated", async () => {
    for (const [role, verb, may] of table) {
      assert.equal(await can(role, verb), may, `${role} ${verb}`);
    }
    return true;
  });
  for (const role of ["view", "edit", "admin"]) {
    assert.equal(await can(role, "patch", "podconfigmapconfigs/status"), false, role);
  }
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

/** The part of `accesses` that the service account in `home` has. */
async function allowed(
  plane: ControlPlane,
  home: string,
  accesses: readonly Access[],
  account = "podconfigmap-controller",
): Promise<Access[]> {
  const user = `system:serviceaccount:${home}:${account}`;
  const granted: Access[] = [];
  for (const access of accesses) {
    if (await plane.allows(user, access)) granted.push(access);
  }
  return granted;
}
