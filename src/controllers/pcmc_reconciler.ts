/**
 * Keeps the status of one PodConfigMapConfig true, and tells people in Events when it turns bad.
 *
 * It reads the ledger, works the status out (`domain/status.ts`) and writes it only when it differs:
 * conditions and observedGeneration at once, counts alone at most every ten seconds. Where the spec
 * changes all the time, it writes once a second. It never writes a ConfigMap.
 */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { findCondition } from "../api/conditions.ts";
import type { PcmcStatus } from "../api/status_schema.ts";
import { API_GROUP_VERSION, CONDITION_READY, PCMC_KIND } from "../api/well_known.ts";
import { type PcmcView, projectPcmc } from "../domain/projections.ts";
import { nextStatus, statusChange, statusPatch } from "../domain/status.ts";
import type { ApiClient } from "../runtime/api_client.ts";
import type { Outcome } from "../runtime/controller.ts";
import type { EventRecorder } from "../runtime/event_recorder.ts";
import { Pace } from "../runtime/pace.ts";
import { isNotFound } from "../runtime/ports/errors.ts";
import type { JsonValue } from "../runtime/ports/rest.ts";
import { objectKey } from "../runtime/resource.ts";
import type { Caches } from "./caches.ts";
import type { Ledger } from "./ledger.ts";
import { PCMCS } from "./resources.ts";
import type { DomainMetrics } from "./settings.ts";

/** Least time between two writes that change counts alone. */
const COUNTS_INTERVAL_MS = 10_000;
/** A generation usually settles within this: until then "still at it" is not worth a write. */
const SETTLE_MS = 1_000;
/** Writes of one status that do not wait, in a row; then one a second. */
const WRITE_BURST = 10;
const WRITE_INTERVAL_MS = 1_000;

export interface PcmcReconcilerOptions {
  readonly caches: Caches;
  readonly api: ApiClient;
  readonly recorder: EventRecorder;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: DomainMetrics;
}

export class PcmcReconciler {
  readonly #options: PcmcReconcilerOptions;
  /** PCMC key -> monotonic ms of the last status write of this term. */
  readonly #writtenAt = new Map<string, number>();

  readonly #pace: Pace;

  constructor(options: PcmcReconcilerOptions) {
    this.#options = options;
    this.#pace = new Pace({
      clock: options.clock,
      burst: WRITE_BURST,
      intervalMs: WRITE_INTERVAL_MS,
    });
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    const { caches, ledger, clock, metrics } = this.#options;
    const pcmc = caches.pcmcs.get(key);
    if (pcmc === undefined || pcmc.terminating) {
      this.#writtenAt.delete(key);
      // Also while someone's finalizer holds it: its ConfigMaps are gone or going.
      this.#forget(key);
      return { kind: "done" };
    }
    const tally = ledger.tally(key);
    // Its own event opens the books and brings the key back.
    if (tally === undefined || !ledger.isOpen(key, pcmc.uid, pcmc.generation)) {
      return { kind: "done" };
    }
    const now = clock.monotonic();
    const unsettledMs = now - tally.since;
    if (!ledger.isTelling(key) && unsettledMs < SETTLE_MS) {
      return { kind: "after", ms: SETTLE_MS - unsettledMs };
    }
    const next = nextStatus(pcmc, tally, clock.now());
    const change = statusChange(pcmc.status, next);
    metrics.activeConfigMaps(pcmc.namespace, pcmc.name, tally.inPlace);
    metrics.pcmcStatus(pcmc.namespace, pcmc.name, isReady(next));
    if (change === "none") return { kind: "done" };
    const rest = (this.#writtenAt.get(key) ?? -Infinity) + COUNTS_INTERVAL_MS - now;
    if (change === "counts-only" && rest > 0) return { kind: "after", ms: rest };
    const pauseMs = this.#pace.take(key);
    if (pauseMs > 0) return { kind: "after", ms: pauseMs };
    await this.#write(key, { pcmc, next, signal });
    return { kind: "done" };
  }

  async #write(
    key: string,
    { pcmc, next, signal }: { pcmc: PcmcView; next: PcmcStatus; signal: AbortSignal },
  ): Promise<void> {
    const { api, caches, clock, log } = this.#options;
    const at = { namespace: pcmc.namespace, name: pcmc.name, subresource: "status" };
    try {
      const answer = await api.patch<JsonValue>(PCMCS, at, {
        contentType: "application/merge-patch+json",
        body: statusPatch(pcmc, next) as unknown as JsonValue,
      }, signal);
      caches.pcmcs.observeWrite(projectPcmc(answer));
    } catch (error) {
      // Deleted meanwhile: its event is on its way.
      if (isNotFound(error)) return;
      throw error;
    }
    this.#writtenAt.set(key, clock.monotonic());
    const ready = findCondition(next.conditions, CONDITION_READY);
    log.debug("Updated the status", { pcmc: key, ready: ready?.status, reason: ready?.reason });
    this.#tell(pcmc, next);
  }

  /** An Event when Ready turns False, or is False for a new reason; a line in the log also when it is over. */
  #tell(pcmc: PcmcView, next: PcmcStatus): void {
    const before = findCondition(pcmc.status.conditions, CONDITION_READY);
    const after = findCondition(next.conditions, CONDITION_READY);
    if (before?.status === "False" && after?.status === "True") {
      const key = objectKey(pcmc.namespace, pcmc.name);
      this.#options.log.info("PodConfigMapConfig is ready again", { pcmc: key });
    }
    if (after?.status !== "False") return;
    if (before?.status === "False" && before.reason === after.reason) return;
    const { namespace, name, uid } = pcmc;
    const note = after.reason === "InvalidSpec"
      ? findCondition(next.conditions, "Valid")?.message ?? after.message
      : after.message;
    this.#options.log.warning("PodConfigMapConfig is not ready", {
      pcmc: objectKey(namespace, name),
      reason: after.reason,
      detail: note,
    });
    this.#options.recorder.record(
      { apiVersion: API_GROUP_VERSION, kind: PCMC_KIND, namespace, name, uid },
      { type: "Warning", reason: after.reason, action: "Reconcile", note },
    );
  }

  #forget(key: string): void {
    const slash = key.indexOf("/");
    this.#options.metrics.forgetPcmc(key.slice(0, slash), key.slice(slash + 1));
  }
}

function isReady(status: PcmcStatus): boolean {
  return findCondition(status.conditions, CONDITION_READY)?.status === "True";
}
