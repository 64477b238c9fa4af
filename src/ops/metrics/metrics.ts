/**
 * The program's metrics, over prom-client with a registry of its own.
 *
 * One method per thing that happens; the methods fit the metric ports of the runtime and of the
 * controllers by their shape. Guarantees: a label whose values are a closed set has no other value
 * (what is unknown counts as `other`); series that describe a PodConfigMapConfig go with it, those of an
 * empty namespace some time after, and gauges that only the leader may have go with the lease; counters
 * never fall. No method throws.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import {
  ERROR_TYPES,
  METRIC_PREFIX,
  type MetricDefinition,
  type MetricName,
  METRICS,
} from "./definitions.ts";
import { EbpfMetrics } from "./ebpf_metrics.ts";

export interface BuildInfo {
  readonly version: string;
  readonly commit: string;
  readonly deno: string;
}

/** What the process used so far; read at each scrape. */
export interface ProcessUsage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
}

export interface MetricsOptions {
  readonly build: BuildInfo;
  readonly startTimeSeconds: number;
  readonly processUsage: () => ProcessUsage;
  /** Longest hold-up of the event loop in the last minute, in seconds. */
  readonly eventLoopLagMax: () => number;
}

/** A queue that can say how long its keys have been worked on; a `WorkQueue` is one. */
export interface ObservableQueue {
  readonly name: string;
  unfinished(): { readonly seconds: number; readonly longestSeconds: number };
}

/** Statuses and connection failures; anything else is not ours to label. */
const REQUEST_CODE = /^([1-5]xx|[1-5]\d\d|aborted|connect|timeout|interrupted|tls|credentials)$/;

export class Metrics {
  readonly #registry = new Registry();
  readonly #queues = new Set<ObservableQueue>();
  /** Namespaces that series of the leader carry as a label. */
  readonly #namespaces = new Set<string>();
  readonly #options: MetricsOptions;

  readonly #operations = this.#counter("configmap_operations_total");
  readonly #durations = this.#histogram("reconciliation_duration_seconds");
  readonly #errors = this.#counter("reconciliation_errors_total");
  readonly #results = this.#counter("reconciliations_total");
  readonly #slow = this.#counter("slow_retries_total");
  readonly #pcmcStatus = this.#gauge("pcmc_status");
  readonly #active = this.#gauge("active_configmaps");
  readonly #eventToWrite = this.#histogram("event_to_write_seconds");
  readonly #depth = this.#gauge("queue_depth");
  readonly #adds = this.#counter("workqueue_adds_total");
  readonly #retries = this.#counter("workqueue_retries_total");
  readonly #waits = this.#histogram("workqueue_queue_duration_seconds");
  readonly #works = this.#histogram("workqueue_work_duration_seconds");
  readonly #unfinished = this.#gauge("workqueue_unfinished_work_seconds");
  readonly #longest = this.#gauge("workqueue_longest_running_processor_seconds");
  readonly #leading = this.#gauge("leader_election_master_status");
  readonly #electionFailures = this.#counter("leader_election_failures_total");
  readonly #restarts = this.#counter("watch_restarts_total");
  readonly #relists = this.#counter("watch_relists_total");
  readonly #requests = this.#histogram("api_request_duration_seconds");
  readonly #lag = this.#gauge("event_loop_lag_max_seconds");
  readonly #cpu = this.#counter("process_cpu_seconds_total");
  readonly #resident = this.#gauge("process_resident_memory_bytes");
  readonly #heap = this.#gauge("process_heap_bytes");
  #cpuSeconds = 0;

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#gauge("process_start_time_seconds").set(options.startTimeSeconds);
    const { version, commit, deno } = options.build;
    this.#gauge("build_info").set({ version, commit, deno }, 1);
  }

  /** Media type of {@link scrape}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All series in Prometheus' text format. */
  scrape(): Promise<string> {
    const { cpuSeconds, residentBytes, heapBytes } = this.#options.processUsage();
    this.#cpu.inc(Math.max(0, cpuSeconds - this.#cpuSeconds));
    this.#cpuSeconds = Math.max(cpuSeconds, this.#cpuSeconds);
    this.#resident.set(residentBytes);
    this.#heap.set(heapBytes);
    this.#lag.set(this.#options.eventLoopLagMax());
    for (const queue of this.#queues) {
      const { seconds, longestSeconds } = queue.unfinished();
      this.#unfinished.set({ queue_name: queue.name }, seconds);
      this.#longest.set({ queue_name: queue.name }, longestSeconds);
    }
    return this.#registry.metrics();
  }

  /** Adds the agent's metrics; once. */
  ebpf(): EbpfMetrics {
    return new EbpfMetrics(this.#registry);
  }

  // Of ConfigMaps and PodConfigMapConfigs.

  configMapOperation(
    operation: "create" | "update" | "delete",
    namespace: string,
    result: "success" | "error",
  ): void {
    this.#namespaces.add(namespace);
    this.#operations.inc({ operation, namespace, result });
  }

  pcmcStatus(namespace: string, name: string, ready: boolean): void {
    this.#pcmcStatus.set({ name, namespace }, ready ? 1 : 0);
  }

  activeConfigMaps(namespace: string, pcmcName: string, count: number): void {
    this.#active.set({ namespace, pcmc_name: pcmcName }, count);
  }

  forgetPcmc(namespace: string, name: string): void {
    this.#pcmcStatus.remove({ name, namespace });
    this.#active.remove({ namespace, pcmc_name: name });
  }

  /** Removes the series of the namespaces that hold nothing any more. */
  keepNamespaces(holds: (namespace: string) => boolean): void {
    for (const namespace of this.#namespaces) {
      if (!holds(namespace)) this.#forgetNamespace(namespace);
    }
  }

  #forgetNamespace(namespace: string): void {
    this.#namespaces.delete(namespace);
    for (const operation of METRICS.configmap_operations_total.labels.operation) {
      for (const result of METRICS.configmap_operations_total.labels.result) {
        this.#operations.remove({ operation, namespace, result });
      }
    }
    for (const resource_type of METRICS.reconciliation_errors_total.labels.resource_type) {
      this.#durations.remove({ resource_type, namespace });
      for (const error_type of ERROR_TYPES) {
        this.#errors.remove({ resource_type, namespace, error_type });
      }
    }
  }

  eventToWrite(seconds: number): void {
    this.#eventToWrite.observe(seconds);
  }

  // Of controllers and their queues.

  reconciled(r: {
    controller: string;
    key: string;
    result: string;
    /** Empty unless it failed. */
    errorType: string;
    seconds: number;
  }): void {
    const namespace = r.key.includes("/") ? r.key.slice(0, r.key.indexOf("/")) : "";
    this.#namespaces.add(namespace);
    this.#durations.observe({ resource_type: r.controller, namespace }, r.seconds);
    this.#results.inc({ resource_type: r.controller, result: r.result });
    if (r.errorType === "") return;
    const known = (ERROR_TYPES as readonly string[]).includes(r.errorType);
    const error_type = known ? r.errorType : "other";
    this.#errors.inc({ resource_type: r.controller, namespace, error_type });
  }

  turnedSlow(controller: string, _key: string): void {
    this.#slow.inc({ resource_type: controller });
  }

  added(queue: string): void {
    this.#adds.inc({ queue_name: queue });
  }

  depth(queue: string, keys: number): void {
    this.#depth.set({ queue_name: queue }, keys);
  }

  waited(queue: string, seconds: number): void {
    this.#waits.observe({ queue_name: queue }, seconds);
  }

  worked(queue: string, seconds: number): void {
    this.#works.observe({ queue_name: queue }, seconds);
  }

  retried(queue: string): void {
    this.#retries.inc({ queue_name: queue });
  }

  /** Reads the queue at each scrape until disposed; then its gauges are gone. */
  observeQueue(queue: ObservableQueue): Disposable {
    this.#queues.add(queue);
    return {
      [Symbol.dispose]: () => {
        this.#queues.delete(queue);
        for (const gauge of [this.#unfinished, this.#longest, this.#depth]) {
          gauge.remove({ queue_name: queue.name });
        }
      },
    };
  }

  // Of the lease.

  leading(lease: string, leading: boolean): void {
    this.#leading.set({ name: lease }, leading ? 1 : 0);
    if (leading) return;
    // What a standby last knew as a leader is not what is.
    this.#pcmcStatus.reset();
    this.#active.reset();
    this.#depth.reset();
  }

  failed(lease: string): void {
    this.#electionFailures.inc({ name: lease });
  }

  // Of the API server.

  restart(resource: string, reason: string): void {
    this.#restarts.inc({ resource, reason });
  }

  relist(resource: string): void {
    this.#relists.inc({ resource });
  }

  observe(r: { verb: string; resource: string; code: string; seconds: number }): void {
    const code = REQUEST_CODE.test(r.code) ? r.code : "other";
    this.#requests.observe({ verb: r.verb, resource: r.resource, code }, r.seconds);
  }

  #counter(name: MetricName): Counter<string> {
    return new Counter(this.#configuration(name));
  }

  #gauge(name: MetricName): Gauge<string> {
    return new Gauge(this.#configuration(name));
  }

  #histogram(name: MetricName): Histogram<string> {
    const { buckets = [] }: MetricDefinition = METRICS[name];
    return new Histogram({ ...this.#configuration(name), buckets: [...buckets] });
  }

  #configuration(name: MetricName) {
    const { help, labels } = METRICS[name];
    return {
      name: METRIC_PREFIX + name,
      help: `${help}.`,
      labelNames: Object.keys(labels),
      registers: [this.#registry],
    };
  }
}
