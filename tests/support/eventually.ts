/**
 * Waiting for the world outside this process: the one place where tests poll.
 *
 * Tests of pure code use the virtual clock and never wait. Tests against real processes say what
 * they wait for, and fail with the last thing they saw.
 */
import { sleep, systemClock } from "../../src/lib/clock.ts";

export interface EventuallyOptions {
  /** Default 60,000: where the time itself is not what is tested, a busy machine has its time. */
  timeoutMs?: number;
  /** Default 50. */
  everyMs?: number;
}

/**
 * Calls `check` until it neither throws nor returns `undefined` or `false`, and returns its value.
 * @throws Error when that did not happen in time; `cause` is what `check` threw last.
 */
export async function eventually<T>(
  what: string,
  check: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<Exclude<T, undefined | false>> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  const deadline = systemClock.monotonic() + timeoutMs;
  let lastError: unknown;
  while (true) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (systemClock.monotonic() >= deadline) {
      const last = lastError instanceof Error ? `: ${lastError.message}` : "";
      throw new Error(`Cannot see that ${what} within ${timeoutMs} ms${last}`, {
        cause: lastError,
      });
    }
    await sleep(systemClock, options.everyMs ?? 50);
  }
}

/** Checks all the while that `check` does not throw; for "nothing happens" after the events that could cause it. */
export async function throughout(
  durationMs: number,
  check: () => void | Promise<void>,
  everyMs = 100,
): Promise<void> {
  const end = systemClock.monotonic() + durationMs;
  while (systemClock.monotonic() < end) {
    await check();
    await sleep(systemClock, everyMs);
  }
  await check();
}
