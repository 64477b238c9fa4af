/**
 * A rate limit: bursts of `burst`, then one every `refillMs`. O(1), no timers.
 *
 * Also counts what it refused, so that a log line can say how many like it were left out.
 */
import type { Clock } from "../lib/clock.ts";

export interface TokenBucketOptions {
  readonly clock: Clock;
  /** Tokens at the start, and the most that are ever kept. */
  readonly burst: number;
  /** Milliseconds until one token comes back. */
  readonly refillMs: number;
}

export class TokenBucket {
  readonly #options: TokenBucketOptions;
  #tokens: number;
  #refilledAt: number;
  #refused = 0;

  constructor(options: TokenBucketOptions) {
    this.#options = options;
    this.#tokens = options.burst;
    this.#refilledAt = options.clock.monotonic();
  }

  /** Takes a token; false when there is none. */
  tryTake(): boolean {
    const { clock, burst, refillMs } = this.#options;
    const now = clock.monotonic();
    this.#tokens = Math.min(burst, this.#tokens + (now - this.#refilledAt) / refillMs);
    this.#refilledAt = now;
    if (this.#tokens < 1) {
      this.#refused++;
      return false;
    }
    this.#tokens--;
    return true;
  }

  /** How often {@link tryTake} refused since this was last called. */
  takeRefused(): number {
    const refused = this.#refused;
    this.#refused = 0;
    return refused;
  }
}
