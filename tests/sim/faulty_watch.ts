/**
 * A watch's body on its way to a process: late, cut, silent, torn or wrong, but never out of order and
 * never with a hole that the server would not own up to. What is dropped stays dropped until the connection
 * ends: a client that goes on from the last version it saw misses nothing.
 */
import type { Clock } from "../../src/lib/clock.ts";
import { KubeConnectionError } from "../../src/runtime/ports/errors.ts";
import type { Fault, Faults } from "./faults.ts";
import type { SimulatedProcess } from "./process.ts";

/** What happens to a stream once, some time after it was opened. */
const FATES = [
  "watch-dropped-then-cut",
  "watch-stalled",
  "watch-truncated",
  "watch-closed",
  "watch-reset",
  "watch-error-410",
  "watch-error-500",
] as const satisfies readonly Fault[];
const FATE_WITHIN_MS = 40_000;
const DROPPING_MAX_MS = 30_000;
const LAG_MAX_MS = 15_000;
const SMALL_LAG_MAX_MS = 1_500;

const ERRORS = {
  "watch-error-410": { code: 410, reason: "Expired", message: "too old resource version" },
  "watch-error-500": { code: 500, reason: "InternalError", message: "etcd has no leader" },
} as const;

export interface WatchContext {
  readonly process: SimulatedProcess;
  readonly clock: Clock;
  readonly faults: Faults;
}

export class FaultyWatch {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #context: WatchContext;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #timers = new Set<Disposable>();
  readonly #connection: Disposable;
  readonly #onEnd: () => void;
  readonly #lagMs: number;
  readonly #splits: boolean;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** Sent and not yet arrived, in order. */
  readonly #underway: { readonly due: number; readonly run: () => void }[] = [];
  /** Why nothing more gets through. */
  #silent: "watch-dropped-then-cut" | "watch-stalled" | "ending" | undefined;
  #truncates = false;
  #over = false;

  constructor(source: ReadableStream<Uint8Array>, context: WatchContext, onEnd: () => void) {
    const { faults, process } = context;
    this.#context = context;
    this.#onEnd = onEnd;
    this.#reader = source.getReader();
    this.#lagMs = this.#drawLag();
    this.#splits = faults.strikes("watch-split");
    this.#connection = process.connect(() => this.end());
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => this.end(),
    });
    const fate = faults.pick(FATES);
    if (fate !== undefined) {
      this.#later(faults.between(0, FATE_WITHIN_MS), () => this.#meet(fate));
    }
    void this.#pump();
  }

  /** The connection breaks, as when the server goes down. */
  break(): void {
    this.#finish((controller) =>
      controller.error(new KubeConnectionError("interrupted", "Cannot watch: connection reset"))
    );
  }

  /** Nothing more gets through, and nobody says so. */
  silence(): void {
    this.#silent = "ending";
  }

  /** Nobody reads any more. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#timers.clear();
    this.#connection[Symbol.dispose]();
    this.#onEnd();
    this.#reader.cancel().catch(() => {});
  }

  #drawLag(): number {
    const { faults } = this.#context;
    if (faults.strikes("watch-lag-differs-by-type")) {
      faults.fired("watch-lag-differs-by-type");
      return faults.between(SMALL_LAG_MAX_MS, LAG_MAX_MS);
    }
    return faults.strikes("watch-delayed") ? faults.between(0, SMALL_LAG_MAX_MS) : 0;
  }

  async #pump(): Promise<void> {
    while (!this.#over) {
      const { done, value } = await this.#reader.read();
      if (this.#over) return;
      if (this.#silent !== undefined) {
        if (this.#silent !== "ending") this.#context.faults.fired(this.#silent);
        if (done) return;
        continue;
      }
      if (done) this.#inOrder(() => this.#finish((controller) => controller.close()));
      else this.#send(value);
      if (done) return;
    }
  }

  #send(chunk: Uint8Array): void {
    const { faults } = this.#context;
    if (this.#truncates) {
      this.#silent = "ending";
      const half = chunk.subarray(0, Math.ceil(chunk.length / 2));
      this.#inOrder(() => {
        this.#enqueue(half);
        faults.fired("watch-truncated");
        this.#finish((controller) => controller.close());
      });
      return;
    }
    if (this.#splits && faults.active && chunk.length > 2) {
      const at = 1 + Math.floor(faults.between(0, chunk.length - 1));
      faults.fired("watch-split");
      this.#inOrder(() => this.#enqueue(chunk.subarray(0, at)));
      this.#inOrder(() => this.#enqueue(chunk.subarray(at)));
      return;
    }
    this.#inOrder(() => this.#enqueue(chunk));
  }

  #meet(fate: (typeof FATES)[number]): void {
    const { faults } = this.#context;
    if (!faults.active || this.#over) return;
    switch (fate) {
      case "watch-dropped-then-cut":
        this.#silent = fate;
        this.#later(faults.between(0, DROPPING_MAX_MS), () => this.break());
        return;
      case "watch-stalled":
        this.#silent = fate;
        return;
      case "watch-truncated":
        this.#truncates = true;
        return;
      case "watch-closed":
        faults.fired(fate);
        return this.#inOrder(() => this.#finish((controller) => controller.close()));
      case "watch-reset":
        faults.fired(fate);
        return this.break();
      case "watch-error-410":
      case "watch-error-500": {
        faults.fired(fate);
        const object = { kind: "Status", apiVersion: "v1", status: "Failure", ...ERRORS[fate] };
        const line = new TextEncoder().encode(`${JSON.stringify({ type: "ERROR", object })}\n`);
        this.#silent = "ending";
        this.#inOrder(() => {
          this.#enqueue(line);
          this.#finish((controller) => controller.close());
        });
      }
    }
  }

  /** After everything that was sent before, with this stream's lag. */
  #inOrder(run: () => void): void {
    const { clock, faults } = this.#context;
    const now = clock.monotonic();
    const lag = faults.active ? this.#lagMs : 0;
    if (this.#underway.length === 0 && lag === 0) return this.#arrive(run);
    if (lag > 0 && lag <= SMALL_LAG_MAX_MS) faults.fired("watch-delayed");
    this.#underway.push({ due: now + lag, run });
    if (this.#underway.length === 1) this.#awaitNext();
  }

  #awaitNext(): void {
    const [next] = this.#underway;
    if (next === undefined) return;
    this.#later(Math.max(0, next.due - this.#context.clock.monotonic()), () => {
      this.#underway.shift();
      this.#arrive(next.run);
      this.#awaitNext();
    });
  }

  #arrive(run: () => void): void {
    this.#context.process.deliver("answer", () => this.#over || run());
  }

  #enqueue(chunk: Uint8Array): void {
    this.#controller?.enqueue(chunk);
  }

  #finish(how: (controller: ReadableStreamDefaultController<Uint8Array>) => void): void {
    this.#context.process.deliver("answer", () => {
      if (this.#over) return;
      this.end();
      if (this.#controller !== undefined) how(this.#controller);
    });
  }

  #later(ms: number, run: () => void): void {
    const timer = this.#context.clock.setTimer(ms, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
  }
}
