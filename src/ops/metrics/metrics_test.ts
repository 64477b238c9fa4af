import assert from "node:assert/strict";
import { METRIC_PREFIX, METRICS, metricTables } from "./definitions.ts";
import { Metrics, type ProcessUsage } from "./metrics.ts";

function create(
  usage: () => ProcessUsage = () => ({ cpuSeconds: 1, residentBytes: 2, heapBytes: 3 }),
) {
  return new Metrics({
    build: { version: "1.2.3", commit: "abc", deno: "2.9.6" },
    startTimeSeconds: 100,
    processUsage: usage,
    eventLoopLagMax: () => 0.25,
  });
}

/** Series without the prefix -> value. Rejects what is not Prometheus' text format. */
async function scrape(metrics: Metrics): Promise<Map<string, number>> {
  const text = await metrics.scrape();
  assert.ok(text.endsWith("\n"));
  const typed = new Map<string, string>();
  const series = new Map<string, number>();
  for (const line of text.split("\n").filter(Boolean)) {
    const type = /^# TYPE (\w+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) typed.set(type[1] as string, type[2] as string);
    if (line.startsWith("#")) {
      assert.match(line, /^# (HELP|TYPE) [a-z_]+ \S/);
      continue;
    }
    const sample =
      /^([a-z_]+)((?:\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)+\})?) (-?\d[\d.e+-]*|\+Inf|NaN)$/
        .exec(line);
    assert.ok(sample !== null, line);
    const [, name, labels, value] = sample as unknown as [string, string, string, string];
    assert.ok(name.startsWith(METRIC_PREFIX), line);
    assert.ok(typed.has(name) || typed.has(name.replace(/_(bucket|sum|count)$/, "")), line);
    const id = name.slice(METRIC_PREFIX.length) + labels;
    assert.ok(!series.has(id), `twice: ${id}`);
    series.set(id, Number(value));
  }
  return series;
}

Deno.test("every defined metric is registered with its help and type, and nothing else is", async () => {
  const text = await create().scrape();
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]);
  const defined = Object.entries(METRICS).map(([name, { type }]) => [METRIC_PREFIX + name, type]);
  assert.deepEqual(types.sort(), defined.sort());
  for (const [name, type] of defined) {
    assert.equal(name?.endsWith("_total"), type === "counter", name);
    assert.ok(metricTables().includes(`| \`${name}\` | ${type} |`));
  }
});

Deno.test("the original's metrics keep their names and labels", () => {
  const labels = Object.fromEntries(
    Object.entries(METRICS).map(([name, metric]) => [name, Object.keys(metric.labels)]),
  );
  const original = {
    configmap_operations_total: ["operation", "namespace", "result"],
    reconciliation_duration_seconds: ["resource_type", "namespace"],
    reconciliation_errors_total: ["resource_type", "namespace", "error_type"],
    queue_depth: ["queue_name"],
    pcmc_status: ["name", "namespace"],
    active_configmaps: ["namespace", "pcmc_name"],
  };
  for (const [name, expected] of Object.entries(original)) assert.deepEqual(labels[name], expected);
});

Deno.test("each event reaches its series", async () => {
  const metrics = create();
  metrics.configMapOperation("create", "ns", "success");
  metrics.reconciled({
    controller: "pod",
    key: "ns/a",
    result: "retry",
    errorType: "conflict",
    seconds: 0.02,
  });
  metrics.reconciled({
    controller: "pod",
    key: "ns/a",
    result: "done",
    errorType: "",
    seconds: 0.02,
  });
  metrics.turnedSlow("pod", "ns/a");
  metrics.added("pod");
  metrics.depth("pod", 4);
  metrics.waited("pod", 0.1);
  metrics.worked("pod", 0.1);
  metrics.retried("pod");
  metrics.failed("lock");
  metrics.restart("pods", "closed");
  metrics.relist("pods");
  metrics.observe({ verb: "create", resource: "configmaps", code: "2xx", seconds: 0.004 });
  metrics.eventToWrite(0.004);
  const series = await scrape(metrics);
  const expected: Record<string, number> = {
    'configmap_operations_total{operation="create",namespace="ns",result="success"}': 1,
    'reconciliation_duration_seconds_count{resource_type="pod",namespace="ns"}': 2,
    'reconciliation_errors_total{resource_type="pod",namespace="ns",error_type="conflict"}': 1,
    'reconciliations_total{resource_type="pod",result="done"}': 1,
    'slow_retries_total{resource_type="pod"}': 1,
    'workqueue_adds_total{queue_name="pod"}': 1,
    'queue_depth{queue_name="pod"}': 4,
    'workqueue_queue_duration_seconds_count{queue_name="pod"}': 1,
    'workqueue_work_duration_seconds_sum{queue_name="pod"}': 0.1,
    'workqueue_retries_total{queue_name="pod"}': 1,
    'leader_election_failures_total{name="lock"}': 1,
    'watch_restarts_total{resource="pods",reason="closed"}': 1,
    'watch_relists_total{resource="pods"}': 1,
    'api_request_duration_seconds_bucket{le="0.005",verb="create",resource="configmaps",code="2xx"}':
      1,
    'api_request_duration_seconds_bucket{le="0.0025",verb="create",resource="configmaps",code="2xx"}':
      0,
    event_to_write_seconds_count: 1,
    event_loop_lag_max_seconds: 0.25,
    process_start_time_seconds: 100,
    'build_info{version="1.2.3",commit="abc",deno="2.9.6"}': 1,
  };
  for (const [id, value] of Object.entries(expected)) assert.equal(series.get(id), value, id);
});

Deno.test("labels of closed sets take no other value", async () => {
  const metrics = create();
  const errorType = 'configmaps "x" is forbidden: long text';
  metrics.reconciled({ controller: "pod", key: "ns/a", result: "retry", errorType, seconds: 1 });
  metrics.observe({ verb: "get", resource: "pods", code: "socket hang up", seconds: 1 });
  const text = await metrics.scrape();
  assert.match(text, /error_type="other"/);
  assert.match(text, /code="other"/);
  assert.doesNotMatch(text, /forbidden: long|hang up/);
});

Deno.test("series of a deleted PodConfigMapConfig disappear, others stay", async () => {
  const metrics = create();
  for (const name of ["a", "b"]) {
    metrics.pcmcStatus("ns", name, name === "a");
    metrics.activeConfigMaps("ns", name, 7);
  }
  let series = await scrape(metrics);
  assert.equal(series.get('pcmc_status{name="a",namespace="ns"}'), 1);
  assert.equal(series.get('pcmc_status{name="b",namespace="ns"}'), 0);
  metrics.forgetPcmc("ns", "a");
  series = await scrape(metrics);
  const left = [...series.keys()].filter((id) => /^(pcmc_status|active_configmaps)/.test(id));
  assert.deepEqual(left.sort(), [
    'active_configmaps{namespace="ns",pcmc_name="b"}',
    'pcmc_status{name="b",namespace="ns"}',
  ]);
});

Deno.test("a replica that lost the lease shows no state of objects", async () => {
  const metrics = create();
  metrics.leading("lock", true);
  metrics.pcmcStatus("ns", "a", true);
  metrics.activeConfigMaps("ns", "a", 1);
  metrics.depth("pod", 3);
  metrics.configMapOperation("create", "ns", "success");
  assert.equal((await scrape(metrics)).get('leader_election_master_status{name="lock"}'), 1);
  metrics.leading("lock", false);
  const series = await scrape(metrics);
  assert.equal(series.get('leader_election_master_status{name="lock"}'), 0);
  const stale = /^(pcmc_status|active_configmaps|queue_depth)/;
  assert.ok(![...series.keys()].some((id) => stale.test(id)));
  assert.ok([...series.keys()].some((id) => id.startsWith("configmap_operations_total")));
});

Deno.test("queues are read at each scrape until disposed", async () => {
  const metrics = create();
  let seconds = 1;
  const handle = metrics.observeQueue({
    name: "pod",
    unfinished: () => ({ seconds, longestSeconds: 1 }),
  });
  metrics.depth("pod", 2);
  const id = 'workqueue_unfinished_work_seconds{queue_name="pod"}';
  assert.equal((await scrape(metrics)).get(id), 1);
  seconds = 5;
  assert.equal((await scrape(metrics)).get(id), 5);
  handle[Symbol.dispose]();
  const series = await scrape(metrics);
  assert.equal(series.get(id), undefined);
  assert.equal(series.get('queue_depth{queue_name="pod"}'), undefined);
});

Deno.test("CPU time never falls, whatever the source says", async () => {
  const readings = [2, 3, 1, 4];
  const metrics = create(() => ({
    cpuSeconds: readings.shift() ?? 0,
    residentBytes: 1,
    heapBytes: 1,
  }));
  const seen: (number | undefined)[] = [];
  for (let i = 0; i < 4; i++) seen.push((await scrape(metrics)).get("process_cpu_seconds_total"));
  assert.deepEqual(seen, [2, 3, 3, 4]);
});

Deno.test("label values are escaped", async () => {
  const metrics = create();
  metrics.pcmcStatus("ns", 'a"b\\c\nd', true);
  assert.ok((await scrape(metrics)).has('pcmc_status{name="a\\"b\\\\c\\nd",namespace="ns"}'));
});

Deno.test("the series of a namespace go when it holds nothing any more, and may come again", async () => {
  const metrics = create();
  const work = () => {
    for (const namespace of ["gone", "here"]) {
      metrics.configMapOperation("create", namespace, "success");
      metrics.configMapOperation("delete", namespace, "error");
      for (const controller of ["pod", "pcmc"]) {
        const key = `${namespace}/x`;
        metrics.reconciled({ controller, key, result: "retry", errorType: "quota", seconds: 1 });
      }
    }
  };
  const of = async (namespace: string) =>
    [...(await scrape(metrics)).keys()].filter((id) => id.includes(`namespace="${namespace}"`));
  work();
  const before = await of("gone");
  assert.ok(before.length > 0);
  metrics.keepNamespaces((namespace) => namespace === "here");
  assert.deepEqual(await of("gone"), []);
  assert.equal((await of("here")).length, before.length);
  work();
  assert.deepEqual(await of("gone"), before);
});
