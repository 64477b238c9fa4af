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

/**
 * Deadlines are set with every request and hardly ever fire. From this length on they share one
 * platform timer for each {@link SLOT_MS}, and so fire up to that much late.
 */
const SHARED_FROM_MS = 1_000;
const SLOT_MS = 50;

interface Slot {
  readonly due: number;
  readonly timers: Set<SharedTimer>;
  readonly id: ReturnType<typeof setTimeout>;
}

const slots = new Map<number, Slot>();

/**
 * Once over, it refers to nothing. Else one that is garbage, but that the collector takes for old,
 * would keep all others of its slot, through them their requests, through these the next slot, and so
 * on until the next full collection (4 MiB more after 30,000 requests).
 */
class SharedTimer implements Disposable {
  #callback: (() => void) | undefined;
  #slot: Slot | undefined;

  constructor(ms: number, callback: () => void) {
    const due = Math.ceil((performance.now() + ms) / SLOT_MS);
    const slot = slots.get(due) ?? newSlot(due);
    slot.timers.add(this);
    this.#slot = slot;
    this.#callback = callback;
  }

  /** What it was to call; undefined once over. */
  end(): (() => void) | undefined {
    const callback = this.#callback;
    this.#callback = undefined;
    this.#slot = undefined;
    return callback;
  }

  [Symbol.dispose](): void {
    const slot = this.#slot;
    this.end();
    if (slot === undefined || !slot.timers.delete(this) || slot.timers.size > 0) return;
    // The last one out takes the platform's timer along.
    clearTimeout(slot.id);
    slots.delete(slot.due);
  }
}

function newSlot(due: number): Slot {
  const id = setTimeout(() => fire(due), due * SLOT_MS - performance.now());
  const slot = { due, timers: new Set<SharedTimer>(), id };
  slots.set(due, slot);
  return slot;
}

function fire(due: number): void {
  const timers = slots.get(due)?.timers ?? [];
  slots.delete(due);
  for (const timer of timers) {
    try {
      timer.end()?.();
    } catch (error) {
      // As an error in a timer of its own: fatal, but not at the cost of the others here.
      reportError(error);
    }
  }
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(ms, callback) {
    if (ms >= SHARED_FROM_MS) return new SharedTimer(ms, callback);
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
