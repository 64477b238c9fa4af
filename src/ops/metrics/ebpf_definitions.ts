/** Metrics of the eBPF agent, as data; see `definitions.ts`. Names are given without the common prefix. */
import type { MetricDefinition } from "./definitions.ts";

/** Why programs are not in place: the reasons of the Pod condition, in snake case. */
export const EBPF_ERROR_TYPES = [
  ...["another_agent", "attach_conflict", "attach_failed", "bpffs_unavailable", "canary_failed"],
  ...["capacity_exceeded", "cgroup_not_found", "config_invalid", "internal_error"],
  ...["library_missing", "load_failed", "namespace_excluded", "not_permitted"],
  ...["too_many_probe_ports", "unsupported_cgroups", "unsupported_kernel"],
] as const;

const POD = { namespace: "the Pod's namespace", pod_name: "the Pod's name" } as const;
const PROGRAM_TYPES = ["syscall_counter", "l4_firewall"] as const;
const SYSCALL = "name of the system call";
const MAPS = ["flows", "cgroups", "rows", "pids", "latencies", "node_addresses"] as const;

export const EBPF_METRICS = {
  ebpf_syscall_count_total: {
    type: "counter",
    help: "System calls of the Pod, since its counting began",
    labels: {
      ...POD,
      syscall: SYSCALL,
      pid:
        "process, where --syscall-pids is on; else, and for calls of no process in particular, empty",
    },
    by: "agent",
  },
  ebpf_syscall_errors_total: {
    type: "counter",
    help: "System calls of the Pod that failed, where a config asks for errors",
    labels: { ...POD, syscall: SYSCALL },
    by: "agent",
  },
  ebpf_syscall_duration_seconds: {
    type: "histogram",
    help: "Duration of system calls of the Pod, where a config asks for latency",
    labels: { ...POD, syscall: SYSCALL },
    by: "agent",
  },
  ebpf_l4_firewall_total: {
    type: "counter",
    help: "New connections that the Pod's firewall decided on; tcp and udp: all of that protocol",
    labels: { ...POD, stat_type: ["allowed", "blocked", "audited", "tcp", "udp"] },
    by: "agent",
  },
  ebpf_l4_firewall_verdicts_total: {
    type: "counter",
    help: "The same connections by direction, protocol, family and verdict",
    labels: {
      ...POD,
      direction: ["ingress", "egress"],
      protocol: ["tcp", "udp", "other"],
      family: ["ipv4", "ipv6"],
      verdict: ["allowed", "blocked", "audited"],
    },
    by: "agent",
  },
  ebpf_attached_programs: {
    type: "gauge",
    help:
      "1 while the Pod's programs of that type are in place, 0 while they are wanted and are not",
    labels: { ...POD, program_type: PROGRAM_TYPES },
    by: "agent",
  },
  ebpf_program_errors_total: {
    type: "counter",
    help: "Attempts to bring the Pod's programs to what is wanted that failed",
    labels: { ...POD, program_type: PROGRAM_TYPES, error_type: EBPF_ERROR_TYPES },
    by: "agent",
  },
  ebpf_failing_pods: {
    type: "gauge",
    help: "Pods of the node whose programs are not as wanted",
    labels: { error_type: EBPF_ERROR_TYPES },
    by: "agent",
  },
  ebpf_map_entries: {
    type: "gauge",
    help: "Entries in use of a map of the node",
    labels: { map: MAPS },
    by: "agent",
  },
  ebpf_map_capacity: {
    type: "gauge",
    help: "Entries that a map of the node can hold",
    labels: { map: MAPS },
    by: "agent",
  },
  ebpf_flow_failures_total: {
    type: "counter",
    help: "UDP flows that could not be remembered; their replies are judged as new datagrams",
    labels: {},
    by: "agent",
  },
  ebpf_verdicts_not_logged_total: {
    type: "counter",
    help: "Blocked and audited connections that the limit of the verdict log left out",
    labels: {},
    by: "agent",
  },
  ebpf_probe_exemptions_total: {
    type: "counter",
    help: "Connections of the kubelet that only the exemption for probes let in",
    labels: {},
    by: "agent",
  },
  ebpf_compat_syscalls_total: {
    type: "counter",
    help: "System calls of 32-bit programs that no name can be given to",
    labels: {},
    by: "agent",
  },
  ebpf_canary_runs_total: {
    type: "counter",
    help: "Self-tests of the firewall; unable: the test could not be made",
    labels: { result: ["ok", "failed", "unable"] },
    by: "agent",
  },
  ebpf_canary_ok: {
    type: "gauge",
    help:
      "0 when the last self-test that could be made saw a blocked connection come through, else 1",
    labels: {},
    by: "agent",
  },
  ebpf_program_run_seconds_total: {
    type: "counter",
    help: "Time that programs ran, where the kernel measures it (sysctl kernel.bpf_stats_enabled)",
    labels: { program_type: PROGRAM_TYPES },
    by: "agent",
  },
  ebpf_program_runs_total: {
    type: "counter",
    help: "Times that programs ran, where the kernel measures it",
    labels: { program_type: PROGRAM_TYPES },
    by: "agent",
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export type EbpfMetricName = keyof typeof EBPF_METRICS;
