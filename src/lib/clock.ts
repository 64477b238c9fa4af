/**
 * Time as a parameter. All code below `main.ts` takes a {@link Clock}; only this module and the
 * I/O adapters touch the platform's timers.
 */

export interface Clock {
  /** Wall clock, milliseconds since the epoch. May jump; never use it to measure. */
  now(): number;
  /** Monotonic, milliseconds since an arbitrary start; goes on while the process is stopped. */
  monotonic(): number;
  /** Calls `callback` once after `ms`; disposing before that cancels it. */
  setTimer(ms: number, callback: () => void): Disposable;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(ms, callback) {
    const id = setTimeout(callback, ms);
    return { [Symbol.dispose]: () => clearTimeout(id) };
  },
};

/** Resolves after `ms`. @throws the signal's reason as soon as `signal` aborts; leaves no listener behind. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      timer[Symbol.dispose]();
      reject(signal?.reason);
    };
    const timer = clock.setTimer(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
