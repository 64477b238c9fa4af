/**
 * The store: an indexed cache of projections that never goes back in time.
 *
 * Guarantees
 * - Of two versions of an object the newer one wins (by resourceVersion), whatever order and way
 *   they come: watch, list, or the answer to a write of our own.
 * - Read-your-writes: {@link Store.observeWrite} and {@link Store.observeDelete} take effect at
 *   once; a watch event or list that is older does not undo them.
 * - What a scope's watch has passed ({@link Store.observeProgress}, {@link Store.replace}) is not
 *   brought back by a late answer or a repeated event.
 * - Objects and indexes change together, all of a list at once, before subscribers hear of it;
 *   they hear changes in one order, also of those they cause themselves. One that throws is
 *   logged and disturbs no other.
 * - An object replaced by another of its name is one change, with different uids.
 *
 * A scope is one namespace, or everything. Scopes of one store must not overlap; objects belong to
 * their namespace's scope where there is one. The store does no I/O and knows no time.
 */
import { assert } from "../lib/assert.ts";
import { type Logger, silentLogger } from "../lib/log.ts";
import type { StoredObject } from "./ports/codec.ts";
import { compareResourceVersions, objectKey } from "./resource.ts";
import { StoreIndex } from "./store_index.ts";

/** Most own deletes remembered at once; beyond it the oldest is forgotten. */
export const TOMBSTONES_MAX = 10_000;

export type ChangeCause = "watch" | "list" | "own-write" | "resync";

export interface Change<T> {
  readonly key: string;
  readonly before: T | undefined;
  readonly after: T | undefined;
  /** From the first list of its scope: there may be very many, and nothing has just happened. */
  readonly initial: boolean;
  readonly cause: ChangeCause;
}

export interface StoreOptions<T> {
  /** Index values by index name. Pure; called again for the old version when an object changes. */
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>;
  /** Hears of subscribers that throw. */
  readonly log?: Logger;
}

export interface ReplaceOptions {
  /** The namespace that was listed; absent: everything was. */
  readonly scope?: string;
  /** Of the list. */
  readonly resourceVersion: string;
  readonly initial: boolean;
  /** The server's history was replaced (a restored backup): take the list as it is, older or not. */
  readonly reset?: boolean;
}

/** Which incarnation a removal speaks of, and the version it was removed at. */
export interface Removal {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

interface Tombstone {
  readonly uid: string;
  /** The last version that is known to be deleted. */
  readonly resourceVersion: string;
}

interface How {
  readonly initial: boolean;
  readonly cause: ChangeCause;
}

/** The scope of everything: no namespace is called so. */
const EVERYTHING = "";

export class Store<T extends StoredObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, StoreIndex<T>>();
  readonly #tombstones = new Map<string, Tombstone>();
  /** Scope to the resourceVersion up to which everything has been seen. */
  readonly #progress = new Map<string, string>();
  readonly #handlers: ((change: Change<T>) => void)[] = [];
  readonly #log: Logger;
  #pending: Change<T>[] = [];
  #publishing = false;

  constructor(options: StoreOptions<T> = {}) {
    this.#log = options.log ?? silentLogger;
    for (const [name, valuesOf] of Object.entries(options.indexes ?? {})) {
      this.#indexes.set(name, new StoreIndex(valuesOf));
    }
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Own deletes that are remembered. */
  get tombstones(): number {
    return this.#tombstones.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  /** A fresh array of the objects that have `value` in that index, in no particular order. */
  byIndex(index: string, value: string): readonly T[] {
    const found: T[] = [];
    for (const key of this.#index(index).keys(value)) {
      const object = this.#objects.get(key);
      assert(object, `index ${index} holds ${key}, the store does not`);
      found.push(object);
    }
    return found;
  }

  /** How many objects `byIndex` would return, without collecting them. */
  countByIndex(index: string, value: string): number {
    return this.#index(index).count(value);
  }

  /** A live view: do not change the store while iterating. */
  values(): Iterable<T> {
    return this.#objects.values();
  }

  /** `handler` hears every change from now on. */
  subscribe(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
  }

  /** Takes a newer version; an older or equal one changes nothing. */
  upsert(object: T, cause: ChangeCause): void {
    const change = this.#upsert(object, { initial: false, cause }, true);
    if (change) this.#publish([change]);
  }

  /** Ignored when what is stored is newer than the removal, or (version unknown) of another uid. */
  remove(key: string, removal: Removal, cause: ChangeCause): void {
    const { uid, resourceVersion } = removal;
    if (uid === undefined || this.#tombstones.get(key)?.uid === uid) this.#tombstones.delete(key);
    const before = this.#objects.get(key);
    if (!before) return;
    if (resourceVersion === undefined) {
      if (uid !== undefined && uid !== before.uid) return;
    } else if (compareResourceVersions(resourceVersion, before.resourceVersion) < 0) {
      return;
    }
    this.#publish([this.#set(key, undefined, { initial: false, cause })]);
  }

  /**
   * Makes a scope equal to a list: objects that it lacks are removed, except those written by us
   * after it. Objects whose version is known already raise no change.
   */
  replace(objects: readonly T[], options: ReplaceOptions): void {
    const { resourceVersion, initial, reset = false } = options;
    const scope = options.scope ?? EVERYTHING;
    const known = this.#progress.get(scope) ?? "";
    const late = !reset && compareResourceVersions(resourceVersion, known) < 0;
    if (!late) this.#progress.set(scope, resourceVersion);
    if (reset) this.#forgetTombstones(scope, undefined);
    const listed = new Set<string>();
    const changes: Change<T>[] = [];
    for (const object of objects) {
      const key = objectKey(object.namespace, object.name);
      listed.add(key);
      const change = reset
        ? this.#set(key, object, { initial, cause: "list" })
        : this.#upsert(object, { initial, cause: "list" }, late);
      if (change) changes.push(change);
    }
    for (const [key, object] of this.#objects) {
      if (listed.has(key) || this.#scopeOf(object.namespace) !== scope) continue;
      if (!reset && compareResourceVersions(object.resourceVersion, resourceVersion) > 0) continue;
      changes.push(this.#set(key, undefined, { initial, cause: "list" }));
    }
    this.#forgetTombstones(scope, { listed, resourceVersion });
    this.#publish(changes);
  }

  /** Everything of `scope` up to `resourceVersion` has been seen and applied. */
  observeProgress(resourceVersion: string, scope: string = EVERYTHING): void {
    const known = this.#progress.get(scope) ?? "";
    if (compareResourceVersions(resourceVersion, known) > 0) {
      this.#progress.set(scope, resourceVersion);
    }
  }

  /** The server's answer to our own create, update or patch: visible at once. */
  observeWrite(object: T): void {
    this.upsert(object, "own-write");
  }

  /**
   * The server accepted our delete of `uid`. `resourceVersion` is the version that was deleted (the
   * precondition), by default the one in the store. A later version of the same uid is an object that
   * finalizers still hold, and is shown again.
   */
  observeDelete(key: string, uid: string, resourceVersion?: string): void {
    const before = this.#objects.get(key);
    const deleted = resourceVersion ?? (before?.uid === uid ? before.resourceVersion : undefined);
    if (deleted === undefined) return;
    // Stored is a successor, or a later version that finalizers hold: it stays.
    if (before && compareResourceVersions(before.resourceVersion, deleted) > 0) return;
    // Without it in the store, the watch may already have told us of the end: nothing to guard against.
    if (!before && this.#passed(namespaceOf(key), deleted)) return;
    const known = this.#tombstones.get(key)?.resourceVersion ?? "";
    if (compareResourceVersions(deleted, known) <= 0) return;
    this.#tombstones.delete(key);
    this.#tombstones.set(key, { uid, resourceVersion: deleted });
    for (const [oldest] of this.#tombstones) {
      if (this.#tombstones.size <= TOMBSTONES_MAX) break;
      this.#tombstones.delete(oldest);
    }
    if (before) this.#publish([this.#set(key, undefined, { initial: false, cause: "own-write" })]);
  }

  /** Tells subscribers of each object of a scope again, as a change of nothing. */
  resync(scope: string = EVERYTHING): void {
    const changes: Change<T>[] = [];
    for (const [key, object] of this.#objects) {
      if (this.#scopeOf(object.namespace) !== scope) continue;
      changes.push({ key, before: object, after: object, initial: false, cause: "resync" });
    }
    this.#publish(changes);
  }

  #index(name: string): StoreIndex<T> {
    const index = this.#indexes.get(name);
    assert(index, `there is no index ${name}`);
    return index;
  }

  #scopeOf(namespace: string): string {
    return this.#progress.has(namespace) ? namespace : EVERYTHING;
  }

  #passed(namespace: string, resourceVersion: string): boolean {
    const progress = this.#progress.get(this.#scopeOf(namespace));
    return progress !== undefined && compareResourceVersions(resourceVersion, progress) <= 0;
  }

  /** `late`: what the watch has passed and the store lacks is gone, not new. */
  #upsert(object: T, how: How, late: boolean): Change<T> | undefined {
    const key = objectKey(object.namespace, object.name);
    const before = this.#objects.get(key);
    if (before) {
      if (compareResourceVersions(object.resourceVersion, before.resourceVersion) <= 0) return;
    } else if (late && this.#passed(object.namespace, object.resourceVersion)) {
      return;
    }
    const tombstone = this.#tombstones.get(key);
    if (tombstone) {
      if (compareResourceVersions(object.resourceVersion, tombstone.resourceVersion) <= 0) return;
      this.#tombstones.delete(key);
    }
    return this.#set(key, object, how);
  }

  #set(key: string, after: T | undefined, how: How): Change<T> {
    const before = this.#objects.get(key);
    if (after) this.#objects.set(key, after);
    else this.#objects.delete(key);
    for (const index of this.#indexes.values()) index.update(key, before, after);
    return { key, before, after, initial: how.initial, cause: how.cause };
  }

  /** A list tells how a delete ended: without the object it is over. `undefined` forgets all. */
  #forgetTombstones(
    scope: string,
    list: { listed: ReadonlySet<string>; resourceVersion: string } | undefined,
  ): void {
    for (const [key, tombstone] of this.#tombstones) {
      if (this.#scopeOf(namespaceOf(key)) !== scope) continue;
      const over = !list || (!list.listed.has(key) &&
        compareResourceVersions(tombstone.resourceVersion, list.resourceVersion) <= 0);
      if (over) this.#tombstones.delete(key);
    }
  }

  #publish(changes: readonly Change<T>[]): void {
    for (const change of changes) this.#pending.push(change);
    if (this.#publishing) return; // the loop below us takes them, after what came first
    this.#publishing = true;
    try {
      while (this.#pending.length > 0) {
        const batch = this.#pending;
        this.#pending = [];
        for (const change of batch) this.#tell(change);
      }
    } finally {
      this.#publishing = false;
    }
  }

  #tell(change: Change<T>): void {
    for (const handler of this.#handlers) {
      try {
        handler(change);
      } catch (err) {
        this.#log.error("Store subscriber failed", { key: change.key, err });
      }
    }
  }
}

function namespaceOf(key: string): string {
  const slash = key.indexOf("/");
  return slash < 0 ? "" : key.slice(0, slash);
}
