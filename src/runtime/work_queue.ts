/**
 * The work queue: client-go's contract, with two priorities.
 *
 * - Fair: keys of one priority are handed out in the order they were added; live before bulk.
 * - Stingy: a key waits at most once, however often it is added; its priority is the highest asked for.
 * - Exclusive: a key is never handed out again before `done(key)`. Added while it is being worked
 *   on, it is handed out once more after that.
 * - Delays: `addAfter` keeps the earliest due time of a key. An `add` does not cancel a delay: the key
 *   comes up again when it is due. A wake-up is never lost.
 * - Shutdown: nothing more is accepted, delays are dropped, what waits is still handed out, then `get`
 *   gives undefined. `drain` also waits for the keys being worked on.
 *
 * Every operation is O(log n) or better. Live work that never ends starves bulk work. The queue knows
 * nothing of what the keys mean, and starts no work itself.
 */
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { DelayHeap } from "./delay_heap.ts";

/** Receives the queue's measurements. All calls are synchronous and must not throw. */
export interface WorkQueueMetrics {
  /** A key was accepted; additions of a key that already waits are not counted. */
  added(queue: string): void;
  /** Keys that wait to be handed out now; delayed ones are not among them. */
  depth(queue: string, keys: number): void;
  /** Time a key waited before it was handed out. */
  waited(queue: string, seconds: number): void;
  /** Time from handing a key out to `done`. */
  worked(queue: string, seconds: number): void;
  /** A key was added after a failure. */
  retried(queue: string): void;
}

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** Label of the metrics. */
  readonly name?: string;
  /** Delay of `addRateLimited` after the first failure, doubled with each more. Default 5 ms. */
  readonly retryInitialMs?: number;
  /** Longest such delay. Default 1,000 s. */
  readonly retryMaxMs?: number;
  readonly metrics?: WorkQueueMetrics;
}

export interface AddOptions {
  /** Work that may wait until nothing else does, such as that of an initial list. */
  readonly bulk?: boolean;
}

interface Waiting {
  readonly key: string;
  readonly bulk: boolean;
  readonly since: number;
  /** Cleared when the key moved to the other priority: the slot is skipped. */
  valid: boolean;
}

interface Working {
  readonly bulk: boolean;
  readonly since: number;
  /** Set when the key was added meanwhile: the priority and time to queue it with. */
  again?: { bulk: boolean; since: number };
}

interface Getter {
  resolve(key: string | undefined): void;
}

export class WorkQueue {
  readonly name: string;
  readonly #clock: Clock;
  readonly #metrics: WorkQueueMetrics | undefined;
  readonly #retryInitialMs: number;
  readonly #retryMaxMs: number;

  readonly #live = new Fifo();
  readonly #bulk = new Fifo();
  readonly #waiting = new Map<string, Waiting>();
  readonly #working = new Map<string, Working>();
  readonly #delayed = new DelayHeap();
  readonly #failures = new Map<string, number>();
  readonly #getters = new Set<Getter>();
  readonly #drainers: (() => void)[] = [];
  #timer: { due: number; handle: Disposable } | undefined;
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.name = options.name ?? "";
    this.#clock = options.clock;
    this.#metrics = options.metrics;
    this.#retryInitialMs = options.retryInitialMs ?? 5;
    this.#retryMaxMs = options.retryMaxMs ?? 1_000_000;
  }

  /** Keys that wait to be handed out now. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Keys that wait for their time to come. */
  get delayed(): number {
    return this.#delayed.size;
  }

  /** Keys handed out and not yet done. */
  get working(): number {
    return this.#working.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** How long the keys now being worked on have been so: their sum and the longest, in seconds. */
  unfinished(): { seconds: number; longestSeconds: number } {
    const now = this.#clock.monotonic();
    let seconds = 0;
    let longestSeconds = 0;
    for (const { since } of this.#working.values()) {
      const age = (now - since) / 1000;
      seconds += age;
      longestSeconds = Math.max(longestSeconds, age);
    }
    return { seconds, longestSeconds };
  }

  /** Queues `key` now. */
  add(key: string, options: AddOptions = {}): void {
    if (this.#closed) return;
    this.#enqueue(key, options.bulk ?? false);
  }

  /**
   * Queues `key` in `ms` milliseconds, or when it was already going to be, if that is earlier.
   * Called by the key's own worker without a priority, it keeps the priority it was handed out with.
   */
  addAfter(key: string, ms: number, options: AddOptions = {}): void {
    if (this.#closed) return;
    const bulk = options.bulk ?? this.#working.get(key)?.bulk ?? false;
    if (!(ms > 0)) return this.#enqueue(key, bulk);
    this.#delayed.add(key, this.#clock.monotonic() + ms, bulk);
    this.#armTimer();
  }

  /** Counts a failure of `key` and queues it after its backoff. Returns the delay in ms. */
  addRateLimited(
    key: string,
    options: AddOptions & { minMs?: number; maxMs?: number } = {},
  ): number {
    const failures = this.countFailure(key) - 1;
    const backoff = Math.min(this.#retryInitialMs * 2 ** failures, this.#retryMaxMs);
    const ms = Math.max(Math.min(backoff, options.maxMs ?? Infinity), options.minMs ?? 0);
    this.addAfter(key, ms, options.bulk === undefined ? {} : { bulk: options.bulk });
    return ms;
  }

  /** Counts a failure of `key` without queueing it. Returns how many there are in a row. */
  countFailure(key: string): number {
    const failures = this.failures(key) + 1;
    this.#failures.set(key, failures);
    this.#metrics?.retried(this.name);
    return failures;
  }

  /** Failures of `key` in a row. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Ends the row of failures of `key`. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /**
   * The next key; waits for one. Undefined once the queue is shut down and empty, or when `signal`
   * aborts. The caller owes a `done(key)`.
   */
  get(signal?: AbortSignal): Promise<string | undefined> {
    if (signal?.aborted) return Promise.resolve(undefined);
    const key = this.#take();
    if (key !== undefined) return Promise.resolve(key);
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const onAbort = () => getter.resolve(undefined);
      const getter: Getter = {
        resolve: (value) => {
          this.#getters.delete(getter);
          signal?.removeEventListener("abort", onAbort);
          resolve(value);
        },
      };
      this.#getters.add(getter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** The work on `key` has ended. */
  done(key: string): void {
    const work = this.#working.get(key);
    assert(work, `done("${key}") without the key having been handed out`);
    this.#working.delete(key);
    this.#metrics?.worked(this.name, (this.#clock.monotonic() - work.since) / 1000);
    if (work.again) this.#push(key, work.again.bulk, work.again.since);
    this.#checkDrained();
  }

  /** Accepts nothing more. */
  shutDown(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#delayed.clear();
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = undefined;
    if (this.#waiting.size === 0) {
      for (const getter of [...this.#getters]) getter.resolve(undefined);
    }
    this.#checkDrained();
  }

  /** Shuts down; resolves when what waited has been handed out and all that was handed out is done. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#drainers.push(resolve);
      this.shutDown();
      this.#checkDrained();
    });
  }

  #enqueue(key: string, bulk: boolean): void {
    const work = this.#working.get(key);
    if (work) {
      if (work.again) {
        work.again.bulk &&= bulk;
      } else {
        work.again = { bulk, since: this.#clock.monotonic() };
        this.#metrics?.added(this.name);
      }
      return;
    }
    const waiting = this.#waiting.get(key);
    if (!waiting) {
      this.#metrics?.added(this.name);
      return this.#push(key, bulk, this.#clock.monotonic());
    }
    if (waiting.bulk && !bulk) {
      waiting.valid = false;
      this.#push(key, false, waiting.since);
    }
  }

  #push(key: string, bulk: boolean, since: number): void {
    const slot: Waiting = { key, bulk, since, valid: true };
    this.#waiting.set(key, slot);
    (bulk ? this.#bulk : this.#live).push(slot);
    const getter = this.#getters.values().next().value;
    if (getter) getter.resolve(this.#take());
    else this.#metrics?.depth(this.name, this.#waiting.size);
  }

  #take(): string | undefined {
    const slot = this.#live.shift() ?? this.#bulk.shift();
    if (!slot) return undefined;
    const now = this.#clock.monotonic();
    this.#waiting.delete(slot.key);
    assert(!this.#working.has(slot.key), `"${slot.key}" would be worked on twice at once`);
    this.#working.set(slot.key, { bulk: slot.bulk, since: now });
    this.#metrics?.depth(this.name, this.#waiting.size);
    this.#metrics?.waited(this.name, (now - slot.since) / 1000);
    if (this.#closed && this.#waiting.size === 0) {
      for (const getter of [...this.#getters]) getter.resolve(undefined);
    }
    return slot.key;
  }

  #armTimer(): void {
    const due = this.#delayed.peek()?.due;
    if (due === undefined || (this.#timer && this.#timer.due <= due)) return;
    this.#timer?.handle[Symbol.dispose]();
    // Rounded up: platform timers cut fractions off and would fire before the key is due.
    const ms = Math.ceil(Math.max(0, due - this.#clock.monotonic()));
    const handle = this.#clock.setTimer(Math.min(ms, TIMER_MAX_MS), () => {
      this.#timer = undefined;
      const now = this.#clock.monotonic();
      for (let item = this.#delayed.takeDue(now); item; item = this.#delayed.takeDue(now)) {
        this.#enqueue(item.key, item.bulk);
      }
      this.#armTimer();
    });
    this.#timer = { due, handle };
  }

  #checkDrained(): void {
    if (!this.#closed || this.#waiting.size > 0 || this.#working.size > 0) return;
    for (const resolve of this.#drainers.splice(0)) resolve();
  }
}

/** Platform timers take at most 2^31 - 1 ms; a longer one would fire at once. */
const TIMER_MAX_MS = 2 ** 30;
/** Used slots at the front of a queue before they are given back. */
const COMPACT_MIN = 256;

/** First in, first out, amortised O(1); invalid slots are skipped. */
class Fifo {
  #slots: (Waiting | undefined)[] = [];
  #head = 0;

  push(slot: Waiting): void {
    this.#slots.push(slot);
  }

  shift(): Waiting | undefined {
    let found: Waiting | undefined;
    while (!found && this.#head < this.#slots.length) {
      const slot = this.#slots[this.#head];
      this.#slots[this.#head++] = undefined;
      if (slot?.valid) found = slot;
    }
    // Give the used front back once it is half of the array: amortised, each slot is moved once.
    if (this.#head >= COMPACT_MIN && this.#head * 2 >= this.#slots.length) {
      this.#slots = this.#slots.slice(this.#head);
      this.#head = 0;
    }
    return found;
  }
}
