/**
 * Makes the ConfigMaps of one Pod as the PodConfigMapConfigs of its namespace want them.
 *
 * Level-triggered: it takes a Pod's key, reads the caches, plans (`domain/plan_pod.ts`) and applies.
 * Guarantees: nothing foreign is written or deleted; what goes because its PCMC or Pod is gone goes
 * only after a live read has confirmed that, so that a stale cache deletes nothing; a world that is
 * as wanted costs no request; someone who keeps undoing what is written here, or a Pod that changes
 * all the time, costs a write every two seconds.
 */
import { unreachable } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { ObservedConfigMap } from "../domain/model.ts";
import { type PairPlan, planPod, type PodPlan, type Removal } from "../domain/plan_pod.ts";
import type { PcmcView } from "../domain/projections.ts";
import { KubeApiError } from "../runtime/ports/errors.ts";
import { Pace } from "../runtime/pace.ts";
import { objectKey } from "../runtime/resource.ts";
import { classify } from "../runtime/retry.ts";
import { TokenBucket } from "../runtime/token_bucket.ts";
import type { AbsenceCheck } from "./absence_check.ts";
import type { Caches } from "./caches.ts";
import type { ConfigMapWriter } from "./config_map_writer.ts";
import type { Ledger, PairState } from "./ledger.ts";
import { type PairResult, type PodResult, summarise } from "./pod_result.ts";
import type { PodDocuments } from "./pod_documents.ts";
import type { UnservedPods } from "./unserved_pods.ts";

/** Kubernetes' garbage collector gets this long to remove the ConfigMaps of a deleted Pod. */
export const LEFTOVER_GRACE_MS = 60_000;
/** A foreign object may go unseen by our label-selected watch: look again this often. */
export const CONFLICT_RECHECK_MS = 20_000;
/** The event of a terminating object's end requeues the key; this is for the event that never comes. */
const TERMINATING_RECHECK_MS = 30_000;
/** Passes that write, of one Pod: more than any Pod's life has in a row, then a bounded rate. */
const WRITE_BURST = 20;
const WRITE_INTERVAL_MS = 2_000;
/** Log lines about Pods that need more. */
const PACE_LOG = { burst: 3, refillMs: 60_000 };

export interface PodReconcilerOptions {
  readonly caches: Caches;
  readonly documents: Pick<PodDocuments, "get">;
  readonly writer: ConfigMapWriter;
  readonly absence: AbsenceCheck;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether the node is served by an eBPF agent. */
  readonly served: (nodeName: string) => boolean;
  /** Absent: what is unserved is nobody's to tell but in ConfigMaps and statuses. */
  readonly unserved?: UnservedPods | undefined;
  /** Failures in a row of that key. */
  readonly failures: (podKey: string) => number;
  /** So many of them are worth telling in the status. */
  readonly maxRetries: number;
  /** The books of that PCMC have changed. */
  readonly pairChanged: (pcmcKey: string) => void;
}

export class PodReconciler {
  readonly #options: PodReconcilerOptions;
  /** Keys of Pods that are gone but left ConfigMaps -> monotonic ms when that was first seen. */
  readonly #missedSince = new Map<string, number>();
  readonly #pace: Pace;
  readonly #paceLog: TokenBucket;

  constructor(options: PodReconcilerOptions) {
    this.#options = options;
    const { clock } = options;
    this.#pace = new Pace({ clock, burst: WRITE_BURST, intervalMs: WRITE_INTERVAL_MS });
    this.#paceLog = new TokenBucket({ clock, ...PACE_LOG });
  }

  async reconcile(key: string, signal: AbortSignal): Promise<PodResult> {
    const { caches, documents, served, unserved } = this.#options;
    const [namespace, podName] = splitKey(key);
    const pod = caches.pods.get(key);
    const observed = caches.configMaps.byIndex("pod", key);
    const pcmcs = caches.pcmcs.byIndex("namespace", namespace);
    const plan = planPod({
      podName,
      pod,
      pcmcs,
      observed,
      served: pod !== undefined && pod.nodeName !== "" && served(pod.nodeName),
      document: (fields) => documents.get(namespace, key, fields),
    });
    if (pod !== undefined) this.#missedSince.delete(key);
    this.#dropUnmatched(key, pcmcs, plan);
    const pauseMs = writes(plan) ? this.#pace.take(key) : 0;
    if (pauseMs > 0) return this.#pause(key, pauseMs);

    const pairs = plan.pairs.map((pair) => this.#applyPair(key, pair, signal));
    const removals = plan.removals.map((removal) => this.#remove(namespace, removal, signal));
    const leftovers = this.#removeLeftovers(key, plan.leftovers, signal);
    const told = unserved === undefined ? [] : [unserved.report(pod, signal)];
    const results = await Promise.allSettled([...pairs, ...removals, leftovers, ...told]);
    return summarise(results);
  }

  #pause(key: string, ms: number): PodResult {
    if (this.#paceLog.tryTake()) {
      this.#options.log.warning(
        "A Pod or its ConfigMaps change all the time; writing more slowly",
        {
          pod: key,
          intervalMs: WRITE_INTERVAL_MS,
        },
      );
    }
    return { outcome: { kind: "after", ms }, wrote: false };
  }

  /** Pairs that no longer match leave the books. */
  #dropUnmatched(podKey: string, pcmcs: readonly PcmcView[], plan: PodPlan): void {
    const matched = new Set(plan.pairs.map(({ pcmc }) => pcmc.name));
    for (const pcmc of pcmcs) {
      if (matched.has(pcmc.name)) continue;
      const pcmcKey = objectKey(pcmc.namespace, pcmc.name);
      if (this.#options.ledger.forgetPod(pcmcKey, podKey)) this.#options.pairChanged(pcmcKey);
    }
  }

  async #applyPair(podKey: string, pair: PairPlan, signal: AbortSignal): Promise<PairResult> {
    const { ledger, pairChanged } = this.#options;
    const { namespace, name, uid, generation } = pair.pcmc;
    const pcmcKey = objectKey(namespace, name);
    const record = (state: PairState, reason?: string) => {
      const entry = { uid, generation, podKey, state, reason, ebpf: pair.ebpf };
      if (ledger.record(pcmcKey, entry)) pairChanged(pcmcKey);
    };
    try {
      const result = await this.#carryOut(podKey, pair, signal);
      record(result.state, result.reason);
      // What was being written was in no cache yet when the PCMC changed or went: nobody else looks again.
      return result.wrote && !this.#isCurrent(pair.pcmc) ? { ...result, recheckMs: 0 } : result;
    } catch (error) {
      if (this.#isLasting(podKey, error)) {
        record("failed", `Pod ${podKey}: ${(error as Error).message}`);
      } else if (ledger.stateOf(pcmcKey, podKey) === undefined) record("pending");
      throw error;
    }
  }

  #isCurrent({ namespace, name, uid, generation }: PcmcView): boolean {
    const now = this.#options.caches.pcmcs.get(objectKey(namespace, name));
    return now?.uid === uid && now.generation === generation;
  }

  /** Whether a failure is to be told in the status: retries alone have not helped, or will not. */
  #isLasting(podKey: string, error: unknown): boolean {
    const verdict = classify(error);
    if (verdict.kind !== "retry") return verdict.kind === "terminal";
    // Without an answer there is nothing to tell, nor anyone to tell it to.
    if (!(error instanceof KubeApiError)) return false;
    return verdict.pace === "slow" || this.#options.failures(podKey) >= this.#options.maxRetries;
  }

  async #carryOut(
    podKey: string,
    { pcmc, name, decision }: PairPlan,
    signal: AbortSignal,
  ): Promise<PairResult> {
    const { writer, ledger, log } = this.#options;
    const at = { namespace: pcmc.namespace, name };
    switch (decision.kind) {
      case "none":
        return { state: "in-place", wrote: false };
      case "create": {
        // A name that was taken when last seen is looked at before it is asked for again.
        const pcmcKey = objectKey(pcmc.namespace, pcmc.name);
        const wasTaken = ledger.stateOf(pcmcKey, podKey) === "conflict";
        const taken = wasTaken ? await writer.read(at, signal) : undefined;
        if (taken !== undefined) return await this.#meet(taken, podKey, { pcmc, signal });
        if (await writer.create(decision.body, signal) === "created") {
          log.debug("Created ConfigMap", { configMap: objectKey(at.namespace, name), pod: podKey });
          return { state: "in-place", wrote: true };
        }
        // By something that our watch does not show.
        return await this.#meet(await writer.read(at, signal), podKey, { pcmc, signal });
      }
      case "patch":
        await writer.patch(at, decision.operations, signal);
        log.debug("Updated ConfigMap", {
          configMap: objectKey(at.namespace, name),
          changes: decision.changes.join(","),
        });
        return { state: "in-place", wrote: true };
      case "recreate":
        await writer.delete(at, decision, signal);
        // Its end requeues the key where a finalizer holds it; otherwise the next pass creates it.
        return { state: "waiting", wrote: true, recheckMs: 0 };
      case "wait":
        return {
          // What is missing is on its way, and brings the key back.
          state: decision.reason === "pod-fields" ? "pending" : "waiting",
          wrote: false,
          ...(decision.reason === "configmap-terminating" && {
            recheckMs: TERMINATING_RECHECK_MS,
          }),
        };
      case "conflict":
        return {
          state: "conflict",
          wrote: false,
          reason: `ConfigMap ${name} exists and was made by someone else`,
          recheckMs: CONFLICT_RECHECK_MS,
        };
      case "unrenderable":
        return { state: "failed", wrote: false, reason: `Pod ${podKey}: ${decision.message}` };
      default:
        return unreachable(decision);
    }
  }

  /** Decides anew, on what a live read has found under the name. */
  async #meet(
    found: ObservedConfigMap | undefined,
    podKey: string,
    { pcmc, signal }: { pcmc: PcmcView; signal: AbortSignal },
  ): Promise<PairResult> {
    const { caches, documents, served } = this.#options;
    const pod = caches.pods.get(podKey);
    // Gone again, or the Pod is: the next pass sees it.
    if (found === undefined || pod === undefined) {
      return { state: "waiting", wrote: false, recheckMs: 0 };
    }
    const { pairs } = planPod({
      podName: pod.name,
      pod,
      pcmcs: [pcmc],
      observed: [found],
      served: served(pod.nodeName),
      document: (fields) => documents.get(pod.namespace, podKey, fields),
    });
    const [pair] = pairs;
    if (pair === undefined || pair.decision.kind === "create") {
      return { state: "waiting", wrote: false, recheckMs: 0 };
    }
    return await this.#carryOut(podKey, pair, signal);
  }

  async #remove(namespace: string, removal: Removal, signal: AbortSignal): Promise<PairResult> {
    const { absence, writer, log } = this.#options;
    const { name, pcmc, decision } = removal;
    if (decision.reason === "pcmc-gone" && !await absence.ofPcmc(namespace, pcmc, signal)) {
      // The cache is behind the server; its event will bring the key back.
      return { state: "waiting", wrote: false, recheckMs: TERMINATING_RECHECK_MS };
    }
    await writer.delete({ namespace, name }, decision, signal);
    log.debug("Deleted ConfigMap", {
      configMap: objectKey(namespace, name),
      reason: decision.reason,
    });
    return { state: "in-place", wrote: true };
  }

  async #removeLeftovers(
    podKey: string,
    leftovers: readonly Removal[],
    signal: AbortSignal,
  ): Promise<PairResult> {
    const { clock, absence, writer, log } = this.#options;
    if (leftovers.length === 0) {
      this.#missedSince.delete(podKey);
      return { state: "in-place", wrote: false };
    }
    const now = clock.monotonic();
    const since = this.#missedSince.get(podKey) ?? now;
    this.#missedSince.set(podKey, since);
    const rest = since + LEFTOVER_GRACE_MS - now;
    if (rest > 0) return { state: "waiting", wrote: false, recheckMs: rest };
    const [namespace, podName] = splitKey(podKey);
    if (!await absence.ofPod(namespace, podName, signal)) {
      return { state: "waiting", wrote: false, recheckMs: TERMINATING_RECHECK_MS };
    }
    for (const { name, decision } of leftovers) {
      await writer.delete({ namespace, name }, decision, signal);
      log.info("Deleted a ConfigMap that the garbage collector left", {
        configMap: objectKey(namespace, name),
      });
    }
    this.#missedSince.delete(podKey);
    return { state: "in-place", wrote: true };
  }
}

/** Whether carrying out the plan writes anything. Leftovers have a pace of their own. */
function writes({ pairs, removals }: PodPlan): boolean {
  return removals.length > 0 ||
    pairs.some(({ decision: { kind } }) =>
      kind === "create" || kind === "patch" || kind === "recreate"
    );
}

function splitKey(key: string): [namespace: string, name: string] {
  const slash = key.indexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}
