/**
 * The controller: takes keys from a queue, reconciles them, and decides by the outcome what comes next.
 *
 * - `workers` x `inflight` keys are worked on at once, a key never twice at the same time: a reconcile
 *   that passed its deadline is told so (its signal aborts), and its key waits until it has ended.
 * - One switch over a closed set of outcomes. What is thrown counts as `retry`.
 * - Failures: exponential backoff for `maxRetries` tries, then one try every `slowRetryMs` (stretched by a
 *   random half), for as long as it takes. No key is given up in silence: turning slow is logged and
 *   counted once, and so is coming back. `retry.ts` tells failures apart.
 * - A server that does not answer says nothing about the key: its fast tries are not used up, the delay
 *   only grows up to `slowRetryMs`, and one line a minute speaks for all keys.
 * - A delay the server asked for is a minimum. Repeated lines in the log are bounded in rate.
 * - Stop: no key is taken any more, running reconciles may end within `graceMs`, then they are aborted.
 *   On lost leadership they are aborted at once.
 *
 * It knows keys, not objects; what starts the work is the caller's affair.
 */
import { unreachable } from "../lib/assert.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { LeadershipLostError } from "./leadership.ts";
import { KubeConnectionError } from "./ports/errors.ts";
import { classify, type ErrorType, ReconcileTimeoutError } from "./retry.ts";
import { TokenBucket } from "./token_bucket.ts";
import { TroubleLog } from "./trouble_log.ts";
import type { WorkQueue } from "./work_queue.ts";

export type Outcome =
  /** As wanted. The row of failures ends. */
  | { readonly kind: "done" }
  /** As wanted, and to be looked at again in `ms` milliseconds. */
  | { readonly kind: "after"; readonly ms: number }
  /** Not as wanted; `error` decides when to try again, or whether to. */
  | { readonly kind: "retry"; readonly error: unknown }
  /** Not as wanted, and no retry will help: something must change first, and will add the key. */
  | { readonly kind: "terminal"; readonly reason: string; readonly error?: unknown };

export interface ControllerMetrics {
  /** One reconcile has ended. `errorType` is empty unless it failed. */
  reconciled(r: {
    controller: string;
    key: string;
    result: "done" | "after" | "retry" | "terminal" | "dropped";
    errorType: ErrorType | "";
    seconds: number;
  }): void;
  /** A key has used up its fast tries, or met a failure that only an outside change can end. */
  turnedSlow(controller: string, key: string): void;
}

export interface ControllerOptions {
  readonly name: string;
  readonly queue: WorkQueue;
  /** Level-based: gets a key, never an event. Must end when the signal aborts. */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<Outcome>;
  readonly workers: number;
  /** Reconciles that each worker keeps going at once. */
  readonly inflight: number;
  /** Tries with exponential backoff before the slow pace. */
  readonly maxRetries: number;
  readonly slowRetryMs: number;
  /** Deadline of one reconcile. */
  readonly timeoutMs: number;
  /** Time running reconciles get to end by themselves on a stop. Default 3 s. */
  readonly graceMs?: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: ControllerMetrics;
}

const GRACE_MS = 3_000;
/** After an abort, reconciles get this long before `run` stops waiting for them. */
const ABORT_LIMIT_MS = 1_000;
/** A conflict means that a newer object is on its way to the cache: no need to wait longer than this. */
const FAST_RETRY_MAX_MS = 100;
/** Log lines about failures: this many at once, then one a second. */
const LOG_BURST = 20;
const LOG_REFILL_MS = 1_000;
/** Keys named in one log line. */
const LOG_KEYS_MAX = 10;

type Retry = Extract<ReturnType<typeof classify>, { kind: "retry" }>;

/**
 * What works on one key at a time. Lanes are reused rather than kept in a Map by key: a Map that is
 * filled and emptied without end leaves its outgrown tables linked to the newest, and once the
 * collector takes one for old, whatever was ever in them stays until the next full collection (15 MiB
 * more after 30,000 reconciles).
 */
interface Lane {
  running: { readonly key: string; readonly controller: AbortController } | undefined;
}

export class Controller {
  readonly #options: ControllerOptions;
  readonly #log: Logger;
  readonly #logLimit: TokenBucket;
  readonly #outages: TroubleLog;
  readonly #lanes: Lane[] = [];
  readonly #slow = new Set<string>();

  constructor(options: ControllerOptions) {
    const { workers, inflight } = options;
    if (!(workers >= 1 && inflight >= 1 && Number.isInteger(workers * inflight))) {
      throw new RangeError(`Cannot run ${workers} workers with ${inflight} reconciles each`);
    }
    this.#options = options;
    this.#log = options.log.with({ controller: options.name });
    this.#logLimit = new TokenBucket({
      clock: options.clock,
      burst: LOG_BURST,
      refillMs: LOG_REFILL_MS,
    });
    this.#outages = new TroubleLog(this.#log, options.clock, {
      trouble: "Reconcile failed without an answer from the API server",
      recovery: "Reconcile has answers from the API server again",
    });
  }

  /** Keys that fail and are tried at the slow pace. */
  get slowKeys(): number {
    return this.#slow.size;
  }

  /** Reconciles under way. */
  get running(): number {
    return this.#running().length;
  }

  /** Works until `signal` aborts or the queue is shut down and empty; resolves once nothing is under way. */
  async run(signal: AbortSignal): Promise<void> {
    const slots = this.#options.workers * this.#options.inflight;
    for (let i = 0; i < slots; i++) this.#lanes.push({ running: undefined });
    const loops = Promise.all(this.#lanes.map((lane) => this.#loop(lane, signal)));
    if (await endsBefore(loops, aborted(signal))) return;

    const lost = signal.reason instanceof LeadershipLostError;
    const graceMs = lost ? 0 : this.#options.graceMs ?? GRACE_MS;
    if (await this.#endsWithin(loops, graceMs)) return;

    const reason = lost ? signal.reason : new DOMException(
      `Controller ${this.#options.name} stops: reconcile did not end within ${graceMs / 1000} s`,
      "AbortError",
    );
    for (const { controller } of this.#running()) controller.abort(reason);
    if (await this.#endsWithin(loops, ABORT_LIMIT_MS)) return;
    const left = this.#running();
    this.#log.error("Stopped with reconciles that do not end", {
      count: left.length,
      keys: left.map(({ key }) => key).slice(0, LOG_KEYS_MAX),
    });
  }

  #running(): NonNullable<Lane["running"]>[] {
    return this.#lanes.flatMap(({ running }) => running === undefined ? [] : [running]);
  }

  #endsWithin(loops: Promise<unknown>, ms: number): Promise<boolean> {
    return endsBefore(loops, (stop) => sleep(this.#options.clock, ms, stop));
  }

  async #loop(lane: Lane, signal: AbortSignal): Promise<void> {
    const { queue } = this.#options;
    while (true) {
      const key = await queue.get(signal);
      if (key === undefined) return;
      try {
        // Handed out in the very moment of the stop: it goes back for whoever comes next.
        if (signal.aborted) queue.add(key);
        else await this.#process(key, lane, signal);
      } finally {
        queue.done(key);
      }
    }
  }

  async #process(key: string, lane: Lane, stop: AbortSignal): Promise<void> {
    const { clock, timeoutMs } = this.#options;
    const controller = new AbortController();
    lane.running = { key, controller };
    const startedAt = clock.monotonic();
    let timeout: ReconcileTimeoutError | undefined;
    const timer = clock.setTimer(timeoutMs, () => {
      timeout = new ReconcileTimeoutError(
        `Cannot reconcile "${key}": not done within ${timeoutMs / 1000} s`,
      );
      this.#limitedWarning("Reconcile passed its deadline; waiting for it to end", { key });
      controller.abort(timeout);
    });
    let outcome: Outcome;
    try {
      outcome = await this.#options.reconcile(key, controller.signal);
    } catch (error) {
      outcome = { kind: "retry", error };
    } finally {
      timer[Symbol.dispose]();
      lane.running = undefined;
    }
    if (timeout && outcome.kind === "retry") outcome = { kind: "retry", error: timeout };
    this.#settle(key, outcome, (clock.monotonic() - startedAt) / 1000, stop.aborted);
  }

  #settle(key: string, outcome: Outcome, seconds: number, stopping: boolean): void {
    const { queue, name, metrics } = this.#options;
    const report = (
      result: Parameters<ControllerMetrics["reconciled"]>[0]["result"],
      errorType: ErrorType | "" = "",
    ) => metrics?.reconciled({ controller: name, key, result, errorType, seconds });

    switch (outcome.kind) {
      case "done":
        this.#recover(key);
        return report("done");
      case "after":
        this.#recover(key);
        queue.addAfter(key, outcome.ms);
        return report("after");
      case "terminal": {
        const verdict = outcome.error === undefined ? undefined : classify(outcome.error);
        this.#giveUp(key, outcome.reason, outcome.error);
        return report("terminal", verdict?.errorType ?? "");
      }
      case "retry": {
        const verdict = classify(outcome.error);
        if (verdict.kind === "drop") {
          this.#log.debug("Nothing left to do", { key, reason: verdict.errorType });
          this.#end(key);
          return report("dropped", verdict.errorType);
        }
        if (verdict.kind === "terminal") {
          this.#giveUp(key, verdict.errorType, outcome.error);
          return report("terminal", verdict.errorType);
        }
        this.#retry(key, outcome.error, verdict, stopping);
        return report("retry", verdict.errorType);
      }
      default:
        unreachable(outcome);
    }
  }

  #retry(key: string, error: unknown, verdict: Retry, stopping: boolean): void {
    const { queue, maxRetries, slowRetryMs, random, name, metrics } = this.#options;
    const unanswered = error instanceof KubeConnectionError;
    const usedUp = !unanswered && queue.failures(key) >= maxRetries;
    const slow = verdict.pace === "slow" || usedUp;
    let delayMs: number;
    if (slow) {
      queue.countFailure(key);
      delayMs = Math.max(slowRetryMs * (1 + random.next() / 2), verdict.minDelayMs);
      queue.addAfter(key, delayMs);
    } else {
      const maxMs = verdict.pace === "fast" ? FAST_RETRY_MAX_MS : slowRetryMs;
      delayMs = queue.addRateLimited(key, { minMs: verdict.minDelayMs, maxMs });
    }
    const fields = { key, err: error, failures: queue.failures(key), retryInMs: delayMs };
    if (slow && !this.#slow.has(key)) {
      this.#slow.add(key);
      metrics?.turnedSlow(name, key);
      this.#limitedWarning("Reconcile keeps failing; trying at the slow pace from now on", fields);
    } else if (unanswered && !stopping) {
      this.#outages.trouble("no answer", fields);
    } else if (stopping || verdict.pace === "fast" || verdict.errorType === "leadership_lost") {
      this.#log.debug("Reconcile did not succeed", fields);
    } else {
      this.#limitedWarning("Reconcile failed", fields);
    }
  }

  #giveUp(key: string, reason: string, error: unknown): void {
    this.#end(key);
    this.#limitedWarning("Reconcile failed for good; waiting for a change", {
      key,
      reason,
      ...(error === undefined ? {} : { err: error }),
    });
  }

  #recover(key: string): void {
    this.#outages.recovered();
    if (this.#slow.has(key) && this.#logLimit.tryTake()) {
      this.#log.info("Reconcile works again", { key, failures: this.#options.queue.failures(key) });
    }
    this.#end(key);
  }

  #end(key: string): void {
    this.#slow.delete(key);
    this.#options.queue.forget(key);
  }

  #limitedWarning(message: string, fields: Record<string, unknown>): void {
    if (!this.#logLimit.tryTake()) return;
    const suppressed = this.#logLimit.takeRefused();
    this.#log.warning(message, suppressed > 0 ? { ...fields, suppressed } : fields);
  }
}

/** True when `work` ends before `other` does; `other` is told to stop waiting then. */
async function endsBefore(
  work: Promise<unknown>,
  other: (stop: AbortSignal) => Promise<unknown>,
): Promise<boolean> {
  const stop = new AbortController();
  try {
    return await Promise.race([
      work.then(() => true),
      other(stop.signal).then(() => false, () => false),
    ]);
  } finally {
    stop.abort();
  }
}

/** Resolves when `signal` aborts, or when told to stop waiting. */
function aborted(signal: AbortSignal): (stop: AbortSignal) => Promise<void> {
  return (stop) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const end = () => {
        signal.removeEventListener("abort", end);
        stop.removeEventListener("abort", end);
        resolve();
      };
      signal.addEventListener("abort", end);
      stop.addEventListener("abort", end);
    });
}
