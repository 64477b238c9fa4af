/** How far the eBPF programs of one Pod are in place, from what its node's agent reports. Pure. */
import type { PodFacts } from "./model.ts";

/**
 * - `pending`: the Pod has no node yet, or its agent has not reported
 * - `applied`: the agent reports the programs in place
 * - `failed`: the agent reports that it could not
 * - `unserved`: the Pod's node has no ready agent
 */
export type EbpfStatus = "pending" | "applied" | "failed" | "unserved";

/**
 * `served`: whether the Pod's node has a ready agent. An agent that failed on a Pod is not ready, so
 * that its report of failure stands whether it is served or not.
 */
export function ebpfStatus(pod: PodFacts, served: boolean): EbpfStatus {
  if (pod.ebpf?.status === "False") return "failed";
  if (pod.nodeName === "") return "pending";
  if (!served) return "unserved";
  return pod.ebpf?.status === "True" ? "applied" : "pending";
}
