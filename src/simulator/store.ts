/**
 * Versioned storage, as etcd and the API server's watch cache give it together: one revision counter
 * for everything, a bounded history of events a collection, and reads of any state within it.
 *
 * Guarantees: objects are frozen and shared; each commit takes the next revision and reaches `onCommit`
 * before the call returns. It knows nothing of types, validation or watchers.
 */
import { assert } from "../lib/assert.ts";
import { deepFreeze, encode, type KubeObject, textOf, withMeta } from "./objects.ts";

export type EventType = "ADDED" | "MODIFIED" | "DELETED";

/** One change. For a deletion `object` is the last state, at the revision of the deletion. */
export class StoreEvent {
  #departed: KubeObject | undefined;
  readonly #lines = new Map<string, Uint8Array>();

  constructor(
    readonly revision: number,
    readonly type: EventType,
    readonly key: string,
    readonly object: KubeObject,
    readonly previous: KubeObject | undefined,
  ) {}

  /** What a watcher whose selector no longer matches gets as DELETED: the state before, at this revision. */
  get departed(): KubeObject | undefined {
    if (this.type === "DELETED") return this.object;
    if (this.previous === undefined) return undefined;
    this.#departed ??= withMeta(this.previous, { resourceVersion: String(this.revision) });
    return this.#departed;
  }

  /** The event's line of a watch body, made once for all watchers that see it alike. */
  line(type: EventType, represent: Representation): Uint8Array {
    const key = `${type} ${represent.name}`;
    const known = this.#lines.get(key);
    if (known !== undefined) return known;
    const object = type === "DELETED" ? this.departed ?? this.object : this.object;
    const line = encode(`{"type":"${type}","object":${textOf(represent.of(object))}}\n`);
    this.#lines.set(key, line);
    return line;
  }
}

/** How a served type shows stored objects; `name` tells representations apart. */
export interface Representation {
  readonly name: string;
  of(object: KubeObject): KubeObject;
}

/** Objects in order of their keys. */
export interface Snapshot {
  readonly revision: number;
  readonly keys: readonly string[];
  readonly objects: ReadonlyMap<string, KubeObject>;
}

/** Index of the first key not below `key`. */
export function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

const SNAPSHOTS_MAX = 4;

export class Collection {
  readonly objects = new Map<string, KubeObject>();
  /** All keys, sorted. */
  readonly keys: string[] = [];
  readonly #window: number;
  #events: StoreEvent[] = [];
  /** Revision of the newest forgotten event: history is known after it. */
  #floor: number;
  readonly #snapshots = new Map<number, Snapshot>();

  constructor(window: number, floor: number) {
    this.#window = window;
    this.#floor = floor;
  }

  get floor(): number {
    return this.#floor;
  }

  record(event: StoreEvent): void {
    if (event.type === "DELETED") {
      this.objects.delete(event.key);
      this.keys.splice(lowerBound(this.keys, event.key), 1);
    } else {
      if (event.type === "ADDED") this.keys.splice(lowerBound(this.keys, event.key), 0, event.key);
      this.objects.set(event.key, event.object);
    }
    this.#events.push(event);
    // Cut in large steps: a shift an event would cost O(window) each.
    if (this.#events.length >= this.#window * 2) this.#forget(this.#events.length - this.#window);
  }

  /** Events after `revision`, oldest first; undefined when some of them are forgotten. */
  after(revision: number): readonly StoreEvent[] | undefined {
    if (revision < this.#floor) return undefined;
    return this.#events.slice(this.#firstAfter(revision));
  }

  /** The state at `revision`; undefined when the history does not reach back that far. */
  at(revision: number): Snapshot | undefined {
    const first = this.#firstAfter(revision);
    if (first === this.#events.length && revision >= this.#floor) {
      return { revision, keys: this.keys, objects: this.objects };
    }
    if (revision < this.#floor) return undefined;
    const known = this.#snapshots.get(revision);
    if (known !== undefined) return known;
    const objects = new Map(this.objects);
    for (let index = this.#events.length - 1; index >= first; index--) {
      const event = this.#events[index] as StoreEvent;
      if (event.previous === undefined) objects.delete(event.key);
      else objects.set(event.key, event.previous);
    }
    const snapshot = { revision, keys: [...objects.keys()].sort(), objects };
    this.#snapshots.set(revision, snapshot);
    for (const old of this.#snapshots.keys()) {
      if (this.#snapshots.size <= SNAPSHOTS_MAX) break;
      this.#snapshots.delete(old);
    }
    return snapshot;
  }

  compact(revision: number): void {
    this.#forget(this.#firstAfter(revision));
    this.#floor = Math.max(this.#floor, revision);
  }

  #firstAfter(revision: number): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#events[middle] as StoreEvent).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #forget(count: number): void {
    const last = this.#events[count - 1];
    if (last === undefined) return;
    this.#floor = Math.max(this.#floor, last.revision);
    this.#events = this.#events.slice(count);
    for (const revision of this.#snapshots.keys()) {
      if (revision < this.#floor) this.#snapshots.delete(revision);
    }
  }
}

export interface StoreOptions {
  /** Events kept a collection, at least; the rest is "too old resource version". */
  historyWindow: number;
  onCommit: (storage: string, event: StoreEvent) => void;
}

export class Store {
  readonly #options: StoreOptions;
  readonly #collections = new Map<string, Collection>();
  #revision = 1;
  #compacted = 0;

  constructor(options: StoreOptions) {
    assert(options.historyWindow > 0, "historyWindow is positive");
    this.#options = options;
  }

  /** Revision of the newest commit. */
  get revision(): number {
    return this.#revision;
  }

  /** Newest revision given to {@link compact}. */
  get compacted(): number {
    return this.#compacted;
  }

  collection(storage: string): Collection {
    const known = this.#collections.get(storage);
    if (known !== undefined) return known;
    const made = new Collection(this.#options.historyWindow, this.#compacted);
    this.#collections.set(storage, made);
    return made;
  }

  /** Names of all collections, in order of their making. */
  storages(): Iterable<string> {
    return this.#collections.keys();
  }

  get(storage: string, key: string): KubeObject | undefined {
    return this.#collections.get(storage)?.objects.get(key);
  }

  /** Creates or replaces; gives back the stored object with its resourceVersion. */
  put(storage: string, key: string, object: KubeObject): KubeObject {
    const collection = this.collection(storage);
    const previous = collection.objects.get(key);
    const revision = ++this.#revision;
    const metadata = { ...object.metadata, resourceVersion: String(revision) };
    const stored = deepFreeze({ ...object, metadata });
    const type = previous === undefined ? "ADDED" : "MODIFIED";
    const event = new StoreEvent(revision, type, key, stored, previous);
    collection.record(event);
    this.#options.onCommit(storage, event);
    return stored;
  }

  /** Removes what must be there; gives back its last state at the revision of the removal. */
  remove(storage: string, key: string): KubeObject {
    const collection = this.collection(storage);
    const previous = collection.objects.get(key);
    assert(previous !== undefined, `${storage} ${key} is stored`);
    const revision = ++this.#revision;
    const last = withMeta(previous, { resourceVersion: String(revision) });
    const event = new StoreEvent(revision, "DELETED", key, last, previous);
    collection.record(event);
    this.#options.onCommit(storage, event);
    return last;
  }

  /** Forgets all history up to `revision`: older watches, exact lists and continue tokens expire. */
  compact(revision: number): void {
    this.#compacted = Math.max(this.#compacted, Math.min(revision, this.#revision));
    for (const collection of this.#collections.values()) collection.compact(this.#compacted);
  }
}
