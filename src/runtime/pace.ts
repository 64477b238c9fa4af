/**
 * A rate for each of many keys: bursts, then one every so often. One number a key in use; what has not
 * been used for a whole burst's time is forgotten. O(1) amortised, no timers.
 */
import type { Clock } from "../lib/clock.ts";

export interface PaceOptions {
  readonly clock: Clock;
  /** So many at once. */
  readonly burst: number;
  /** Then one every so many milliseconds. */
  readonly intervalMs: number;
}

export class Pace {
  readonly #options: PaceOptions;
  /** Key -> monotonic ms at which its whole burst is available again. */
  readonly #fullAt = new Map<string, number>();
  #prunedAt: number;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#prunedAt = options.clock.monotonic();
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.#fullAt.size;
  }

  /** 0, and one less is left for `key`; or the milliseconds after which to ask again. */
  take(key: string): number {
    const { clock, burst, intervalMs } = this.#options;
    const now = clock.monotonic();
    this.#prune(now);
    const fullAt = Math.max(now, this.#fullAt.get(key) ?? now);
    const early = fullAt - now - (burst - 1) * intervalMs;
    if (early > 0) return early;
    this.#fullAt.set(key, fullAt + intervalMs);
    return 0;
  }

  #prune(now: number): void {
    const { burst, intervalMs } = this.#options;
    if (now - this.#prunedAt < burst * intervalMs) return;
    this.#prunedAt = now;
    for (const [key, fullAt] of this.#fullAt) {
      if (fullAt <= now) this.#fullAt.delete(key);
    }
  }
}
