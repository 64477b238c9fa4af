import type { StoredObject } from "./ports/codec.ts";
import { objectKey } from "./resource.ts";

export type ChangeCause = "watch" | "list" | "own-write" | "resync";

export interface Change<T> {
  readonly key: string;
  readonly before: T | undefined;
  readonly after: T | undefined;
  /** From the first list. */
  readonly initial: boolean;
  readonly cause: ChangeCause;
}

export interface StoreOptions<T> {
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>;
}

export interface ReplaceOptions {
  readonly scope?: string;
  readonly resourceVersion: string;
  readonly initial: boolean;
}

export class Store<T extends StoredObject> {
  readonly #objects = new Map<string, T>();
  readonly #handlers: ((change: Change<T>) => void)[] = [];
  readonly #indexes: Readonly<Record<string, (object: T) => readonly string[]>>;

  constructor(options: StoreOptions<T> = {}) {
    this.#indexes = options.indexes ?? {};
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  byIndex(index: string, value: string): readonly T[] {
    const of = this.#indexes[index];
    return of ? [...this.#objects.values()].filter((object) => of(object).includes(value)) : [];
  }

  values(): Iterable<T> {
    return this.#objects.values();
  }

  subscribe(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
  }

  upsert(object: T, cause: ChangeCause): void {
    const key = objectKey(object.namespace, object.name);
    const before = this.#objects.get(key);
    this.#objects.set(key, object);
    this.#publish({ key, before, after: object, initial: false, cause });
  }

  remove(
    key: string,
    _known: { readonly uid?: string; readonly resourceVersion?: string },
    cause: ChangeCause,
  ): void {
    const before = this.#objects.get(key);
    if (!before) return;
    this.#objects.delete(key);
    this.#publish({ key, before, after: undefined, initial: false, cause });
  }

  replace(objects: readonly T[], options: ReplaceOptions): void {
    const keys = new Set(objects.map((object) => objectKey(object.namespace, object.name)));
    for (const [key, object] of this.#objects) {
      if (options.scope !== undefined && object.namespace !== options.scope) continue;
      if (!keys.has(key)) this.remove(key, {}, "list");
    }
    for (const object of objects) this.upsert(object, "list");
  }

  observeWrite(object: T): void {
    this.upsert(object, "own-write");
  }

  observeDelete(key: string, uid: string, resourceVersion?: string): void {
    this.remove(
      key,
      resourceVersion === undefined ? { uid } : { uid, resourceVersion },
      "own-write",
    );
  }

  #publish(change: Change<T>): void {
    for (const handler of this.#handlers) handler(change);
  }
}
