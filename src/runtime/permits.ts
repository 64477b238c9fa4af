/**
 * A bound on how much goes on at once: so many permits, handed out in the order they were asked for.
 *
 * One that is asked for with a signal is not waited for past its abort. No timers.
 */

export class Permits {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Those who wait. */
  get waiting(): number {
    return this.#waiting.size;
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
      const end = () => {
        this.#waiting.delete(granted);
        signal?.removeEventListener("abort", onAbort);
      };
      const granted = () => {
        end();
        resolve();
      };
      const onAbort = () => {
        end();
        reject(signal?.reason);
      };
      this.#waiting.add(granted);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  release(): void {
    for (const granted of this.#waiting) return granted();
    this.#free++;
  }
}
