/**
 * Watches whether the event loop turns: a timer that should fire every {@link TICK_MS} is late by as
 * long as the loop was held up. Process suspension counts as a hold-up, for that is what it is.
 */
import type { Clock } from "../lib/clock.ts";

export const TICK_MS = 500;
/** Hold-ups are remembered for a minute, in slices. */
const SLICE_MS = 10_000;
const SLICES = 6;

export class EventLoopMonitor implements Disposable {
  readonly #clock: Clock;
  readonly #slices: { start: number; maxMs: number }[] = [];
  #due: number;
  #timer: Disposable | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#due = clock.monotonic() + TICK_MS;
    this.#arm();
  }

  /** Longest hold-up of the last minute, the present one included, in seconds. */
  lagMaxSeconds(): number {
    const now = this.#clock.monotonic();
    const recent = this.#slices.filter((slice) => now - slice.start <= SLICES * SLICE_MS);
    return Math.max(0, now - this.#due, ...recent.map((slice) => slice.maxMs)) / 1000;
  }

  /** Ends the watching. */
  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #arm(): void {
    this.#timer = this.#clock.setTimer(TICK_MS, () => {
      const now = this.#clock.monotonic();
      this.#record(now, Math.max(0, now - this.#due));
      this.#due = now + TICK_MS;
      this.#arm();
    });
  }

  #record(now: number, lagMs: number): void {
    const current = this.#slices.at(-1);
    if (current !== undefined && now - current.start < SLICE_MS) {
      current.maxMs = Math.max(current.maxMs, lagMs);
      return;
    }
    this.#slices.push({ start: now, maxMs: lagMs });
    if (this.#slices.length > SLICES) this.#slices.shift();
  }
}
