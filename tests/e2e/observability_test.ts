/**
 * `deploy/observability/` against a real Prometheus that scrapes the real program.
 *
 * Prometheus finds its targets in a file here: they are what discovery of Pods would give for
 * processes that have no Pod. Everything after that is the shipped configuration.
 */
import assert from "node:assert/strict";
import { parse, stringify } from "yaml";
import { missingForKernel } from "../kernel/support/sandbox.ts";
import { eventually } from "../support/eventually.ts";
import { kustomize, type Manifest } from "../support/manifests.ts";
import { Prometheus, promtool, type RuleState } from "../support/prometheus.ts";
import { testNeeding } from "../support/requirements.ts";
import { AgentScene, Shop, startController, type Target } from "./observability_scene.ts";
import { NODE, ROOT, Stage } from "./stage.ts";

const FOLDER = `${ROOT}deploy/observability`;
const RATE_INTERVAL = "10s";
/** Of the scene, before the API server is restarted once more. */
const ROUNDS_A_RESTART = 25;

const NAME = "a real Prometheus scrapes the program: every query of the dashboard has an answer";
const lacking = missingForKernel();

testNeeding({
  needs: ["KUBEBUILDER_ASSETS", "prometheus", "promtool"],
  name: NAME,
  async fn(t) {
    await using stage = await Stage.open();
    await using controller = await startController(stage);
    await using shop = await Shop.open(stage);
    await using scene = lacking.length > 0
      ? undefined
      : await AgentScene.open(stage, await shop.namespace.pod("web"));
    await using prometheus = await scrape(stage, {
      controller,
      ...(scene && { agent: scene.agent }),
    });
    const alerts = [
      "PodConfigMapConfigNotReady",
      ...(scene ? ["PodConfigMapEbpfPodsFailing"] : []),
    ];

    await t.step("the controller's rows, labels and metrics", async () => {
      await assertClean(controller);
      const queries = dashboardQueries((title) => !title.startsWith("eBPF"));
      await assertDashboard(prometheus, queries, async (round) => {
        // Watches break, the lease cannot be renewed. What breaks in which way is chance.
        if (round % ROUNDS_A_RESTART === 0) {
          await stage.plane.stopApiServer();
          await stage.plane.startApiServer();
        }
        await shop.act();
      });
      await assertLabels(prometheus, shop.namespace.name);
    });
    await t.step({
      name: lacking.length === 0
        ? "the agent's rows and metrics"
        : `the agent's rows and metrics [needs ${lacking.join(", ")}]`,
      ignore: lacking.length > 0,
      async fn() {
        assert.ok(scene);
        const queries = dashboardQueries((title) => title.startsWith("eBPF"));
        await assertDashboard(prometheus, queries, () => scene.act());
        await assertClean(scene.agent);
      },
    });
    await t.step("the rules", () => assertRules(prometheus, alerts));
  },
});

/** `promtool check metrics` has nothing to say. */
async function assertClean(target: Target): Promise<void> {
  const { body } = await target.get("/metrics");
  assert.match(body, /^podconfigmap_controller_build_info\{/m);
  assert.deepEqual(await promtool(["check", "metrics"], body), { code: 0, complaints: "" });
}

/** Prometheus with the shipped rules and the shipped configuration, in seconds instead of minutes. */
async function scrape(
  stage: Stage,
  targets: { controller: Target; agent?: Target },
): Promise<Prometheus> {
  const config = parse(await Deno.readTextFile(`${FOLDER}/scrape.yaml`));
  config.global = { scrape_interval: "1s", evaluation_interval: "1s" };
  const manifests = await kustomize(stage.plane, "deploy/overlays/with-agents");
  const pods = [
    discovered(manifests, "Deployment", targets.controller),
    ...(targets.agent ? [discovered(manifests, "DaemonSet", targets.agent)] : []),
    // Of somebody else, on a port where nothing listens.
    {
      targets: ["127.0.0.1:1"],
      labels: { __meta_kubernetes_pod_label_app_kubernetes_io_name: "web" },
    },
  ];
  for (const job of config.scrape_configs) {
    assert.deepEqual(job.kubernetes_sd_configs, [{ role: "pod" }]);
    delete job.kubernetes_sd_configs;
    job.static_configs = pods;
  }
  return await Prometheus.start({
    "prometheus.yaml": stringify(config),
    "rules.yaml": await Deno.readTextFile(`${FOLDER}/rules.yaml`),
  });
}

/** What Prometheus' discovery would say of a Pod of the shipped workload, had it the process' address. */
function discovered(manifests: readonly Manifest[], kind: string, { address }: Target) {
  const workload = manifests.find((manifest) => manifest.kind === kind);
  assert.ok(workload, kind);
  const { metadata, spec } = workload["spec"].template;
  const [{ name: port }] = spec.containers[0].ports;
  const labels = Object.entries<string>(metadata.labels).map(([label, value]) =>
    [`__meta_kubernetes_pod_label_${label.replaceAll(/[^a-zA-Z0-9]/g, "_")}`, value] as const
  );
  return {
    targets: [address],
    labels: {
      ...Object.fromEntries(labels),
      __meta_kubernetes_namespace: workload.metadata.namespace,
      __meta_kubernetes_pod_name: `${workload.metadata.name}-x`,
      __meta_kubernetes_pod_node_name: NODE,
      __meta_kubernetes_pod_container_port_name: port,
    },
  };
}

/** Of the rows whose title fits, with the variables as Grafana would fill them in. */
function dashboardQueries(fits: (rowTitle: string) => boolean): Map<string, string> {
  const { panels } = JSON.parse(Deno.readTextFileSync(`${FOLDER}/dashboard.json`));
  const queries = new Map<string, string>();
  let row = "";
  for (const { type, title, targets } of panels) {
    if (type === "row") row = title;
    for (const { refId, expr } of fits(row) ? targets ?? [] : []) {
      const filled = expr.replaceAll("$__rate_interval", RATE_INTERVAL)
        .replaceAll(/\$(namespace|node)\b/g, ".*");
      assert.doesNotMatch(filled, /\$/);
      queries.set(`${row}: ${title} ${refId}`, filled);
    }
  }
  assert.ok(queries.size > 10);
  return queries;
}

/** Goes on acting until each query has given a number at least once. */
async function assertDashboard(
  prometheus: Prometheus,
  queries: Map<string, string>,
  act: (round: number) => Promise<void>,
): Promise<void> {
  const open = new Map(queries);
  let round = 0;
  await eventually("every query has data", async () => {
    await act(round++);
    for (const [panel, expr] of open) {
      const samples = await prometheus.query(expr);
      if (samples.some(({ value }) => Number.isFinite(value))) open.delete(panel);
    }
    if (open.size === 0) return true;
    throw new Error([...open].map((entry) => entry.join(" = ")).join("\n"));
  }, { timeoutMs: 120_000, everyMs: 200 });
}

/**
 * Labels are those of the watched object, and of the target where a series has none of its own. Until a
 * scrape succeeds: after one that was late, series are absent.
 */
async function assertLabels(prometheus: Prometheus, namespace: string): Promise<void> {
  const labels = async (expr: string) =>
    (await prometheus.query(expr)).map(({ metric }) => metric).sort();
  const job = "podconfigmap-controller-metrics";
  await eventually("series have their labels", async () => {
    assert.deepEqual(await labels(`count by (namespace, job) (up{job="${job}"})`), [
      { job, namespace: "podconfigmap-system" },
    ]);
    assert.deepEqual(
      await labels(
        `max by (job, namespace, pod, node, pcmc_name) (podconfigmap_controller_active_configmaps{namespace="${namespace}"})`,
      ),
      [{ job, namespace, pod: "podconfigmap-controller-x", node: NODE, pcmc_name: "web" }],
    );
    return true;
  });
  assert.deepEqual(await labels(`{exported_namespace=~".+"}`), []);
}

/**
 * Prometheus can evaluate each rule; alerts about what the scene breaks are on their way, and no critical
 * one. For a moment after a scrape that was late it may look otherwise, but nothing critical ever fires.
 */
async function assertRules(prometheus: Prometheus, wanted: readonly string[]): Promise<void> {
  const isCritical = ({ labels }: RuleState) => labels?.severity === "critical";
  await eventually("the alerts are those of the scene", async () => {
    const rules = await prometheus.rules();
    assert.ok(rules.length > 20);
    assert.deepEqual(rules.filter(({ health }) => health !== "ok"), []);
    const raised = rules.filter(({ state }) => state === "pending" || state === "firing");
    const names = raised.map(({ name }) => name);
    for (const each of wanted) assert.ok(names.includes(each), `${each} is on its way`);
    assert.deepEqual(raised.filter(isCritical), []);
    return true;
  });
  const critical = 'ALERTS{alertstate="firing",severity="critical"}';
  assert.deepEqual(await prometheus.query(`count_over_time(${critical}[1h])`), []);
}
