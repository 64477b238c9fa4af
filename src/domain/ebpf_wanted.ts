/**
 * The programs that a Pod is to have, from the configs at work on it. Pure.
 *
 * System calls: the union of all names. Firewall: see `firewall_rules.ts`. Metrics of a kind of
 * program are exported when any config that wants it exports metrics, at the shortest of their intervals.
 */
import { parseGoDuration } from "../lib/duration.ts";
import { type EbpfAtWork, ebpfRevision } from "./ebpf_part.ts";
import {
  type FirewallSpec,
  PROBE_PORTS_MAX,
  SELF_ADDRESSES_MAX,
  SYSCALL_NUMBERS,
  type SyscallSpec,
} from "./ebpf_programs.ts";
import { directionRules, type L4Firewall, noRules } from "./firewall_rules.ts";
import type { NodePod } from "./node_pod.ts";
import type { SyscallTable } from "./syscall_table.ts";

export interface Wanted<Spec> {
  readonly spec: Spec;
  /** Names of the configs that want it. */
  readonly pcmcs: readonly string[];
  /** How often metrics are read; undefined: not exported. */
  readonly exportMs: number | undefined;
}

export interface WantedPrograms {
  /** Of all configs at work, those included that in the end want nothing. */
  readonly revision: string;
  /** Names of the configs at work. */
  readonly pcmcs: readonly string[];
  readonly firewall: Wanted<FirewallSpec> | undefined;
  readonly syscalls: Wanted<SyscallSpec> | undefined;
  /** Names that this architecture lacks; they are not counted. */
  readonly unknownSyscalls: readonly string[];
  /** More of the Pod's ports are probed than a firewall can exempt. */
  readonly tooManyProbePorts: boolean;
}

export interface WantedOptions {
  readonly table: SyscallTable;
  /** Processes are told apart. */
  readonly pids: boolean;
  /** Verdicts logged a second and Pod; 0: none. */
  readonly logPerSecond: number;
}

export function wantedPrograms(
  pod: NodePod,
  atWork: readonly EbpfAtWork[],
  options: WantedOptions,
): WantedPrograms {
  const firewalls = atWork.filter(({ config }) => config.l4Firewall?.enabled);
  const monitors = atWork.filter(({ config }) => config.syscallMonitoring?.enabled);
  const { spec: syscalls, unknown } = syscallSpec(monitors, options);
  return {
    revision: ebpfRevision(atWork),
    pcmcs: atWork.map(({ name }) => name),
    firewall: firewalls.length === 0
      ? undefined
      : wanted(firewallSpec(pod, firewalls, options), firewalls),
    syscalls: syscalls && wanted(syscalls, monitors),
    unknownSyscalls: unknown,
    tooManyProbePorts: firewalls.length > 0 && pod.probePorts.length > PROBE_PORTS_MAX,
  };
}

function wanted<Spec>(spec: Spec, by: readonly EbpfAtWork[]): Wanted<Spec> {
  const intervals = by.flatMap(({ config: { metricsExport } }) => {
    if (!metricsExport?.enabled) return [];
    const parsed = parseGoDuration(metricsExport.updateInterval);
    return "error" in parsed ? [] : [parsed.ms];
  });
  return {
    spec,
    pcmcs: by.map(({ name }) => name),
    exportMs: intervals.length === 0 ? undefined : Math.min(...intervals),
  };
}

function firewallSpec(
  pod: NodePod,
  by: readonly EbpfAtWork[],
  { logPerSecond }: WantedOptions,
): FirewallSpec {
  const configs = by.map(({ config }) => config.l4Firewall as L4Firewall);
  const ingress = directionRules(configs, "ingress");
  const egress = directionRules(configs, "egress");
  const [inbound, outbound] = [(ingress ?? noRules()).plane, (egress ?? noRules()).plane];
  return {
    planes: [inbound, inbound, outbound, outbound],
    ingress: ingress !== undefined,
    egress: egress !== undefined,
    hostNetwork: pod.hostNetwork,
    otherEgress: egress?.rest ?? "allow",
    probePorts: pod.probePorts.slice(0, PROBE_PORTS_MAX),
    selfAddresses: pod.addresses.slice(0, SELF_ADDRESSES_MAX),
    logPerSecond,
  };
}

/** Without names every number is counted, those of a newer kernel included. */
function syscallSpec(
  by: readonly EbpfAtWork[],
  { table, pids }: WantedOptions,
): { spec: SyscallSpec | undefined; unknown: string[] } {
  const monitors = by.flatMap(({ config }) => config.syscallMonitoring ?? []);
  const all = monitors.some(({ syscallNames = [] }) => syscallNames.length === 0);
  const numbers = new Set<number>(all ? Array(SYSCALL_NUMBERS).keys() : []);
  const unknown = new Set<string>();
  for (const name of monitors.flatMap(({ syscallNames = [] }) => syscallNames)) {
    const number = table.number(name);
    if (number === undefined) unknown.add(name);
    else numbers.add(number);
  }
  const spec = numbers.size === 0 ? undefined : {
    numbers: [...numbers].sort((one, other) => one - other),
    errors: monitors.some(({ errors }) => errors),
    latency: monitors.some(({ latency }) => latency),
    pids,
  };
  return { spec, unknown: [...unknown].sort() };
}
