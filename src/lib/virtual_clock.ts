/**
 * A clock that moves only when told to, for tests and the simulation.
 *
 * Guarantees: timers fire in order of due time, then of creation; between two timers every pending
 * promise reaction has run (one macrotask turn drains the microtask queue), so the order of events
 * depends on the program alone. Work that waits for real I/O is not waited for.
 */
import { setImmediate } from "node:timers";
import type { Clock } from "./clock.ts";

interface Timer {
  due: number;
  sequence: number;
  callback: () => void;
}

export class VirtualClock implements Clock {
  #elapsed = 0;
  #sequence = 0;
  #wallOffset: number;
  readonly #timers: Timer[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#wallOffset = startMs;
  }

  now(): number {
    return this.#wallOffset + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  /** Moves the wall clock alone, as NTP or an administrator would. */
  jumpWallClock(ms: number): void {
    this.#wallOffset += ms;
  }

  setTimer(ms: number, callback: () => void): Disposable {
    const due = this.#elapsed + Math.max(0, Number.isFinite(ms) ? ms : 0);
    const timer: Timer = { due, sequence: this.#sequence++, callback };
    // Binary search keeps the list sorted; equal due times keep their order of creation.
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#timers[middle] as Timer).due <= due) low = middle + 1;
      else high = middle;
    }
    this.#timers.splice(low, 0, timer);
    return {
      [Symbol.dispose]: () => {
        const index = this.#timers.indexOf(timer);
        if (index >= 0) this.#timers.splice(index, 1);
      },
    };
  }

  get pendingTimers(): number {
    return this.#timers.length;
  }

  /** Lets everything that needs no time happen. */
  settle(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves `ms` ahead, firing what falls due on the way. */
  async advance(ms: number): Promise<void> {
    const target = this.#elapsed + ms;
    await this.settle();
    for (let timer = this.#timers[0]; timer && timer.due <= target; timer = this.#timers[0]) {
      this.#timers.shift();
      this.#elapsed = Math.max(this.#elapsed, timer.due);
      timer.callback();
      await this.settle();
    }
    this.#elapsed = target;
    await this.settle();
  }

  /** Advances until `condition` holds, at most `limitMs`; true when it held. */
  async advanceUntil(condition: () => boolean, limitMs: number): Promise<boolean> {
    const target = this.#elapsed + limitMs;
    await this.settle();
    while (!condition()) {
      const timer = this.#timers[0];
      if (!timer || timer.due > target) {
        this.#elapsed = target;
        await this.settle();
        return condition();
      }
      this.#timers.shift();
      this.#elapsed = Math.max(this.#elapsed, timer.due);
      timer.callback();
      await this.settle();
    }
    return true;
  }
}
