import assert from "node:assert/strict";
import { Registry } from "prom-client";
import { METRIC_PREFIX, metricTables } from "./definitions.ts";
import { EBPF_METRICS } from "./ebpf_definitions.ts";
import { EbpfMetrics } from "./ebpf_metrics.ts";

const POD = { namespace: "ns", name: "a" };

function create() {
  const registry = new Registry();
  const metrics = new EbpfMetrics(registry);
  const series = async () =>
    new Map(
      (await registry.metrics()).split("\n").filter((line) => line && !line.startsWith("#"))
        .map((line) => {
          const at = line.lastIndexOf(" ");
          return [line.slice(METRIC_PREFIX.length, at), Number(line.slice(at + 1))];
        }),
    );
  return { registry, metrics, series };
}

Deno.test("every eBPF metric is registered with its type and stands in the tables", async () => {
  const text = await create().registry.metrics();
  for (const [name, { type }] of Object.entries(EBPF_METRICS)) {
    assert.ok(text.includes(`# TYPE ${METRIC_PREFIX}${name} ${type}\n`), name);
    assert.ok(metricTables().includes(`| \`${METRIC_PREFIX}${name}\` | ${type} |`), name);
  }
});

Deno.test("verdicts add up to connections: by verdict, and all of TCP and of UDP", async () => {
  const { metrics, series } = create();
  const base = { direction: "ingress", family: "ipv4" };
  metrics.verdicts(POD, [
    { ...base, protocol: "tcp", verdict: "allowed", count: 3 },
    { ...base, protocol: "tcp", verdict: "blocked", count: 2 },
    { ...base, protocol: "udp", verdict: "blocked", count: 5 },
    { ...base, protocol: "other", verdict: "audited", count: 7 },
  ]);
  const found = await series();
  const of = (stat: string) =>
    found.get(`ebpf_l4_firewall_total{namespace="ns",pod_name="a",stat_type="${stat}"}`);
  assert.deepEqual(["allowed", "blocked", "audited", "tcp", "udp"].map(of), [3, 7, 7, 5, 5]);
});

Deno.test("series go with the Pod's programs, all of that type and no others", async () => {
  const { metrics, series } = create();
  const before = await series();
  for (const pod of [POD, { namespace: "ns", name: "b" }]) {
    metrics.attached(pod, "syscall_counter", 1);
    metrics.attached(pod, "l4_firewall", 0);
    metrics.programError(pod, "l4_firewall", "AttachConflict");
    metrics.syscalls(pod, [{ syscall: "read", count: 1 }, { syscall: "read", pid: 7, count: 2 }]);
    metrics.syscallErrors(pod, [{ syscall: "read", count: 1 }]);
    metrics.latencies(pod, [{ syscall: "read", buckets: [0, 1], sumSeconds: 1 }]);
  }
  const both = await series();
  const error =
    `ebpf_program_errors_total{namespace="ns",pod_name="a",program_type="l4_firewall",` +
    `error_type="attach_conflict"}`;
  assert.equal(both.get(error), 1);
  metrics.forget(POD, "syscall_counter");
  const left = [...(await series()).keys()].filter((name) => name.includes(`pod_name="a"`));
  assert.deepEqual(left.map((name) => name.slice(0, name.indexOf("{"))), [
    "ebpf_attached_programs",
    "ebpf_program_errors_total",
  ]);
  metrics.forget(POD, "l4_firewall");
  metrics.forget({ namespace: "ns", name: "b" }, "l4_firewall");
  metrics.forget({ namespace: "ns", name: "b" }, "syscall_counter");
  assert.deepEqual(await series(), before);
});

Deno.test("durations come out as a histogram: cumulative buckets, sum and count", async () => {
  const { metrics, series } = create();
  const buckets = Array<number>(32).fill(0);
  buckets[3] = 4;
  buckets[11] = 2;
  buckets[31] = 1;
  metrics.latencies(POD, [{ syscall: "read", buckets, sumSeconds: 0.5 }]);
  metrics.latencies(POD, [{ syscall: "read", buckets, sumSeconds: 0.25 }]);
  const found = await series();
  const name = "ebpf_syscall_duration_seconds";
  const of = (le: string) => [...found].find(([key]) => key.includes(`le="${le}"`))?.[1];
  assert.deepEqual(["0.000001024", "0.000004096", "4.294967296", "+Inf"].map(of), [8, 12, 14, 14]);
  const labels = `{namespace="ns",pod_name="a",syscall="read"}`;
  assert.equal(found.get(`${name}_sum${labels}`), 0.75);
  assert.equal(found.get(`${name}_count${labels}`), 14);
});

Deno.test("failing Pods are told by reason, and reasons that pass go back to none", async () => {
  const { metrics, series } = create();
  metrics.failing(new Map([["LoadFailed", 2]]));
  assert.equal((await series()).get(`ebpf_failing_pods{error_type="load_failed"}`), 2);
  metrics.failing(new Map());
  assert.equal((await series()).get(`ebpf_failing_pods{error_type="load_failed"}`), 0);
});

Deno.test("a process that works for its node no longer tells no state of it; counters stay", async () => {
  const { metrics, series } = create();
  const before = await series();
  metrics.failing(new Map([["LoadFailed", 2]]));
  metrics.maps([{ map: "rows", entries: 3, capacity: 256 }]);
  metrics.canary("failed");
  assert.equal((await series()).get("ebpf_canary_ok"), 0);
  metrics.stopped();
  const counted = `ebpf_canary_runs_total{result="failed"}`;
  const after = await series();
  assert.equal(after.get(counted), 1);
  after.delete(counted);
  assert.deepEqual(after, before);
});
