/**
 * The Pod condition by which eBPF is reported, as far as all who write it say the same: its words, and the
 * patch that writes it. Pure.
 */
import { formatTime } from "../api/conditions.ts";
import { POD_CONDITION_EBPF } from "../api/well_known.ts";
import { formatReport } from "./ebpf_report.ts";
import type { PodCondition } from "./node_pod.ts";

/** Nobody runs programs on the Pod's node, and whoever says so looks after the whole cluster. */
export const NODE_UNSERVED = "NodeUnserved";

/** Nothing is wanted of a Pod that waits for the condition. `revision`: of no config. */
export function notRequired(revision: string): PodCondition {
  const text = "No PodConfigMapConfig asks for eBPF programs.";
  const message = formatReport({ revision, failed: [], text });
  return { status: "True", reason: "NotRequired", message };
}

/** Names no config as failed: that would be a failure, and not `unserved`. */
export function nodeUnserved(revision: string): PodCondition {
  const text = "No eBPF programs run on this node: only those of the leader's node are served.";
  const message = formatReport({ revision, failed: [], text });
  return { status: "False", reason: NODE_UNSERVED, message };
}

export function sameCondition(
  one: PodCondition | undefined,
  other: PodCondition | undefined,
): boolean {
  return one?.status === other?.status && one?.reason === other?.reason &&
    one?.message === other?.message;
}

/**
 * A strategic merge patch, which leaves the kubelet's conditions alone; the uid keeps it from another Pod of
 * that name. `next` undefined removes the condition. `lastTransitionTime` moves only with the status.
 * `nowMs`: wall clock.
 */
export function conditionPatch(
  pod: { readonly uid: string; readonly condition: Pick<PodCondition, "status"> | undefined },
  next: PodCondition | undefined,
  nowMs: number,
) {
  const type = POD_CONDITION_EBPF;
  const moved = next !== undefined && next.status !== pod.condition?.status;
  const condition = next === undefined ? { $patch: "delete", type } : {
    type,
    ...next,
    ...(moved ? { lastTransitionTime: formatTime(nowMs) } : {}),
  };
  return {
    contentType: "application/strategic-merge-patch+json",
    body: { metadata: { uid: pod.uid }, status: { conditions: [condition] } },
  };
}
