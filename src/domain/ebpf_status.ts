/** How far the eBPF programs of one Pod are in place, from what its node's agent reports. Pure. */
import { AGENT_LABELS } from "../api/well_known.ts";
import { parseReport } from "./ebpf_report.ts";
import type { PodFacts } from "./model.ts";
import { NODE_UNSERVED } from "./pod_condition.ts";

/**
 * - `pending`: the Pod has no node yet, or its agent has not reported on the configs as they are now
 * - `applied`: the agent reports the programs in place
 * - `failed`: the agent reports that it could not
 * - `unserved`: the Pod's node has no ready agent
 */
export type EbpfStatus = "pending" | "applied" | "failed" | "unserved";

export interface EbpfExpectation {
  /** The PodConfigMapConfig that is asked about. */
  readonly pcmcName: string;
  /** `ebpfRevision` of all configs at work on the Pod. */
  readonly revision: string;
  /** Whether the Pod's node has a ready agent. */
  readonly served: boolean;
}

/**
 * An agent that failed on a Pod is not ready, so that its report of failure stands whether it is served
 * or not. A report on other configs, or on these in another generation, says nothing.
 */
export function ebpfStatus(pod: PodFacts, expected: EbpfExpectation): EbpfStatus {
  const { pcmcName, revision, served } = expected;
  const report = pod.ebpf && parseReport(pod.ebpf.message);
  const current = report?.revision === revision ? report : undefined;
  const failed = current !== undefined && pod.ebpf?.status === "False" &&
    (current.failed === "all" || current.failed.includes(pcmcName));
  if (failed) return "failed";
  if (pod.nodeName === "") return "pending";
  if (!served) return "unserved";
  // What was said while nobody served the node says nothing of those who do now.
  if (current === undefined || pod.ebpf?.reason === NODE_UNSERVED) return "pending";
  return pod.ebpf?.status === "True" || pod.ebpf?.status === "False" ? "applied" : "pending";
}

/**
 * The node that this Pod serves, if it is an eBPF agent that is ready. `namespace`: where agents are; empty: anywhere.
 */
export function servedNode(pod: PodFacts, namespace: string): string | undefined {
  if (!pod.ready || pod.terminating || pod.nodeName === "") return undefined;
  if (namespace !== "" && pod.namespace !== namespace) return undefined;
  const isAgent = Object.entries(AGENT_LABELS).every(([key, value]) => pod.labels[key] === value);
  return isAgent ? pod.nodeName : undefined;
}
