/**
 * A process of the simulation: a clock and connections of its own, and what can happen to it.
 *
 * - Crashed: no timer fires and no answer arrives any more, for ever. The server sees its connections
 *   close. Code that is just running comes to its next wait and stays there.
 * - Paused (SIGSTOP): timers and answers are held back until it wakes; monotonic time goes on. On waking,
 *   what arrived meanwhile is delivered in an order that the seed decides: answers or timers first.
 * - Its wall clock may jump; the monotonic clock never does.
 */
import type { Clock } from "../../src/lib/clock.ts";
import type { Random } from "../../src/lib/random.ts";

interface Held {
  readonly kind: "timer" | "answer";
  readonly run: () => void;
}

export class SimulatedProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly #base: Clock;
  readonly #random: Random;
  readonly #timers = new Set<Disposable>();
  readonly #connections = new Set<() => void>();
  #held: Held[] = [];
  #state: "running" | "paused" | "waking" | "crashed" = "running";
  #wallOffsetMs = 0;

  constructor(options: { name: string; clock: Clock; random: Random }) {
    this.name = options.name;
    this.#base = options.clock;
    this.#random = options.random;
    this.clock = {
      now: () => this.#base.now() + this.#wallOffsetMs,
      monotonic: () => this.#base.monotonic(),
      setTimer: (ms, callback) => this.#setTimer(ms, callback),
    };
  }

  get crashed(): boolean {
    return this.#state === "crashed";
  }

  get paused(): boolean {
    return this.#state === "paused";
  }

  /** Timers that its program has set and not cancelled. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  get openConnections(): number {
    return this.#connections.size;
  }

  crash(): void {
    if (this.crashed) return;
    this.#state = "crashed";
    this.#held = [];
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#timers.clear();
    for (const close of [...this.#connections]) close();
    this.#connections.clear();
  }

  pause(): void {
    if (!this.crashed) this.#state = "paused";
  }

  wake(): void {
    if (this.#state !== "paused") return;
    this.#state = "waking";
    const first = this.#random.next() < 0.5 ? "timer" : "answer";
    this.#held = [
      ...this.#held.filter(({ kind }) => kind === first),
      ...this.#held.filter(({ kind }) => kind !== first),
    ];
    this.#catchUp();
  }

  /** One at a time, with all that follows from it in between, as an event loop does. */
  #catchUp(): void {
    this.#base.setTimer(0, () => {
      // Stopped again meanwhile: the rest waits for the next time.
      if (this.#state !== "waking") return;
      this.#held.shift()?.run();
      if (this.#held.length > 0) this.#catchUp();
      else this.#state = "running";
    });
  }

  jumpWallClock(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  /** Something reaches the process: now, when it wakes, or never. */
  deliver(kind: Held["kind"], run: () => void): void {
    if (this.#state === "running") run();
    else if (!this.crashed) this.#held.push({ kind, run });
  }

  /** What `work` settles to, as far as the process gets to see it. */
  receive<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      work.then(
        (value) => this.deliver("answer", () => resolve(value)),
        (error) => this.deliver("answer", () => reject(error)),
      );
    });
  }

  /** `close` runs when the process crashes. Dispose when the connection has ended. */
  connect(close: () => void): Disposable {
    this.#connections.add(close);
    return { [Symbol.dispose]: () => void this.#connections.delete(close) };
  }

  #setTimer(ms: number, callback: () => void): Disposable {
    if (this.crashed) return { [Symbol.dispose]() {} };
    let cancelled = false;
    const timer = this.#base.setTimer(ms, () => {
      this.deliver("timer", () => {
        this.#timers.delete(handle);
        if (!cancelled) callback();
      });
    });
    const handle = {
      [Symbol.dispose]: () => {
        cancelled = true;
        this.#timers.delete(handle);
        timer[Symbol.dispose]();
      },
    };
    this.#timers.add(handle);
    return handle;
  }
}
