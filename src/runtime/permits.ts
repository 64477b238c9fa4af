/**
 * A bound on how much goes on at once: so many permits, handed out in the order they were asked for.
 *
 * One that is asked for with a signal is not waited for past its abort. No timers.
 */

interface Waiter {
  /** Cleared when the wait is over, so that nothing holds on to it. */
  granted: (() => void) | undefined;
}

export class Permits {
  #free: number;
  readonly #queue: Waiter[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Those who wait. */
  get waiting(): number {
    return this.#queue.reduce((count, { granted }) => granted ? count + 1 : count, 0);
  }

  /**
   * The caller owes a `release()`; unless it rejects, which it does with the reason of `signal`.
   * Undefined, at once, when a permit is free: nothing need be awaited.
   */
  acquire(signal?: AbortSignal): Promise<void> | undefined {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        waiter.granted = undefined;
        reject(signal?.reason);
      };
      const granted = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const waiter: Waiter = { granted };
      this.#queue.push(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  release(): void {
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      const { granted } = next;
      next.granted = undefined;
      if (granted) return granted();
    }
    this.#free++;
  }
}
