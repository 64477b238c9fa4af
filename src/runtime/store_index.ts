/**
 * One index of a store: from an index value to the keys of the objects that have it.
 *
 * Made for many values with few keys each (an owner's uid) as well as few with many (a namespace):
 * a single key is held as it is, and only from the second on in a Set.
 */
export class StoreIndex<T> {
  readonly #valuesOf: (object: T) => readonly string[];
  readonly #keys = new Map<string, string | Set<string>>();

  constructor(valuesOf: (object: T) => readonly string[]) {
    this.#valuesOf = valuesOf;
  }

  keys(value: string): Iterable<string> {
    const keys = this.#keys.get(value);
    return typeof keys === "string" ? [keys] : keys ?? [];
  }

  count(value: string): number {
    const keys = this.#keys.get(value);
    return typeof keys === "string" ? 1 : keys?.size ?? 0;
  }

  /** `before` must be what was passed as `after` the last time for this key. */
  update(key: string, before: T | undefined, after: T | undefined): void {
    const old = before === undefined ? [] : this.#valuesOf(before);
    const values = after === undefined ? [] : this.#valuesOf(after);
    for (const value of old) if (!values.includes(value)) this.#remove(value, key);
    for (const value of values) if (!old.includes(value)) this.#add(value, key);
  }

  #add(value: string, key: string): void {
    const keys = this.#keys.get(value);
    if (keys === undefined) this.#keys.set(value, key);
    else if (typeof keys !== "string") keys.add(key);
    else if (keys !== key) this.#keys.set(value, new Set([keys, key]));
  }

  #remove(value: string, key: string): void {
    const keys = this.#keys.get(value);
    if (keys === key) {
      this.#keys.delete(value);
    } else if (keys !== undefined && typeof keys !== "string") {
      keys.delete(key);
      if (keys.size === 1) { for (const last of keys) this.#keys.set(value, last); }
    }
  }
}
