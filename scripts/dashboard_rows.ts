/**
 * What the Grafana dashboard shows: rows, panels and queries as a table. `dashboard.ts` lays it out.
 *
 * Queries use three variables of Grafana: $__rate_interval, $namespace and $node.
 */

export interface Query {
  readonly expr: string;
  /** Grafana's pattern for the name of a series; `{{label}}` is its value. */
  readonly legend: string;
}

export interface Panel {
  readonly title: string;
  readonly description?: string;
  readonly kind?: "stat" | "timeseries" | "table";
  /** Grafana's name of it. */
  readonly unit?: string;
  /** Of 24; default: a third. */
  readonly width?: number;
  readonly queries: readonly Query[];
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

const P = "podconfigmap_controller_";

const stat = (title: string, expr: string, more: Partial<Panel> = {}): Panel => ({
  ...{ title, kind: "stat", width: 4, queries: [{ expr, legend: "" }] },
  ...more,
});
const graph = (
  title: string,
  queries: Readonly<Record<string, string>>,
  more: Partial<Panel> = {},
): Panel => ({
  title,
  queries: Object.entries(queries).map(([legend, expr]) => ({ expr, legend })),
  ...more,
});
const rate = (metric: string, by: string, where = "") =>
  `sum by (${by}) (rate(${P}${metric}${where}[$__rate_interval]))`;
const quantile = (q: number, metric: string, by = "", where = "") =>
  `histogram_quantile(${q}, ${rate(`${metric}_bucket`, by === "" ? "le" : `le, ${by}`, where)})`;

const WATCHED = '{namespace=~"$namespace"}';
const ON_NODE = '{node=~"$node"}';
const POD = '{namespace=~"$namespace", node=~"$node"}';

const BPF_STATS =
  "Where the sysctl kernel.bpf_stats_enabled is 1 and the agent has the capability SYS_ADMIN.";

const STATE: Row = {
  title: "State",
  panels: [
    stat("Leader", `sum(${P}leader_election_master_status)`, {
      description: "1: one replica works. 0: nobody does. 2: for a moment at a takeover.",
    }),
    stat("Replicas", `sum(up{job="podconfigmap-controller-metrics"})`),
    stat("PodConfigMapConfigs not Ready", `count(${P}pcmc_status${WATCHED} == 0) or vector(0)`),
    stat("ConfigMaps in place", `sum(${P}active_configmaps${WATCHED})`),
    stat("Longest lag, p99", quantile(0.99, "event_to_write_seconds"), {
      ...{ unit: "s", description: "From the event to the ConfigMap's write." },
    }),
    {
      title: "Version",
      kind: "table",
      width: 4,
      queries: [{ expr: `count by (version, commit) (${P}build_info)`, legend: "" }],
    },
    {
      title: "PodConfigMapConfigs",
      description: "1: Ready.",
      kind: "table",
      width: 12,
      queries: [{ expr: `min by (namespace, name) (${P}pcmc_status${WATCHED})`, legend: "" }],
    },
    {
      title: "ConfigMaps by PodConfigMapConfig",
      kind: "table",
      width: 12,
      queries: [{
        expr: `topk(50, sum by (namespace, pcmc_name) (${P}active_configmaps${WATCHED}))`,
        legend: "",
      }],
    },
  ],
};

const WORK: Row = {
  title: "Work",
  panels: [
    graph("From a Pod's event to its ConfigMap's write", {
      p50: quantile(0.5, "event_to_write_seconds"),
      p90: quantile(0.9, "event_to_write_seconds"),
      p99: quantile(0.99, "event_to_write_seconds"),
    }, { unit: "s" }),
    graph("Writes of ConfigMaps", {
      "{{operation}} {{result}}": rate("configmap_operations_total", "operation, result", WATCHED),
    }, { unit: "wps" }),
    graph("Reconciliations by what came of them", {
      "{{resource_type}} {{result}}": rate("reconciliations_total", "resource_type, result"),
    }, { unit: "ops" }),
    graph("Duration of a reconciliation, p99", {
      "{{resource_type}}": quantile(
        0.99,
        "reconciliation_duration_seconds",
        "resource_type",
        WATCHED,
      ),
    }, { unit: "s" }),
    graph("Reconciliations that failed", {
      "{{namespace}} {{error_type}}": rate(
        "reconciliation_errors_total",
        "namespace, error_type",
        WATCHED,
      ),
    }, { unit: "ops" }),
    graph("Objects that turned to the slow pace of retries", {
      "{{resource_type}}": rate("slow_retries_total", "resource_type"),
    }, { unit: "ops" }),
  ],
};

const QUEUES: Row = {
  title: "Queues",
  panels: [
    graph("Objects that wait", {
      "{{pod}} {{queue_name}}": `sum by (pod, queue_name) (${P}queue_depth)`,
    }),
    graph("Wait and work, p99", {
      "wait {{queue_name}}": quantile(0.99, "workqueue_queue_duration_seconds", "queue_name"),
      "work {{queue_name}}": quantile(0.99, "workqueue_work_duration_seconds", "queue_name"),
    }, { unit: "s" }),
    graph("Added, and added again after a failure", {
      "added {{queue_name}}": rate("workqueue_adds_total", "queue_name"),
      "again {{queue_name}}": rate("workqueue_retries_total", "queue_name"),
    }, { unit: "ops" }),
    graph("Now worked on, for how long", {
      "longest {{queue_name}}":
        `max by (queue_name) (${P}workqueue_longest_running_processor_seconds)`,
      "sum {{queue_name}}": `sum by (queue_name) (${P}workqueue_unfinished_work_seconds)`,
    }, { unit: "s" }),
  ],
};

const API_SERVER: Row = {
  title: "API server",
  panels: [
    graph("Requests", {
      "{{verb}} {{resource}} {{code}}": rate(
        "api_request_duration_seconds_count",
        "verb, resource, code",
      ),
    }, { unit: "reqps" }),
    graph("Time of a request, p99", {
      "{{verb}} {{resource}}": quantile(0.99, "api_request_duration_seconds", "verb, resource"),
    }, { unit: "s" }),
    graph("Watches that ended, by reason", {
      "{{resource}} {{reason}}": rate("watch_restarts_total", "resource, reason"),
    }, { unit: "ops" }),
    graph("Collections listed anew", {
      "{{pod}} {{resource}}": rate("watch_relists_total", "pod, resource"),
    }, { unit: "ops" }),
    graph("Who leads", { "{{pod}}": `max by (pod) (${P}leader_election_master_status)` }),
    graph("Lease attempts that failed", {
      "{{pod}}": rate("leader_election_failures_total", "pod"),
    }, { unit: "ops" }),
  ],
};

const PROCESS: Row = {
  title: "Processes, agents included",
  panels: [
    graph("CPU", { "{{pod}}": rate("process_cpu_seconds_total", "pod") }, { unit: "percentunit" }),
    graph("Memory", {
      "{{pod}} resident": `max by (pod) (${P}process_resident_memory_bytes)`,
      "{{pod}} heap": `max by (pod) (${P}process_heap_bytes)`,
    }, { unit: "bytes" }),
    graph("Event loop held up, longest in a minute", {
      "{{pod}}": `max by (pod) (${P}event_loop_lag_max_seconds)`,
    }, { unit: "s" }),
    graph("Time since the start", { "{{pod}}": `time() - ${P}process_start_time_seconds` }, {
      unit: "s",
    }),
  ],
};

const EBPF_STATE: Row = {
  title: "eBPF: state of the nodes",
  panels: [
    stat("Pods with programs in place", `count(${P}ebpf_attached_programs${POD} == 1)`),
    stat("Pods failing", `sum(${P}ebpf_failing_pods${ON_NODE})`),
    stat(
      "Nodes whose firewall let something through",
      `count(${P}ebpf_canary_ok == 0) or vector(0)`,
    ),
    stat("Agents", `sum(up{job="podconfigmap-agent-metrics"})`),
    graph("Pods that are not as wanted, by reason", {
      "{{node}} {{error_type}}": `sum by (node, error_type) (${P}ebpf_failing_pods${ON_NODE})`,
    }, { width: 8 }),
    graph("Attempts that failed", {
      "{{namespace}}/{{pod_name}} {{error_type}}": rate(
        "ebpf_program_errors_total",
        "namespace, pod_name, error_type",
        POD,
      ),
    }, { unit: "ops" }),
    graph("Maps, filled", {
      "{{node}} {{map}}": `${P}ebpf_map_entries${ON_NODE} / ${P}ebpf_map_capacity${ON_NODE}`,
    }, { unit: "percentunit" }),
    graph("Self-tests of the firewall", {
      "{{node}} {{result}}": rate("ebpf_canary_runs_total", "node, result", ON_NODE),
    }, { unit: "ops" }),
    graph("CPU that programs take", {
      "{{program_type}}": rate("ebpf_program_run_seconds_total", "program_type", ON_NODE),
    }, { unit: "percentunit", description: BPF_STATS }),
    graph("Runs of programs", {
      "{{program_type}}": rate("ebpf_program_runs_total", "program_type", ON_NODE),
    }, { unit: "ops", description: BPF_STATS }),
  ],
};

const FIREWALL: Row = {
  title: "eBPF: firewall",
  panels: [
    graph("Connections by verdict", {
      "{{direction}} {{protocol}} {{verdict}}": rate(
        "ebpf_l4_firewall_verdicts_total",
        "direction, protocol, verdict",
        POD,
      ),
    }, { unit: "cps" }),
    graph("Blocked and audited, ten Pods with the most", {
      "{{namespace}}/{{pod_name}} {{stat_type}}": `topk(10, ${
        rate(
          "ebpf_l4_firewall_total",
          "namespace, pod_name, stat_type",
          '{namespace=~"$namespace", node=~"$node", stat_type=~"blocked|audited"}',
        )
      })`,
    }, { unit: "cps" }),
    graph("Exemptions and losses", {
      "let in as a probe": rate("ebpf_probe_exemptions_total", "node", ON_NODE),
      "flow not remembered": rate("ebpf_flow_failures_total", "node", ON_NODE),
      "verdict not logged": rate("ebpf_verdicts_not_logged_total", "node", ON_NODE),
    }, { unit: "ops" }),
  ],
};

const SYSCALLS: Row = {
  title: "eBPF: system calls",
  panels: [
    graph("Calls, ten Pods with the most", {
      "{{namespace}}/{{pod_name}}": `topk(10, ${
        rate("ebpf_syscall_count_total", "namespace, pod_name", POD)
      })`,
    }, { unit: "ops" }),
    graph("Calls, ten names with the most", {
      "{{syscall}}": `topk(10, ${rate("ebpf_syscall_count_total", "syscall", POD)})`,
    }, { unit: "ops" }),
    graph("Calls that failed, ten with the most", {
      "{{namespace}}/{{pod_name}} {{syscall}}": `topk(10, ${
        rate("ebpf_syscall_errors_total", "namespace, pod_name, syscall", POD)
      })`,
    }, { unit: "ops" }),
    graph("Duration, p99", {
      "{{syscall}}": quantile(0.99, "ebpf_syscall_duration_seconds", "syscall", POD),
    }, { unit: "s" }),
    graph("32-bit calls without a name", {
      "{{node}}": rate("ebpf_compat_syscalls_total", "node", ON_NODE),
    }, { unit: "ops" }),
  ],
};

export const ROWS: readonly Row[] = [
  STATE,
  WORK,
  QUEUES,
  API_SERVER,
  PROCESS,
  EBPF_STATE,
  FIREWALL,
  SYSCALLS,
];
