/**
 * Keys with a due time, the earliest on top. A key is in it once: adding it again keeps the earlier
 * due time. Ties are broken by order of insertion. Add, take: O(log n).
 */

export interface DelayedKey {
  readonly key: string;
  due: number;
  /** True when every caller that asked for this key called it bulk work. */
  bulk: boolean;
}

interface Entry extends DelayedKey {
  sequence: number;
  index: number;
}

export class DelayHeap {
  readonly #heap: Entry[] = [];
  readonly #byKey = new Map<string, Entry>();
  #sequence = 0;

  get size(): number {
    return this.#heap.length;
  }

  peek(): DelayedKey | undefined {
    return this.#heap[0];
  }

  /** Adds `key`, or moves it to the earlier of both due times; live wins over bulk. */
  add(key: string, due: number, bulk: boolean): void {
    const known = this.#byKey.get(key);
    if (known) {
      known.bulk &&= bulk;
      if (due < known.due) {
        known.due = due;
        this.#up(known);
      }
      return;
    }
    const entry = { key, due, bulk, sequence: this.#sequence++, index: this.#heap.length };
    this.#byKey.set(key, entry);
    this.#heap.push(entry);
    this.#up(entry);
  }

  /** Takes the earliest entry when it is due at `now`. */
  takeDue(now: number): DelayedKey | undefined {
    const top = this.#heap[0];
    if (!top || top.due > now) return undefined;
    this.#byKey.delete(top.key);
    const last = this.#heap.pop();
    if (last && last !== top) {
      this.#place(last, 0);
      this.#down(last);
    }
    return top;
  }

  clear(): void {
    this.#heap.length = 0;
    this.#byKey.clear();
  }

  #place(entry: Entry, index: number): void {
    entry.index = index;
    this.#heap[index] = entry;
  }

  #up(entry: Entry): void {
    while (entry.index > 0) {
      const parent = this.#heap[(entry.index - 1) >>> 1] as Entry;
      if (!before(entry, parent)) return;
      const hole = parent.index;
      this.#place(parent, entry.index);
      this.#place(entry, hole);
    }
  }

  #down(entry: Entry): void {
    while (true) {
      const left = this.#heap[2 * entry.index + 1];
      const right = this.#heap[2 * entry.index + 2];
      const child = right && left && before(right, left) ? right : left;
      if (!child || !before(child, entry)) return;
      const hole = child.index;
      this.#place(child, entry.index);
      this.#place(entry, hole);
    }
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.due < b.due || (a.due === b.due && a.sequence < b.sequence);
}
