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
  readonly members: Set<() => void>;
  readonly id: ReturnType<typeof setTimeout>;
}

const slots = new Map<number, Slot>();

function setSharedTimer(ms: number, callback: () => void): Disposable {
  const due = Math.ceil((performance.now() + ms) / SLOT_MS);
  let slot = slots.get(due);
  if (slot === undefined) {
    const id = setTimeout(() => fire(due), due * SLOT_MS - performance.now());
    slot = { members: new Set(), id };
    slots.set(due, slot);
  }
  const { members, id } = slot;
  // A function of its own: the same callback may be set twice.
  const member = () => callback();
  members.add(member);
  return {
    [Symbol.dispose]() {
      // The last one out takes the platform's timer along.
      if (!members.delete(member) || members.size > 0 || slots.get(due)?.id !== id) return;
      clearTimeout(id);
      slots.delete(due);
    },
  };
}

function fire(due: number): void {
  const members = slots.get(due)?.members ?? [];
  slots.delete(due);
  for (const member of members) {
    try {
      member();
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
    if (ms >= SHARED_FROM_MS) return setSharedTimer(ms, callback);
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
