/**
 * The chart: it comes to what the kustomizations come to, object by object, and lives through an
 * installation, an upgrade and an uninstall on a real API server. No kubelet: nothing is waited for.
 */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { type ControlPlane, startControlPlane } from "../support/control_plane.ts";
import { eventually } from "../support/eventually.ts";
import { identify, kustomize, type Manifest, parseManifests } from "../support/manifests.ts";
import { output, run, temporaryDir } from "../support/processes.ts";
import { testNeeding } from "../support/requirements.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const CHART = `${ROOT}deploy/helm/podconfigmap-controller`;
const HOME = "podconfigmap-system";
const CRD = "podconfigmapconfigs.podconfig.example.com";

testNeeding({
  needs: ["KUBEBUILDER_ASSETS", "helm"],
  name: "deploy/helm: the chart",
  async fn(t) {
    await using plane = await startControlPlane();
    await t.step("comes to what the kustomizations come to", (t) => comparisons(t, plane));
    await t.step("passes Helm's own linter", async () => {
      await output("helm", ["lint", "--strict", "--kube-version=1.37.0", CHART]);
    });
    await t.step("refuses values that it does not know, or that do not go together", refusals);
    await t.step("takes values as they were written", asWritten);
    await t.step("gives each process its namespaces, and the rights for them", namespaces);
    await t.step("is installed, upgraded with its CRD, and uninstalled without it", () => {
      return lifeCycle(plane);
    });
  },
});

Deno.test("deploy/helm: the chart is of this version", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const chart = parse(await Deno.readTextFile(`${CHART}/Chart.yaml`));
  assert.deepEqual([chart.version, chart.appVersion], [version, version]);
});

interface Case {
  name: string;
  /** A folder of deploy/, or a kustomization to be made of several. */
  folder: string;
  components?: string[];
  namespace?: string;
  values?: string;
  /** Beyond the release's namespace, which a chart cannot make: what the chart leaves out, or brings along. */
  only?: (manifest: Manifest) => boolean;
}

const CASES: Case[] = [
  { name: "the controller alone", folder: "overlays/controller" },
  { name: "with agents", folder: "overlays/with-agents", values: "agents.enabled=true" },
  {
    name: "for one namespace",
    folder: "namespaced",
    namespace: "team",
    values: "clusterResources=false,watchNamespaces={team}",
  },
  {
    name: "with every component",
    folder: "overlays/with-agents",
    components: [
      "agent-root",
      "ebpf-namespaces",
      "priority-class",
      "protect-config-maps",
      "service-monitor",
    ],
    values: "agents.enabled=true,agents.root=true,policies.limitEbpfNamespaces=true," +
      "policies.protectConfigMaps=true,controller.priorityClassName=system-cluster-critical," +
      "serviceMonitor.enabled=true",
  },
  {
    name: "the cleanup",
    folder: "cleanup",
    values: "cleanup.enabled=true",
    only: ({ metadata }) => metadata.name === "podconfigmap-cleanup",
  },
  {
    name: "the rules for the Prometheus operator",
    folder: "observability/prometheusrule.yaml",
    values: "prometheusRule.enabled=true",
    only: ({ kind }) => kind === "PrometheusRule",
  },
];

async function comparisons(t: Deno.TestContext, plane: ControlPlane): Promise<void> {
  for (const each of CASES) {
    const { name, namespace = HOME, only = () => true } = each;
    await t.step(name, async () => {
      const flags = each.values === undefined ? [] : ["--set", each.values];
      const args = ["template", "test", CHART, "-n", namespace, "--kube-version=1.37.0", ...flags];
      const chart = parseManifests(await output("helm", args)).filter(only);
      const expected = (await kustomized(plane, each)).filter(only);
      assert.ok(expected.length > 0);
      assert.deepEqual(byIdentity(chart, namespace), byIdentity(expected, namespace));
    });
  }
}

async function kustomized(plane: ControlPlane, { folder, components }: Case): Promise<Manifest[]> {
  const path = `deploy/${folder}`;
  if (path.endsWith(".yaml")) return parseManifests(await Deno.readTextFile(`${ROOT}${path}`));
  if (components === undefined) return await kustomize(plane, path);
  // Inside of the tree, as a kustomization names its parts by relative paths.
  await using dir = await temporaryDir("overlay");
  const up = "../".repeat((await Deno.realPath(dir.path)).split("/").length - 1);
  const deploy = `${up}${(await Deno.realPath(ROOT)).slice(1)}/deploy`;
  const kustomization = {
    resources: [`${deploy}/${folder}`],
    components: components.map((name) => `${deploy}/components/${name}`),
  };
  await Deno.writeTextFile(`${dir.path}/kustomization.yaml`, JSON.stringify(kustomization));
  return parseManifests(await plane.kubectl("kustomize", dir.path));
}

/**
 * As they are in the cluster, in `namespace` where they name none.
 *
 * Two differences are meant. Helm cannot make the namespace that it installs into; and it would take
 * the CRD along when it uninstalls, but for an annotation.
 */
function byIdentity(manifests: readonly Manifest[], namespace: string): Record<string, Manifest> {
  const objects = manifests
    .filter(({ kind, metadata }) => kind !== "Namespace" || metadata.name !== HOME)
    .map((manifest) => {
      const { annotations, ...metadata } = manifest.metadata;
      const { "helm.sh/resource-policy": _, ...others } = annotations ?? {};
      const inPlace = CLUSTER_SCOPED.test(manifest.kind) ? {} : { namespace };
      return {
        ...manifest,
        metadata: {
          ...inPlace,
          ...metadata,
          ...(Object.keys(others).length === 0 ? {} : { annotations: others }),
        },
        ...(manifest["subjects"] === undefined ? {} : {
          subjects: manifest["subjects"].map((subject: object) => ({ namespace, ...subject })),
        }),
      };
    });
  const named = objects.map((object) => [identify(object), object] as const);
  assert.equal(new Set(named.map(([name]) => name)).size, named.length, "an object twice");
  return Object.fromEntries(named.sort(([one], [other]) => (one < other ? -1 : 1)));
}

const CLUSTER_SCOPED =
  /^(Namespace|ClusterRole|ClusterRoleBinding|CustomResourceDefinition|ValidatingAdmissionPolicy.*)$/;

async function refusals(): Promise<void> {
  const cases: [values: string, message: RegExp, version?: string][] = [
    ["controller.replicas=two", /replicas/],
    ["controller.replica=2", /additional properties 'replica'/],
    ["agents.namespace=Agents", /namespace/],
    ["agents.env.log_level=debug", /log_level/],
    ["clusterResources=false", /needs watchNamespaces/],
    ["clusterResources=false,watchNamespaces={a},agents.enabled=true", /agents have a ClusterRole/],
    ["cleanup.enabled=true,agents.enabled=true", /nothing is taken down while an agent runs/],
    ["cleanup.enabled=true,clusterResources=false,watchNamespaces={a}", /there were no agents/],
    [`agents.namespace=${HOME}`, /must not be the controller's/],
    ["controller.env.METRICS_ADDR=:1", /METRICS_ADDR/],
    ["controller.env.WATCH_NAMESPACE=team", /WATCH_NAMESPACE/],
    ["agents.env.BPFFS_FOLDER=/x", /BPFFS_FOLDER/],
    ["image.repository=example.org/x@sha256:0", /repository/],
    ["policies.enabled=true", /need Kubernetes 1\.30/, "1.29.9"],
    ["policies.enabled=false,policies.limitEbpfNamespaces=true", /1\.30/, "1.29.9-gke.1"],
  ];
  for (const [values, message, version = "1.37.0"] of cases) {
    const target = ["-n", HOME, `--kube-version=${version}`];
    const args = ["template", "test", CHART, ...target, "--set", values];
    const { code, stderr } = await run("helm", args);
    assert.notEqual(code, 0, values);
    assert.match(stderr, message);
  }
}

/** Whatever else YAML could take them for. */
async function asWritten(): Promise<void> {
  const digest = `sha256:${"0".repeat(64)}`;
  const pinned = await rendered(["--kube-version=1.30.0", `--set=image.tag=1.2@${digest}`]);
  const [deployment] = pinned.filter(({ kind }) => kind === "Deployment");
  const image = deployment?.["spec"].template.spec.containers[0].image;
  assert.equal(image, `podconfigmap-controller:1.2@${digest}`);
  await using dir = await temporaryDir("values");
  const values = `${dir.path}/values.yaml`;
  await Deno.writeTextFile(
    values,
    `controller:
  priorityClassName: "1"
  env: { CONTROLLER_WORKER_INFLIGHT: 1000000, LEADER_ELECTION_LEASE_DURATION: 20s, "NO": 0.5 }
agents: { enabled: true, namespace: "on", env: { VERDICT_LOG_PER_SECOND: 2000000 } }
watchNamespaces: ["123", "null"]
serviceMonitor: { enabled: true }
`,
  );
  const chart = await rendered(["-n", "1e3", "-f", values]);
  const names = new Set(chart.map(({ metadata }) => metadata.namespace));
  assert.deepEqual([...names].sort(), ["123", "1e3", "null", "on", undefined]);
  const controller = variables(chart, "Deployment");
  assert.equal(controller["CONTROLLER_WORKER_INFLIGHT"], "1000000");
  assert.equal(controller["NO"], "0.5");
  assert.equal(controller["AGENT_NAMESPACE"], "on");
  // Given by the chart, too, and once all the same.
  assert.equal(controller["LEADER_ELECTION_LEASE_DURATION"], "20s");
  assert.equal(controller["LEADER_ELECTION_RENEW_DEADLINE"], "5s");
  assert.equal(variables(chart, "DaemonSet")["VERDICT_LOG_PER_SECOND"], "2000000");
}

/** A watch that is not allowed is never synced, and nothing begins before that. */
async function namespaces(): Promise<void> {
  const readers = (chart: Manifest[]) =>
    chart.filter(({ kind }) => kind === "Role")
      .filter(({ rules }) => rules.some(({ resources }: Rule) => resources.includes("pods")))
      .map(({ metadata }) => metadata.namespace);
  const alone = await rendered(["-n", HOME, "--set", "watchNamespaces={a,b}"]);
  assert.deepEqual(readers(alone), ["a", "b"]);
  assert.equal(variables(alone, "Deployment")["WATCH_NAMESPACE"], "a,b");
  assert.equal(variables(alone, "Deployment")["AGENT_NAMESPACE"], undefined);
  const both = await rendered(["-n", HOME, "--set", "watchNamespaces={a},agents.enabled=true"]);
  assert.deepEqual(readers(both).sort(), ["a", "podconfigmap-agent"]);
  assert.equal(variables(both, "Deployment")["AGENT_NAMESPACE"], "podconfigmap-agent");
  assert.equal(variables(both, "DaemonSet")["WATCH_NAMESPACE"], "a");
}

interface Rule {
  resources: string[];
}

async function rendered(flags: string[]): Promise<Manifest[]> {
  const args = ["template", "test", CHART, "--kube-version=1.37.0", ...flags];
  return parseManifests(await output("helm", args));
}

/** Of the first container of the only workload of that kind; none is given twice. */
function variables(chart: Manifest[], kind: string): Record<string, string | undefined> {
  const [workload] = chart.filter((manifest) => manifest.kind === kind);
  const env: { name: string; value?: string }[] = workload?.["spec"].template.spec.containers[0]
    .env;
  const entries = env.map(({ name, value }) => [name, value] as const);
  assert.equal(new Set(entries.map(([name]) => name)).size, entries.length, "a variable twice");
  return Object.fromEntries(entries);
}

async function lifeCycle(plane: ControlPlane): Promise<void> {
  await using dir = await temporaryDir("helm");
  const homes = ["CACHE", "CONFIG", "DATA"].map((kind) => [`HELM_${kind}_HOME`, dir.path]);
  const helm = async (...args: string[]) => {
    const all = [...args, "-n", HOME, `--kubeconfig=${plane.kubeconfig}`];
    const { code, stdout, stderr } = await run("helm", all, { env: Object.fromEntries(homes) });
    assert.deepEqual([code, stderr], [0, ""], `${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  };
  await plane.kubectl("create", "namespace", HOME);
  await plane.kubectl("label", "ns", HOME, "pod-security.kubernetes.io/enforce=restricted");

  await helm("install", "pcmc", await olderChart(dir.path), "--set=agents.enabled=true");
  await plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", `crd/${CRD}`);
  // Established is a moment before served.
  await eventually("PodConfigMapConfigs are served", async () => {
    return (await plane.request("GET", `/apis/podconfig.example.com/v1alpha1`)).status === 200;
  });
  const config = { apiVersion: "podconfig.example.com/v1alpha1", kind: "PodConfigMapConfig" };
  await plane.apply(JSON.stringify({ ...config, metadata: { name: "kept" }, spec: {} }));
  assert.deepEqual(await templatesField(plane), undefined, "the older CRD does not have it");

  await helm("upgrade", "pcmc", CHART, "--set=agents.enabled=true");
  assert.equal((await templatesField(plane)).type, "object");
  const manifests = `${dir.path}/manifests.yaml`;
  await Deno.writeTextFile(manifests, await helm("get", "manifest", "pcmc"));
  assert.equal(
    await plane.kubectl("diff", "--server-side", "--force-conflicts", "-f", manifests),
    "",
  );
  await plane.kubectl(
    "apply",
    "--dry-run=server",
    "--server-side",
    "--force-conflicts",
    "-f",
    manifests,
  );

  await helm("upgrade", "pcmc", CHART, "--set=cleanup.enabled=true");
  const daemonSets = await plane.kubectl("get", "daemonsets", "-A", "-o", "name");
  assert.equal(daemonSets, "daemonset.apps/podconfigmap-cleanup\n");

  assert.match(
    await helm("uninstall", "pcmc"),
    /kept due to the resource policy:\n.*podconfigmapconfigs/,
  );
  assert.match(await plane.kubectl("get", "pcmc"), /^kept /m);
  const left = await plane.kubectl("get", LEFTOVER_KINDS, "-A", "-o", "name");
  assert.deepEqual(left.split("\n").filter((name) => name.includes("podconfigmap")), []);
  await helm("install", "pcmc", CHART);
  assert.match(await plane.kubectl("get", "pcmc"), /^kept /m);
}

const LEFTOVER_KINDS = "clusterroles,clusterrolebindings,validatingadmissionpolicies," +
  "validatingadmissionpolicybindings,deployments,daemonsets";

/** A copy of the chart whose CRD lacks a field. */
async function olderChart(folder: string): Promise<string> {
  const path = `${folder}/older`;
  await output("cp", ["-r", CHART, path]);
  const file = `${path}/files/crd.yaml`;
  const crd = parse(await Deno.readTextFile(file));
  delete crd.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties
    .configMapDataTemplate;
  await Deno.writeTextFile(file, JSON.stringify(crd));
  return path;
}

async function templatesField(plane: ControlPlane) {
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${CRD}`;
  const { spec: { versions: [version] } } = await plane.expect("GET", path);
  return version.schema.openAPIV3Schema.properties.spec.properties.configMapDataTemplate;
}
