/**
 * Says so of Pods that nobody serves with eBPF, in their condition: where programs run on the leader's
 * node alone, the leader speaks for all other nodes. Its own node's Pods are its agent's.
 *
 * Guarantees: one writer, as the leader's writes are fenced; a Pod whose condition is as it should be costs
 * no request; someone who keeps undoing what is written costs a write every two seconds.
 */
import type { Clock } from "../lib/clock.ts";
import { ebpfAtWork, ebpfRevision } from "../domain/ebpf_part.ts";
import type { PodFacts } from "../domain/model.ts";
import type { PodCondition } from "../domain/node_pod.ts";
import {
  conditionPatch,
  nodeUnserved,
  notRequired,
  sameCondition,
} from "../domain/pod_condition.ts";
import { projectPod } from "../domain/projections.ts";
import type { ApiClient } from "../runtime/api_client.ts";
import { Pace } from "../runtime/pace.ts";
import type { Caches } from "./caches.ts";
import type { PairResult } from "./pod_result.ts";
import { PODS } from "./resources.ts";

const WRITE_BURST = 10;
const WRITE_INTERVAL_MS = 2_000;

export interface UnservedPodsOptions {
  readonly api: ApiClient;
  readonly caches: Pick<Caches, "pods" | "pcmcs">;
  readonly clock: Clock;
  /** The node that is served. */
  readonly nodeName: string;
}

export class UnservedPods {
  readonly #options: UnservedPodsOptions;
  readonly #pace: Pace;

  constructor(options: UnservedPodsOptions) {
    this.#options = options;
    const { clock } = options;
    this.#pace = new Pace({ clock, burst: WRITE_BURST, intervalMs: WRITE_INTERVAL_MS });
  }

  /** @throws what the API server answers. */
  async report(pod: PodFacts | undefined, signal: AbortSignal): Promise<PairResult> {
    const { api, caches, clock, nodeName } = this.#options;
    const nothing: PairResult = { state: "in-place", wrote: false };
    if (pod === undefined || pod.nodeName === "" || pod.nodeName === nodeName) return nothing;
    const condition = this.#condition(pod);
    if (pod.terminating || sameCondition(pod.ebpf, condition)) return nothing;
    const recheckMs = this.#pace.take(pod.uid);
    if (recheckMs > 0) return { ...nothing, recheckMs };
    const at = { namespace: pod.namespace, name: pod.name, subresource: "status" };
    const patch = conditionPatch({ uid: pod.uid, condition: pod.ebpf }, condition, clock.now());
    caches.pods.observeWrite(projectPod(await api.patch(PODS, at, patch, signal)));
    return nothing;
  }

  /** Undefined: none. */
  #condition(pod: PodFacts): PodCondition | undefined {
    const { caches } = this.#options;
    const atWork = ebpfAtWork(caches.pcmcs.byIndex("namespace", pod.namespace), pod.labels);
    const revision = ebpfRevision(atWork);
    const finished = pod.phase === "Succeeded" || pod.phase === "Failed";
    if (atWork.length > 0 && !finished) return nodeUnserved(revision);
    return pod.gated ? notRequired(revision) : undefined;
  }
}
