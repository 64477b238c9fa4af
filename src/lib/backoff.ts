/** Exponential backoff with jitter: pure arithmetic; the caller sleeps. */
import type { Random } from "./random.ts";

export interface BackoffOptions {
  readonly initialMs: number;
  readonly factor: number;
  readonly maxMs: number;
  /** 0: none; 1: each delay is stretched by a random factor in [1, 2). */
  readonly jitter: number;
}

/** Delay before the retry that follows `failures` failures in a row (0 = the first), in ms. */
export function backoffMs(options: BackoffOptions, failures: number, random: Random): number {
  const base = Math.min(options.initialMs * options.factor ** failures, options.maxMs);
  return base * (1 + options.jitter * random.next());
}
