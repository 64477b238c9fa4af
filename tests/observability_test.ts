/** `deploy/observability/`: rules that promtool accepts, with a runbook each, and no metric that does not exist. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { promtool } from "./support/prometheus.ts";
import { testNeeding } from "./support/requirements.ts";

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const url = (path: string) => new URL(`../${path}`, import.meta.url);
const read = (path: string) => Deno.readTextFileSync(url(path));
const RULES = "deploy/observability/rules.yaml";
const RULES_TEST = "deploy/observability/rules_test.yaml";
const PREFIX = "podconfigmap_controller_";

const rules: readonly Rule[] = parse(read(RULES)).groups
  .flatMap(({ rules }: { rules: readonly Rule[] }) => rules);
const alerts = rules.filter(({ alert }) => alert !== undefined);
const { panels } = JSON.parse(read("deploy/observability/dashboard.json"));

/** Metric -> its type. */
const documented = new Map(
  [...read("docs/metrics.md").matchAll(/^\| `(\w+)` \| (\w+) \|/gm)]
    .map(([, name = "", type = ""]) => [name, type]),
);

/** Keys of generated ConfigMaps. */
const DATA_KEYS = /^ebpf_(status|enabled)$/;

/** Metrics of ours that the text names and docs/metrics.md does not. */
function unknownMetrics(text: string): string[] {
  const names = text.match(/\b(podconfigmap_controller|ebpf)_\w+/g) ?? [];
  const full = names.filter((name) => !DATA_KEYS.test(name)).map((name) =>
    name.startsWith(PREFIX) ? name : PREFIX + name
  );
  return [...new Set(full)].filter((name) => {
    const [, stem = ""] = /^(\w+)_(bucket|count|sum)$/.exec(name) ?? [];
    return !documented.has(name) && documented.get(stem) !== "histogram";
  });
}

testNeeding({
  needs: ["promtool"],
  name: "promtool accepts the rules, and their unit tests pass",
  async fn() {
    const checked = await promtool(["check", "rules", url(RULES).pathname]);
    assert.equal(checked.code, 0, checked.complaints);
    const tested = await promtool(["test", "rules", url(RULES_TEST).pathname]);
    assert.equal(tested.code, 0, tested.complaints);
  },
});

Deno.test("every alert has a unit test that sees it fire", () => {
  const seen = new Set<string>();
  for (const { alert_rule_test = [] } of parse(read(RULES_TEST)).tests) {
    for (const { alertname, exp_alerts } of alert_rule_test) {
      if (exp_alerts.length > 0) seen.add(alertname);
    }
  }
  assert.deepEqual([...seen].sort(), alerts.map(({ alert }) => alert).sort());
});

Deno.test("every alert has a section in docs/operations.md, and every such section an alert", () => {
  const sections = [...read("docs/operations.md").matchAll(/^### (PodConfigMap\w+)$/gm)]
    .map(([, name]) => name);
  assert.deepEqual(sections, alerts.map(({ alert }) => alert));
  for (const { alert = "", annotations = {} } of alerts) {
    assert.equal(annotations["runbook"], `docs/operations.md#${alert.toLowerCase()}`);
    assert.ok(annotations["summary"] && annotations["description"], alert);
  }
});

Deno.test("every metric that rules, dashboard and operations name is documented", () => {
  const recorded = new Set(rules.flatMap(({ record }) => record ?? []));
  assert.deepEqual(unknownMetrics(read("docs/operations.md")), []);
  assert.deepEqual(unknownMetrics(read("docs/EBPF_FEATURES.md")), []);
  const expressions = [
    ...rules.map(({ expr }) => expr),
    ...panels.flatMap(({ targets = [] }) => targets).map(({ expr }: Rule) => expr),
  ];
  for (const expr of expressions) {
    assert.deepEqual(unknownMetrics(expr), []);
    for (const name of expr.match(/\bpodconfigmap:[\w:]+/g) ?? []) {
      assert.ok(recorded.has(name), name);
    }
  }
});

Deno.test("the operator's ServiceMonitor gives the labels that scrape.yaml gives", () => {
  const monitor = parse(read("deploy/components/service-monitor/service-monitor.yaml"));
  const scraped = parse(read("deploy/observability/scrape.yaml")).scrape_configs;
  const services = ["deploy/base/service.yaml", "deploy/agent/service.yaml"]
    .map((path) => parse(read(path)));
  const [endpoint] = monitor.spec.endpoints;
  // The operator calls a job by its Service.
  const jobs = services.map(({ metadata }) => metadata.name);
  assert.deepEqual(scraped.map((job: { job_name: string }) => job.job_name), jobs);
  assert.ok(endpoint.honorLabels);
  assert.ok(scraped.every((job: { honor_labels: boolean }) => job.honor_labels));
  for (const { metadata, spec } of services) {
    for (const [label, value] of Object.entries(monitor.spec.selector.matchLabels)) {
      assert.equal(metadata.labels[label], value);
    }
    assert.equal(spec.ports[0].name, endpoint.port);
  }
  const { sourceLabels, targetLabel } = endpoint.relabelings[0];
  for (const { relabel_configs } of scraped) {
    const same = { source_labels: sourceLabels, target_label: targetLabel };
    assert.deepEqual(relabel_configs.at(-1), same);
  }
});

Deno.test("a metric that does not exist would be missed", () => {
  assert.deepEqual(unknownMetrics("rate(podconfigmap_controller_no_such_total[5m])"), [
    "podconfigmap_controller_no_such_total",
  ]);
  assert.equal(unknownMetrics("podconfigmap_controller_queue_depth_bucket").length, 1);
});

Deno.test("every metric is on the dashboard or in a rule", () => {
  const text = read(RULES) + JSON.stringify(panels);
  const unused = [...documented.keys()].filter((name) => !text.includes(name));
  assert.deepEqual(unused, []);
});

Deno.test("the dashboard's panels have ids of their own and do not overlap", () => {
  const ids = panels.map(({ id }: { id: number }) => id);
  assert.equal(new Set(ids).size, ids.length);
  const taken = new Map<string, string>();
  for (const { title, gridPos: { x, y, w, h } } of panels) {
    assert.ok(x + w <= 24, title);
    for (let row = y; row < y + h; row++) {
      for (let column = x; column < x + w; column++) {
        assert.equal(taken.get(`${row} ${column}`), undefined, `${title} covers another panel`);
        taken.set(`${row} ${column}`, title);
      }
    }
  }
});

Deno.test("the alert about memory knows the heap's limit that is compiled in", () => {
  const [, limit] = /--max-old-space-size=(\d+)/.exec(read("scripts/build.ts")) ?? [];
  const rule = alerts.find(({ alert }) => alert === "PodConfigMapMemoryHigh");
  assert.match(rule?.expr ?? "", new RegExp(`> 0\\.9 \\* ${limit} \\* 1024 \\* 1024$`));
});
