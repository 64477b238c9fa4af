/**
 * One request and its response, from the wire's `send` to the last byte: holds the deadline, the
 * abort listener and the body on its way to the reader. Knows nothing of sockets: whatever carries
 * it implements {@link Carrier}.
 */
import type { Clock } from "../lib/clock.ts";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import type { ResponseHead } from "./http1_head.ts";
import type { WireRequest, WireResponse } from "./wire.ts";

/** A stream's reader may lag this far behind before the connection is no longer read. */
const STREAM_BUFFER_BYTES = 256 * 1024;

export interface Carrier {
  pause(): void;
  resume(): void;
  /** The exchange is over before its response was complete: nothing more may arrive. */
  abandon(): void;
}

export interface ExchangeOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Named in errors: the server's URL. */
  readonly server: string;
}

export class Exchange implements WireResponse {
  readonly request: WireRequest;
  /** How often it was handed to a connection. */
  attempts = 0;
  readonly response: Promise<WireResponse>;
  #head: ResponseHead | undefined;
  readonly #options: ExchangeOptions;
  readonly #settle: PromiseWithResolvers<WireResponse>;
  #carrier: Carrier | undefined;
  #timer: Disposable | undefined;
  #progressed = false;
  #over = false;
  #error: unknown;
  #chunks: Uint8Array[] = [];
  #waiting: PromiseWithResolvers<Uint8Array> | undefined;
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(request: WireRequest, options: ExchangeOptions) {
    this.request = request;
    this.#options = options;
    this.#settle = Promise.withResolvers();
    this.response = this.#settle.promise;
    this.#arm();
    if (request.signal?.aborted) this.#onAbort();
    else request.signal?.addEventListener("abort", this.#onAbort);
  }

  get over(): boolean {
    return this.#over;
  }

  get status(): number {
    return this.#head?.status ?? 0;
  }

  get headers(): ReadonlyMap<string, string> {
    return this.#head?.headers ?? new Map();
  }

  carriedBy(carrier: Carrier): void {
    this.#carrier = carrier;
    this.attempts++;
  }

  onHead(head: ResponseHead): void {
    this.#head = head;
    this.#progressed = true;
    this.#settle.resolve(this);
  }

  onBody(chunk: Uint8Array): void {
    if (this.#over) return;
    this.#progressed = true;
    if (!this.#stream) {
      this.#chunks.push(chunk);
      return;
    }
    this.#stream.enqueue(chunk);
    if ((this.#stream.desiredSize ?? 0) <= 0) this.#carrier?.pause();
  }

  onEnd(): void {
    if (this.#over) return;
    this.#cleanUp();
    this.#stream?.close();
    this.#waiting?.resolve(this.#collected());
  }

  /** Ends it with `error` unless it is over. */
  fail(error: unknown): void {
    if (this.#over) return;
    this.#error = error;
    const carrier = this.#carrier;
    this.#cleanUp();
    carrier?.abandon();
    if (!this.#head) this.#settle.reject(error);
    this.#stream?.error(error);
    this.#waiting?.reject(error);
  }

  /** A failure of the connection while this was on it. */
  interrupted(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : "the connection was closed";
    this.fail(
      cause instanceof KubeConnectionError
        ? cause
        : new KubeConnectionError("interrupted", `Cannot ${this.#action}: ${reason}`, cause),
    );
  }

  bytes(): Promise<Uint8Array> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#over) return Promise.resolve(this.#collected());
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  stream(): ReadableStream<Uint8Array> {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (const chunk of this.#chunks) controller.enqueue(chunk);
        this.#chunks = [];
        if (this.#error !== undefined) controller.error(this.#error);
        else if (this.#over) controller.close();
        else this.#stream = controller;
      },
      pull: () => this.#carrier?.resume(),
      cancel: () => {
        this.#stream = undefined;
        this.fail(new KubeConnectionError("interrupted", "the reader cancelled"));
      },
    }, new ByteLengthQueuingStrategy({ highWaterMark: STREAM_BUFFER_BYTES }));
  }

  get #action(): string {
    return `${this.request.method} ${this.request.target} at ${this.#options.server}`;
  }

  readonly #onAbort = (): void => this.fail(this.request.signal?.reason);

  #arm(): void {
    this.#timer = this.#options.clock.setTimer(this.#options.timeoutMs, () => {
      if (this.#progressed) {
        this.#progressed = false;
        return this.#arm();
      }
      const seconds = this.#options.timeoutMs / 1000;
      const what = this.#head ? "no more of the answer" : "no answer";
      this.fail(
        new KubeConnectionError("timeout", `Cannot ${this.#action}: ${what} within ${seconds} s`),
      );
    });
  }

  #collected(): Uint8Array {
    const chunks = this.#chunks;
    this.#chunks = [];
    if (chunks.length === 1) return chunks[0] as Uint8Array;
    const all = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
    let at = 0;
    for (const chunk of chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  #cleanUp(): void {
    this.#over = true;
    // By the time a slow reader asks for more, the connection may be carrying another exchange.
    this.#carrier = undefined;
    this.#timer?.[Symbol.dispose]();
    this.request.signal?.removeEventListener("abort", this.#onAbort);
  }
}
