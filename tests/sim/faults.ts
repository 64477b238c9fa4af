/**
 * The menu of faults, which of them a seed serves (swarm testing: each seed switches some off), and how
 * often each really happened. What a fault does is in `faulty_client.ts`, `faulty_watch.ts` and
 * `trouble.ts`.
 */
import type { Random } from "../../src/lib/random.ts";

/**
 * Fault -> how likely it is at full weight: for faults of requests, a request of that sort; of
 * streams, an opened watch; of the world, a tick of two seconds.
 */
const LIKELIHOOD = {
  // Writes, leases included.
  "crash-before-write": 0.03,
  "crash-after-commit": 0.03,
  "crash-after-answer": 0.03,
  "conflict-409": 0.06,
  "throttled-429": 0.05,
  "throttled-429-retry-after": 0.05,
  "error-500-before-commit": 0.05,
  "error-500-after-commit": 0.05,
  "timeout-before-commit": 0.03,
  "timeout-after-commit": 0.03,
  "reset-before-commit": 0.05,
  "reset-after-commit": 0.05,
  "slow-answer": 0.15,
  // Reads of collections.
  "list-410": 0.2,
  "continue-410": 0.6,
  "watch-open-410": 0.1,
  "watch-list-refused": 0.5,
  "read-429-retry-after": 0.08,
  "read-500": 0.1,
  "read-reset": 0.08,
  "read-timeout": 0.04,
  // Open watches.
  "watch-delayed": 0.4,
  "watch-lag-differs-by-type": 0.3,
  "watch-dropped-then-cut": 0.2,
  "watch-stalled": 0.06,
  "watch-truncated": 0.15,
  "watch-split": 0.5,
  "watch-closed": 0.3,
  "watch-reset": 0.2,
  "watch-error-410": 0.2,
  "watch-error-500": 0.1,
  // The world.
  "garbage-collection-off": 0.9,
  "stale-replica": 0.06,
  "time-travel": 0.1,
  "server-down": 0.02,
  "history-compacted": 0.05,
  "process-paused": 0.06,
  "process-killed": 0.02,
  "process-restarted": 0.02,
  "deleted-while-all-down": 0.01,
  "changed-unseen": 0.06,
  "wall-clock-jump": 0.05,
  "lease-deleted": 0.02,
  "lease-stolen": 0.015,
  "namespace-deleted": 0.01,
  "garbage-collection-held": 0.03,
  "writes-fail": 0.03,
} as const;

export type Fault = keyof typeof LIKELIHOOD;
export const FAULTS = Object.keys(LIKELIHOOD) as Fault[];
export type FaultCounts = Record<Fault, number>;

/** Some seeds have no faults at all, some only a slow server: there more can be asked for. */
const CALM_SHARE = 0.08;
const SLOW_SHARE = 0.1;

export function noCounts(): FaultCounts {
  return Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as FaultCounts;
}

export class Faults {
  readonly counts = noCounts();
  /** Nothing goes wrong. */
  readonly calm: boolean;
  /** Nothing goes wrong, but each answer takes its time. */
  readonly slow: boolean;
  readonly #random: Random;
  readonly #likelihood = new Map<Fault, number>();
  #active = true;

  constructor(random: Random) {
    this.#random = random;
    const sort = random.next();
    this.calm = sort < CALM_SHARE;
    this.slow = !this.calm && sort < CALM_SHARE + SLOW_SHARE;
    const intensity = 0.2 + 1.8 * random.next();
    for (const fault of FAULTS) {
      const [isOn, weight] = [random.next() < 0.5, 0.3 + random.next()];
      if (isOn && !this.calm && !this.slow) {
        this.#likelihood.set(fault, Math.min(0.9, LIKELIHOOD[fault] * weight * intensity));
      }
    }
  }

  get active(): boolean {
    return this.#active && !this.calm;
  }

  /** Nothing new goes wrong from now on. What has gone wrong stays so. */
  stop(): void {
    this.#active = false;
  }

  /** Whether this fault is to happen here. */
  strikes(fault: Fault): boolean {
    if (!this.active) return false;
    const likelihood = this.#likelihood.get(fault);
    return likelihood !== undefined && this.#random.next() < likelihood;
  }

  /** The first of `faults` that strikes. */
  pick<F extends Fault>(faults: readonly F[]): F | undefined {
    if (!this.active) return undefined;
    return faults.find((fault) => this.strikes(fault));
  }

  /** It has happened. */
  fired(fault: Fault): void {
    this.counts[fault]++;
  }

  /** Uniform in [min, max). */
  between(min: number, max: number): number {
    return min + (max - min) * this.#random.next();
  }
}
