/**
 * The two requests an informer makes, each under deadlines of its own.
 *
 * Neither trusts the transport to end by itself: a deadline or an abort settles the promise at once,
 * and whatever arrives later is cancelled. Nothing stays behind: no timer, no listener, no reader.
 */
import type { Clock } from "../lib/clock.ts";
import type { Codec, ListPage, StoredObject, WatchDecoder, WatchEvent } from "./ports/codec.ts";
import { KubeConnectionError } from "./ports/errors.ts";
import type { RequestOptions, RestClient } from "./ports/rest.ts";

/** From the request to the last byte of a page; the API server itself gives up after 60 s. */
export const LIST_DEADLINE_MS = 60_000;
/** From the request to the headers of a watch, which the API server sends at once. */
export const WATCH_OPEN_MS = 30_000;
/** How long after its timeoutSeconds a watch may still be open. */
export const WATCH_OVERTIME_MS = 30_000;

export interface RequestContext<T extends StoredObject> {
  readonly rest: RestClient;
  readonly codec: Codec<T>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface Target {
  readonly path: string;
  readonly querystring: URLSearchParams;
}

/** @throws KubeApiError, KubeConnectionError, SyntaxError, or the signal's reason. */
export async function requestPage<T extends StoredObject>(
  context: RequestContext<T>,
  target: Target,
): Promise<ListPage<T>> {
  const { rest, codec } = context;
  using call = new Call(context);
  const request = { ...target, accept: codec.listAccept };
  const work = perform((options) => rest.performRequest(options), request, call);
  const body = await call.within(work, LIST_DEADLINE_MS);
  if (body === LATE) throw call.giveUp(`list ${target.path}`, LIST_DEADLINE_MS);
  return codec.decodeList(body);
}

export type Read<T> =
  | { readonly kind: "events"; readonly events: readonly WatchEvent<T>[] }
  | { readonly kind: "closed" }
  | { readonly kind: "stalled" };

/** An open watch. Close it, whatever it last said. */
export class WatchStream<T extends StoredObject> {
  readonly #call: Call;
  readonly #clock: Clock;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder: WatchDecoder<T>;
  readonly #path: string;
  readonly #endAt: number;
  #eventAt: number;
  #waiting: Waiting | undefined;
  /** One for many reads, since hardly any is late: whether time is up is seen when it fires. */
  #timer: { readonly at: number; readonly handle: Disposable } | undefined;

  private constructor(
    call: Call,
    body: ReadableStream<Uint8Array>,
    about: { clock: Clock; codec: Codec<T>; path: string; timeoutMs: number },
  ) {
    this.#call = call;
    this.#clock = about.clock;
    this.#reader = body.getReader();
    this.#decoder = about.codec.watchDecoder();
    this.#path = about.path;
    this.#eventAt = about.clock.monotonic();
    this.#endAt = this.#eventAt + about.timeoutMs + WATCH_OVERTIME_MS;
    // The request's own signal may no longer reach a body once it flows: end it ourselves.
    call.onAbort(() => {
      this.#settle()?.reject(call.signal.reason);
      this.#reader.cancel().catch(ignore);
    });
  }

  /** @throws KubeApiError, KubeConnectionError, or the signal's reason. */
  static async open<T extends StoredObject>(
    context: RequestContext<T>,
    target: Target,
    timeoutMs: number,
  ): Promise<WatchStream<T>> {
    const { rest, codec, clock } = context;
    const call = new Call(context);
    try {
      const request = { ...target, accept: codec.watchAccept };
      const work = perform(
        (options) => rest.performRequest({ ...options, expectStream: true }),
        request,
        call,
      );
      // Whoever comes when nobody waits is sent home.
      work.then((body) => {
        if (call.ended) body.cancel().catch(ignore);
      }, ignore);
      const body = await call.within(work, WATCH_OPEN_MS);
      if (body === LATE) throw call.giveUp(`watch ${target.path}`, WATCH_OPEN_MS);
      return new WatchStream(call, body, { clock, codec, path: target.path, timeoutMs });
    } catch (error) {
      call[Symbol.dispose]();
      throw error;
    }
  }

  /** @throws KubeConnectionError, SyntaxError, or the signal's reason. */
  async read(idleMs: number): Promise<Read<T>> {
    while (true) {
      const limitAt = Math.min(this.#eventAt + idleMs, this.#endAt);
      if (limitAt <= this.#clock.monotonic()) return { kind: "stalled" };
      const read = await this.#next(limitAt);
      if (read === LATE) return { kind: "stalled" };
      if (read.done) return this.#closed();
      const events = this.#decoder.push(read.value);
      if (events.length === 0) continue;
      this.#eventAt = this.#clock.monotonic();
      return { kind: "events", events };
    }
  }

  close(): void {
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = undefined;
    this.#call[Symbol.dispose]();
  }

  /** The next chunk; {@link LATE} when it has not come by `limitAt`. @throws the reason of an abort. */
  #next(limitAt: number): Promise<Chunk | typeof LATE> {
    return new Promise((resolve, reject) => {
      if (this.#call.ended) return reject(this.#call.signal.reason);
      const waiting = { limitAt, resolve, reject };
      this.#waiting = waiting;
      this.#watchOver(limitAt);
      this.#reader.read().then(
        (chunk) => this.#waiting === waiting && this.#settle()?.resolve(chunk),
        (error) => this.#waiting === waiting && this.#settle()?.reject(error),
      );
    });
  }

  #settle(): Waiting | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }

  #watchOver(limitAt: number): void {
    if (this.#timer && this.#timer.at <= limitAt) return;
    this.#timer?.handle[Symbol.dispose]();
    const handle = this.#clock.setTimer(limitAt - this.#clock.monotonic(), () => {
      this.#timer = undefined;
      if (!this.#waiting) return;
      if (this.#waiting.limitAt > this.#clock.monotonic()) this.#watchOver(this.#waiting.limitAt);
      else this.#settle()?.resolve(LATE);
    });
    this.#timer = { at: limitAt, handle };
  }

  #closed(): Read<T> {
    try {
      this.#decoder.end();
    } catch (cause) {
      const reason = `Cannot watch ${this.#path}: the connection ended inside an event`;
      throw new KubeConnectionError("interrupted", reason, cause);
    }
    return { kind: "closed" };
  }
}

const LATE = Symbol("late");

type Chunk = ReadableStreamReadResult<Uint8Array>;

/** Whoever waits for a chunk. */
interface Waiting {
  readonly limitAt: number;
  resolve(chunk: Chunk | typeof LATE): void;
  reject(reason: unknown): void;
}

/** A request's life: aborts with the caller's signal, and for good when disposed of. */
class Call implements Disposable {
  readonly #clock: Clock;
  readonly #outer: AbortSignal;
  readonly #controller = new AbortController();
  readonly #onOuterAbort = () => this.#abort(this.#outer.reason);
  #aborted: (() => void)[] = [];

  constructor(context: { readonly clock: Clock; readonly signal: AbortSignal }) {
    this.#clock = context.clock;
    this.#outer = context.signal;
    if (this.#outer.aborted) this.#onOuterAbort();
    else this.#outer.addEventListener("abort", this.#onOuterAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get ended(): boolean {
    return this.signal.aborted;
  }

  onAbort(callback: () => void): void {
    if (this.ended) callback();
    else this.#aborted.push(callback);
  }

  /** As `work` settles; {@link LATE} when `ms` pass first. @throws the reason when the call is aborted first. */
  within<R>(work: Promise<R>, ms: number): Promise<R | typeof LATE> {
    return new Promise((resolve, reject) => {
      if (this.ended) {
        work.catch(ignore);
        return reject(this.signal.reason);
      }
      const end = () => {
        timer[Symbol.dispose]();
        this.signal.removeEventListener("abort", onAbort);
      };
      const onAbort = () => {
        end();
        reject(this.signal.reason);
      };
      const timer = this.#clock.setTimer(ms, () => {
        end();
        resolve(LATE);
      });
      this.signal.addEventListener("abort", onAbort, { once: true });
      work.then((value) => {
        end();
        resolve(value);
      }, (error) => {
        end();
        reject(error);
      });
    });
  }

  /** Ends the call and says why. */
  giveUp(action: string, ms: number): KubeConnectionError {
    const reason = `Cannot ${action}: no answer within ${ms / 1000} s`;
    const error = new KubeConnectionError("timeout", reason);
    this.#abort(error);
    return error;
  }

  [Symbol.dispose](): void {
    this.#outer.removeEventListener("abort", this.#onOuterAbort);
    this.#abort(new DOMException("the request is over", "AbortError"));
  }

  #abort(reason: unknown): void {
    if (this.ended) return;
    this.#controller.abort(reason);
    for (const callback of this.#aborted) callback();
    this.#aborted = [];
  }
}

type Get = Target & { readonly accept: string };

/** Async, so that a client that throws at once rejects like any other. */
async function perform<R>(
  send: (options: RequestOptions) => Promise<R>,
  request: Get,
  call: Call,
): Promise<R> {
  return await send({ method: "GET", ...request, abortSignal: call.signal });
}

function ignore(): void {}
