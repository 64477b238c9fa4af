/** What a Pod is to have, by the configs of its namespace and the agent's options. Pure. */
import { ebpfAtWork } from "../domain/ebpf_part.ts";
import { type WantedPrograms, wantedPrograms } from "../domain/ebpf_wanted.ts";
import type { NodePod } from "../domain/node_pod.ts";
import { syscallTable } from "../domain/syscall_table.ts";
import type { NodePcmc } from "./node_caches.ts";
import type { AgentSettings } from "./settings.ts";

export interface Decision {
  readonly wanted: WantedPrograms;
  /** Names of the configs that stand in the way of knowing it. */
  readonly hold: readonly string[];
  /** Something is asked for, and ebpfConfig has no effect in this namespace. */
  readonly excluded: boolean;
}

/** @param sources of the Pod's namespace. */
export function decide(
  pod: NodePod,
  sources: readonly NodePcmc[],
  settings: AgentSettings,
): Decision {
  const { ebpfNamespaces } = settings;
  const allowed = ebpfNamespaces.length === 0 || ebpfNamespaces.includes(pod.namespace);
  const atWork = ebpfAtWork(sources, pod.labels);
  const wanted = wantedPrograms(pod, atWork, {
    table: syscallTable(settings.architecture),
    pids: settings.pids,
    logPerSecond: settings.verdictLogPerSecond,
  });
  const hold = sources.filter(({ ebpf }) => ebpf.kind === "invalid").map(({ name }) => name);
  if (allowed) return { wanted, hold, excluded: false };
  const nothing = { ...wanted, firewall: undefined, syscalls: undefined };
  return { wanted: nothing, hold: [], excluded: atWork.length > 0 };
}
