/**
 * The eBPF agent's metrics, on the program's registry. Its methods fit the agent's port by their shape.
 *
 * Guarantees: labels of closed sets have no other value; series of a Pod go with its programs, all of
 * them; counters never fall while their series is there. No method throws.
 */
import { Counter, Gauge, type Registry } from "prom-client";
import { METRIC_PREFIX, type MetricDefinition } from "./definitions.ts";
import { EBPF_ERROR_TYPES, EBPF_METRICS, type EbpfMetricName } from "./ebpf_definitions.ts";
import { LogHistogram } from "./log_histogram.ts";

interface PodName {
  readonly namespace: string;
  readonly name: string;
}

type ProgramType = "syscall_counter" | "l4_firewall";
type Labels = Record<string, string>;

interface Removable {
  remove(labels: Labels): void;
}

interface SyscallDelta {
  readonly syscall: string;
  readonly pid?: number;
  readonly count: number;
}

interface LatencyDelta {
  readonly syscall: string;
  readonly buckets: readonly number[];
  readonly sumSeconds: number;
}

interface VerdictDelta {
  readonly direction: string;
  readonly protocol: string;
  readonly family: string;
  readonly verdict: string;
  readonly count: number;
}

export class EbpfMetrics {
  readonly #registry: Registry;
  /** By Pod and type of program: the series there are. */
  readonly #series = new Map<string, Map<Removable, Map<string, Labels>>>();
  readonly #calls: Counter;
  readonly #errors: Counter;
  readonly #latencies: LogHistogram;
  readonly #connections: Counter;
  readonly #verdicts: Counter;
  readonly #attached: Gauge;
  readonly #programErrors: Counter;
  readonly #failing: Gauge;
  readonly #entries: Gauge;
  readonly #capacity: Gauge;
  readonly #plain: Readonly<Record<"flows" | "notLogged" | "probes" | "compat", Counter>>;
  readonly #canaries: Counter;
  readonly #canaryOk: Gauge;
  readonly #runSeconds: Counter;
  readonly #runs: Counter;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#calls = this.#counter("ebpf_syscall_count_total");
    this.#errors = this.#counter("ebpf_syscall_errors_total");
    this.#latencies = new LogHistogram(this.#configuration("ebpf_syscall_duration_seconds"));
    registry.registerMetric(this.#latencies.metric);
    this.#connections = this.#counter("ebpf_l4_firewall_total");
    this.#verdicts = this.#counter("ebpf_l4_firewall_verdicts_total");
    this.#attached = this.#gauge("ebpf_attached_programs");
    this.#programErrors = this.#counter("ebpf_program_errors_total");
    this.#failing = this.#gauge("ebpf_failing_pods");
    this.#entries = this.#gauge("ebpf_map_entries");
    this.#capacity = this.#gauge("ebpf_map_capacity");
    this.#plain = {
      flows: this.#counter("ebpf_flow_failures_total"),
      notLogged: this.#counter("ebpf_verdicts_not_logged_total"),
      probes: this.#counter("ebpf_probe_exemptions_total"),
      compat: this.#counter("ebpf_compat_syscalls_total"),
    };
    this.#canaries = this.#counter("ebpf_canary_runs_total");
    this.#canaryOk = this.#gauge("ebpf_canary_ok");
    this.#canaryOk.set(1);
    this.#runSeconds = this.#counter("ebpf_program_run_seconds_total");
    this.#runs = this.#counter("ebpf_program_runs_total");
  }

  attached(pod: PodName, type: ProgramType, count: number): void {
    const labels = this.#labels(pod, type, this.#attached, { program_type: type });
    this.#attached.set(labels, count);
  }

  programError(pod: PodName, type: ProgramType, reason: string): void {
    const more = { program_type: type, error_type: errorType(reason) };
    this.#programErrors.inc(this.#labels(pod, type, this.#programErrors, more));
  }

  syscalls(pod: PodName, deltas: readonly SyscallDelta[]): void {
    for (const { syscall, pid, count } of deltas) {
      const more = { syscall, pid: pid === undefined ? "" : String(pid) };
      this.#calls.inc(this.#labels(pod, "syscall_counter", this.#calls, more), count);
    }
  }

  syscallErrors(pod: PodName, deltas: readonly SyscallDelta[]): void {
    for (const { syscall, count } of deltas) {
      this.#errors.inc(this.#labels(pod, "syscall_counter", this.#errors, { syscall }), count);
    }
  }

  latencies(pod: PodName, deltas: readonly LatencyDelta[]): void {
    for (const { syscall, buckets, sumSeconds } of deltas) {
      const labels = this.#labels(pod, "syscall_counter", this.#latencies, { syscall });
      this.#latencies.add(labels, buckets, sumSeconds);
    }
  }

  verdicts(pod: PodName, deltas: readonly VerdictDelta[]): void {
    for (const { direction, protocol, family, verdict, count } of deltas) {
      const more = { direction, protocol, family, verdict };
      this.#verdicts.inc(this.#labels(pod, "l4_firewall", this.#verdicts, more), count);
      for (const stat_type of protocol === "other" ? [verdict] : [verdict, protocol]) {
        const labels = this.#labels(pod, "l4_firewall", this.#connections, { stat_type });
        this.#connections.inc(labels, count);
      }
    }
  }

  forget(pod: PodName, type: ProgramType): void {
    const key = seriesKey(pod, type);
    for (const [metric, all] of this.#series.get(key) ?? []) {
      for (const labels of all.values()) metric.remove(labels);
    }
    this.#series.delete(key);
  }

  failing(pods: ReadonlyMap<string, number>): void {
    const counts = new Map([...pods].map(([reason, count]) => [errorType(reason), count]));
    for (const error_type of EBPF_ERROR_TYPES) {
      this.#failing.set({ error_type }, counts.get(error_type) ?? 0);
    }
  }

  maps(usage: readonly { map: string; entries: number; capacity: number }[]): void {
    for (const { map, entries, capacity } of usage) {
      this.#entries.set({ map }, entries);
      this.#capacity.set({ map }, capacity);
    }
  }

  canary(result: "ok" | "failed" | "unable"): void {
    this.#canaries.inc({ result });
    if (result !== "unable") this.#canaryOk.set(result === "ok" ? 1 : 0);
  }

  programRuns(program_type: ProgramType, seconds: number, runs: number): void {
    this.#runSeconds.inc({ program_type }, seconds);
    this.#runs.inc({ program_type }, runs);
  }

  flowFailures(count: number): void {
    this.#plain.flows.inc(count);
  }

  verdictsNotLogged(count: number): void {
    this.#plain.notLogged.inc(count);
  }

  probeExemptions(count: number): void {
    this.#plain.probes.inc(count);
  }

  compatCalls(count: number): void {
    this.#plain.compat.inc(count);
  }

  /** What a process last knew of its node is not what is. */
  stopped(): void {
    for (const gauge of [this.#failing, this.#entries, this.#capacity]) gauge.reset();
    this.#canaryOk.set(1);
  }

  /** The labels of one series of a Pod, which is noted so that it goes with the Pod. */
  #labels(
    { namespace, name }: PodName,
    type: ProgramType,
    metric: Removable,
    more: Labels,
  ): Labels {
    const labels = { namespace, pod_name: name, ...more };
    const key = seriesKey({ namespace, name }, type);
    const series = this.#series.get(key) ?? new Map<Removable, Map<string, Labels>>();
    this.#series.set(key, series);
    const all = series.get(metric) ?? new Map<string, Labels>();
    series.set(metric, all);
    all.set(Object.values(more).join(), labels);
    return labels;
  }

  #counter(name: EbpfMetricName): Counter {
    return new Counter({ ...this.#configuration(name), registers: [this.#registry] });
  }

  #gauge(name: EbpfMetricName): Gauge {
    return new Gauge({ ...this.#configuration(name), registers: [this.#registry] });
  }

  #configuration(name: EbpfMetricName) {
    const { help, labels }: MetricDefinition = EBPF_METRICS[name];
    return { name: METRIC_PREFIX + name, help: `${help}.`, labelNames: Object.keys(labels) };
  }
}

function seriesKey({ namespace, name }: PodName, type: ProgramType): string {
  return `${type} ${namespace}/${name}`;
}

/** `AttachConflict` -> `attach_conflict`; what is not known is our own mistake. */
function errorType(reason: string): string {
  const snake = reason.replace(/(?<!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
  return (EBPF_ERROR_TYPES as readonly string[]).includes(snake) ? snake : "internal_error";
}
