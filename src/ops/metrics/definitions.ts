/**
 * All metrics, as data: names, types, labels and their closed sets. The registry and docs/metrics.md
 * are made from it. Names are given without the common prefix.
 */

import { EBPF_METRICS } from "./ebpf_definitions.ts";

export const METRIC_PREFIX = "podconfigmap_controller_";

export interface MetricDefinition {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Label -> its values: a closed set, or what kind of name it is. */
  readonly labels: Readonly<Record<string, readonly string[] | string>>;
  /** `leader`: only the replica that holds the lease has series. `agent`: eBPF agents alone. */
  readonly by: "leader" | "all" | "agent";
  /** Upper bounds, in the unit of the name. */
  readonly buckets?: readonly number[];
}

/** Why work on an object failed. What is not listed counts as `other`. */
export const ERROR_TYPES = [
  ...["aborted", "already_exists", "bad_request", "conflict", "connection", "forbidden", "gone"],
  ...["internal", "invalid", "leadership_lost", "namespace_terminating", "not_found", "other"],
  ...["quota", "rejected", "server", "throttled", "timeout", "too_large", "unauthorized"],
] as const;

export const RESULTS = ["done", "after", "retry", "terminal", "dropped"] as const;

const FAST_BUCKETS = [
  ...[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
  ...[1, 2.5, 5, 10, 30],
] as const;
/** `node_pod`: Pods of the node, beside the controller's own Pods in the role `run`. */
const RESOURCE_TYPES = ["pod", "pcmc", "node_pod"];
const QUEUES = RESOURCE_TYPES;
const NAMESPACE = "the watched object's namespace";

export const METRICS = {
  configmap_operations_total: {
    type: "counter",
    help: "Writes of ConfigMaps",
    labels: {
      operation: ["create", "update", "delete"],
      namespace: NAMESPACE,
      result: ["success", "error"],
    },
    by: "leader",
  },
  reconciliation_duration_seconds: {
    type: "histogram",
    help: "Time to bring one object to the wanted state, waiting for the API server included",
    labels: { resource_type: RESOURCE_TYPES, namespace: NAMESPACE },
    by: "leader",
    buckets: FAST_BUCKETS,
  },
  reconciliation_errors_total: {
    type: "counter",
    help: "Reconciliations that failed",
    labels: { resource_type: RESOURCE_TYPES, namespace: NAMESPACE, error_type: ERROR_TYPES },
    by: "leader",
  },
  reconciliations_total: {
    type: "counter",
    help: "Reconciliations by what came of them",
    labels: { resource_type: RESOURCE_TYPES, result: RESULTS },
    by: "leader",
  },
  slow_retries_total: {
    type: "counter",
    help: "Objects that used up their fast retries and are now retried at a slow pace",
    labels: { resource_type: RESOURCE_TYPES },
    by: "leader",
  },
  pcmc_status: {
    type: "gauge",
    help: "1 when the PodConfigMapConfig is Ready, else 0",
    labels: { name: "the PodConfigMapConfig's name", namespace: NAMESPACE },
    by: "leader",
  },
  active_configmaps: {
    type: "gauge",
    help: "ConfigMaps in place for a PodConfigMapConfig",
    labels: { namespace: NAMESPACE, pcmc_name: "the PodConfigMapConfig's name" },
    by: "leader",
  },
  event_to_write_seconds: {
    type: "histogram",
    help: "From the first event that made a Pod's ConfigMaps stale to the write that mended them",
    labels: {},
    by: "leader",
    buckets: FAST_BUCKETS,
  },
  queue_depth: {
    type: "gauge",
    help: "Objects that wait to be worked on",
    labels: { queue_name: QUEUES },
    by: "all",
  },
  workqueue_adds_total: {
    type: "counter",
    help: "Objects added to the queue; one that already waits is not counted again",
    labels: { queue_name: QUEUES },
    by: "all",
  },
  workqueue_retries_total: {
    type: "counter",
    help: "Objects added to the queue again after a failure",
    labels: { queue_name: QUEUES },
    by: "all",
  },
  workqueue_queue_duration_seconds: {
    type: "histogram",
    help: "Time an object waits in the queue",
    labels: { queue_name: QUEUES },
    by: "all",
    buckets: FAST_BUCKETS,
  },
  workqueue_work_duration_seconds: {
    type: "histogram",
    help: "Time from taking an object out of the queue until its work is over",
    labels: { queue_name: QUEUES },
    by: "all",
    buckets: FAST_BUCKETS,
  },
  workqueue_unfinished_work_seconds: {
    type: "gauge",
    help: "Sum of the time that objects now being worked on have been so",
    labels: { queue_name: QUEUES },
    by: "all",
  },
  workqueue_longest_running_processor_seconds: {
    type: "gauge",
    help: "Time that the object longest worked on has been so",
    labels: { queue_name: QUEUES },
    by: "all",
  },
  leader_election_master_status: {
    type: "gauge",
    help: "1 while this replica holds the lease, else 0",
    labels: { name: "the Lease's name" },
    by: "all",
  },
  leader_election_failures_total: {
    type: "counter",
    help: "Attempts to acquire or renew the lease that the API server did not answer as hoped",
    labels: { name: "the Lease's name" },
    by: "all",
  },
  watch_restarts_total: {
    type: "counter",
    help: "Watches that ended and were opened anew",
    labels: {
      resource: "plural name of a watched type",
      reason: "closed set of the watch machine",
    },
    by: "all",
  },
  watch_relists_total: {
    type: "counter",
    help: "Times a collection was listed again because the watch could not go on",
    labels: { resource: "plural name of a watched type" },
    by: "all",
  },
  api_request_duration_seconds: {
    type: "histogram",
    help: "Time of a request to the API server, watches aside",
    labels: {
      verb: ["get", "create", "update", "patch", "delete"],
      resource: "plural name, with /subresource",
      code: "2xx, an HTTP status, aborted, or a kind of connection failure",
    },
    by: "all",
    buckets: FAST_BUCKETS,
  },
  event_loop_lag_max_seconds: {
    type: "gauge",
    help: "Longest time the event loop was held up in the last minute",
    labels: {},
    by: "all",
  },
  process_cpu_seconds_total: {
    type: "counter",
    help: "User and system CPU time of the process",
    labels: {},
    by: "all",
  },
  process_resident_memory_bytes: {
    type: "gauge",
    help: "Resident memory of the process",
    labels: {},
    by: "all",
  },
  process_heap_bytes: {
    type: "gauge",
    help: "Memory in use in the JavaScript heap",
    labels: {},
    by: "all",
  },
  process_start_time_seconds: {
    type: "gauge",
    help: "Start of the process, in seconds since the epoch",
    labels: {},
    by: "all",
  },
  build_info: {
    type: "gauge",
    help: "Always 1; the labels say what is running",
    labels: { version: "of the program", commit: "of its source", deno: "version of Deno" },
    by: "all",
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export type MetricName = keyof typeof METRICS;

const SERIES_ON = {
  leader: "the leader",
  all: "every replica",
  agent: "the node's agent",
} as const;

/** docs/metrics.md without its title. */
export function metricTables(): string {
  const lines = ["| Metric | Type | Labels | Series on | Meaning |", "|---|---|---|---|---|"];
  for (const [name, metric] of Object.entries<MetricDefinition>({ ...METRICS, ...EBPF_METRICS })) {
    const labels = Object.entries(metric.labels).map(([label, values]) =>
      `\`${label}\`: ${typeof values === "string" ? values : values.join(", ")}`
    );
    const by = SERIES_ON[metric.by];
    lines.push(
      `| \`${METRIC_PREFIX}${name}\` | ${metric.type} | ${
        labels.join("<br>")
      } | ${by} | ${metric.help} |`,
    );
  }
  return lines.join("\n") + "\n";
}
