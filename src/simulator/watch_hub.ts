/**
 * Watchers: who gets which event, as which kind of event, and when bookmarks and the end come.
 *
 * Guarantees: events reach a watcher in order of revision, each exactly once; a line of JSON is made
 * once an event and shared. Delivery happens inside the commit that caused it, without promises. A slow
 * reader's events wait in its stream, without bound: the simulator never drops a watcher by itself.
 */
import type { Clock } from "../lib/clock.ts";
import { encode, type KubeObject } from "./objects.ts";
import { expired, type Status, type StatusError } from "./status.ts";
import type { EventType, Representation, Store, StoreEvent } from "./store.ts";

/** Real servers send a bookmark about once a minute, and one shortly before they end a watch. */
const BOOKMARK_MS = 60_000;
const LAST_BOOKMARK_MS = 2_000;

/** What a reader sees: the newest state, or the state at an older revision (a stale replica). */
export interface ReadView {
  /** Newest revision that shows; undefined: whatever is newest. */
  readonly frozenAt: number | undefined;
}

/** How an event becomes bytes, where that is not the plain JSON of the object. */
export type LineEncoder = (type: EventType, object: KubeObject) => Uint8Array;

export interface WatchOptions {
  readonly storage: string;
  readonly view: ReadView;
  readonly representation: Representation;
  /** For the `object` of bookmarks. */
  readonly kind: string;
  /** Namespace and selectors. */
  readonly selects: (object: KubeObject) => boolean;
  /** Events after this revision. */
  readonly after: number;
  /** Sent as ADDED before anything else. */
  readonly initial: readonly KubeObject[] | undefined;
  readonly bookmarks: boolean;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Instead of the shared JSON lines. */
  readonly encodeLine?: LineEncoder;
}

export class WatchHub {
  readonly #clock: Clock;
  readonly #store: Store;
  readonly #watchers = new Map<string, Set<Watcher>>();

  constructor(options: { clock: Clock; store: Store }) {
    this.#clock = options.clock;
    this.#store = options.store;
  }

  /** Watches that are open now. */
  get size(): number {
    let size = 0;
    for (const watchers of this.#watchers.values()) size += watchers.size;
    return size;
  }

  open(options: WatchOptions): ReadableStream<Uint8Array> {
    const watchers = this.#watchers.get(options.storage) ?? new Set();
    this.#watchers.set(options.storage, watchers);
    const watcher = new Watcher(options, this.#clock, this.#store, () => watchers.delete(watcher));
    watchers.add(watcher);
    watcher.begin();
    return watcher.stream;
  }

  /** A commit happened. */
  publish(storage: string, event: StoreEvent): void {
    const watchers = this.#watchers.get(storage);
    if (watchers === undefined) return;
    for (const watcher of watchers) {
      if (watcher.view.frozenAt === undefined) watcher.deliver(event);
    }
  }

  /** `view` shows more than before: its watchers catch up. */
  catchUp(view: ReadView): void {
    for (const watchers of this.#watchers.values()) {
      for (const watcher of watchers) if (watcher.view === view) watcher.catchUp();
    }
  }

  /** Ends watches as a server going away does: without an event. All of them, or those that match. */
  closeAll(matches: (storage: string, view: ReadView) => boolean = () => true): void {
    for (const [storage, watchers] of this.#watchers) {
      for (const watcher of [...watchers]) if (matches(storage, watcher.view)) watcher.close();
    }
  }

  /** Ends the watches of a collection with an ERROR event, such as 410. */
  failAll(storage: string, error: StatusError): void {
    for (const watcher of [...this.#watchers.get(storage) ?? []]) watcher.fail(error.status);
  }
}

class Watcher {
  readonly view: ReadView;
  readonly stream: ReadableStream<Uint8Array>;
  readonly #options: WatchOptions;
  readonly #clock: Clock;
  readonly #store: Store;
  readonly #onEnd: () => void;
  readonly #deadline: number;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #bookmarkTimer: Disposable | undefined;
  #endTimer: Disposable | undefined;
  /** Events up to this revision are sent (or were not wanted). */
  #position: number;
  readonly #onAbort = () =>
    this.#end((controller) => controller.error(this.#options.signal?.reason));

  constructor(options: WatchOptions, clock: Clock, store: Store, onEnd: () => void) {
    this.view = options.view;
    this.#options = options;
    this.#clock = clock;
    this.#store = store;
    this.#onEnd = onEnd;
    this.#position = options.after;
    this.#deadline = clock.monotonic() + options.timeoutMs;
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => this.#end(() => {}),
    });
  }

  /** Once the hub knows it: sending may already end it. */
  begin(): void {
    const { signal, initial, bookmarks, timeoutMs } = this.#options;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#endTimer = this.#clock.setTimer(timeoutMs, () => this.close());
    if (initial !== undefined) {
      for (const object of initial) this.#send("ADDED", object, undefined);
      if (bookmarks) this.#bookmark(true);
    }
    this.catchUp();
    if (bookmarks) this.#planBookmark();
  }

  /** Sends what the view shows by now and this watcher has not had. */
  catchUp(): void {
    const limit = this.view.frozenAt ?? this.#store.revision;
    if (this.#position >= limit) return;
    const collection = this.#store.collection(this.#options.storage);
    const events = collection.after(this.#position);
    if (events === undefined) {
      this.fail(tooOld(this.#position, collection.floor).status);
      return;
    }
    for (const event of events) if (event.revision <= limit) this.deliver(event);
    this.#position = Math.max(this.#position, limit);
  }

  deliver(event: StoreEvent): void {
    if (event.revision <= this.#position) return;
    this.#position = event.revision;
    const { selects } = this.#options;
    const isIn = event.type !== "DELETED" && selects(event.object);
    const wasIn = event.previous !== undefined && selects(event.previous);
    if (isIn) this.#send(wasIn ? "MODIFIED" : "ADDED", event.object, event);
    else if (wasIn) this.#send("DELETED", event.departed ?? event.object, event);
  }

  fail(status: Status): void {
    this.#enqueue(encode(`{"type":"ERROR","object":${JSON.stringify(status)}}\n`));
    this.close();
  }

  close(): void {
    this.#end((controller) => controller.close());
  }

  #send(type: EventType, object: KubeObject, event: StoreEvent | undefined): void {
    const { representation, encodeLine } = this.#options;
    if (encodeLine !== undefined) this.#enqueue(encodeLine(type, representation.of(object)));
    else if (event !== undefined) this.#enqueue(event.line(type, representation));
    else {
      const text = JSON.stringify(representation.of(object));
      this.#enqueue(encode(`{"type":"${type}","object":${text}}\n`));
    }
  }

  #bookmark(initialEventsEnd: boolean): void {
    const { kind, representation } = this.#options;
    const revision = this.view.frozenAt ?? this.#store.revision;
    const metadata = {
      resourceVersion: String(Math.max(revision, this.#position)),
      ...(initialEventsEnd ? { annotations: { "k8s.io/initial-events-end": "true" } } : {}),
    };
    const object = { kind, apiVersion: representation.name, metadata };
    this.#enqueue(encode(`{"type":"BOOKMARK","object":${JSON.stringify(object)}}\n`));
  }

  #planBookmark(): void {
    const left = this.#deadline - this.#clock.monotonic() - LAST_BOOKMARK_MS;
    if (left <= 0) return;
    this.#bookmarkTimer = this.#clock.setTimer(Math.min(BOOKMARK_MS, left), () => {
      this.#bookmark(false);
      this.#planBookmark();
    });
  }

  #enqueue(line: Uint8Array): void {
    this.#controller?.enqueue(line);
  }

  #end(finish: (controller: ReadableStreamDefaultController<Uint8Array>) => void): void {
    const controller = this.#controller;
    if (controller === undefined) return;
    this.#controller = undefined;
    this.#bookmarkTimer?.[Symbol.dispose]();
    this.#endTimer?.[Symbol.dispose]();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#onEnd();
    finish(controller);
  }
}

/** The 410 of a watch whose start is forgotten. */
export function tooOld(asked: number, floor: number): StatusError {
  return expired(`too old resource version: ${asked} (${floor})`);
}
