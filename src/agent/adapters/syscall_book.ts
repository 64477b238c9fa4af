/** The syscall counter of another layout, in the form that all keep to (see `carry.ts`). */
import type { BpfMap, Link, MapEntry } from "../../../ffi/mod.ts";
import type { SyscallState } from "../ports.ts";
import { CarryPin, CarryRecord, nonZero, type Totals } from "./carry.ts";
import { u32 } from "./objects.ts";
import { linkIdsIn, openLink, openMap } from "./pins.ts";
import { levelsOf, POD_BYTES, rowsOf } from "./syscall_values.ts";

/** Of the form; a counter is there while all are. */
const MAPS = [
  "sys_programs",
  "sys_control",
  "sys_cgroups",
  "sys_counts",
  "sys_errors",
  "sys_compat",
  "sys_pids",
  "sys_latencies",
] as const;
type BookMap = (typeof MAPS)[number];

const WORD = 4;

export class SyscallBook implements Disposable {
  readonly #folder: string;
  readonly #maps: ReadonlyMap<BookMap, BpfMap>;
  readonly #owned: DisposableStack;

  private constructor(
    folder: string,
    maps: ReadonlyMap<BookMap, BpfMap>,
    owned: DisposableStack,
  ) {
    this.#folder = folder;
    this.#maps = maps;
    this.#owned = owned;
  }

  /** @param folder of a layout. @returns undefined where there is no counter, or only a part of one. */
  static open(folder: string): SyscallBook | undefined {
    using opened = new DisposableStack();
    const maps = new Map<BookMap, BpfMap>();
    for (const name of MAPS) {
      const map = openMap(`${folder}/maps/${name}`);
      if (map === undefined) return undefined;
      maps.set(name, opened.use(map));
    }
    const cgroups = maps.get("sys_cgroups")?.info;
    if (cgroups?.keySize !== 8 || cgroups.valueSize < POD_BYTES) return undefined;
    return new SyscallBook(folder, maps, opened.move());
  }

  /** What the stubs jump through. */
  get programs(): BpfMap {
    return this.#map("sys_programs");
  }

  get capacity(): number {
    return this.#map("sys_counts").info.maxEntries;
  }

  /** Rows in use. */
  rows(): SyscallState[] {
    return rowsOf(
      this.#map("sys_cgroups").entries().map(({ key, value }) => ({
        key,
        value: value.slice(0, POD_BYTES),
      })),
    );
  }

  /** Bit n: Pod cgroups may be n levels below the root. */
  levels(): number {
    const section = this.#map("sys_control").lookup(u32(0));
    return section === undefined ? 0 : levelsOf(section);
  }

  /** A map for work in progress, where this layout has one. */
  optional(pin: string): BpfMap | undefined {
    return openMap(`${this.#folder}/maps/${pin}`);
  }

  link(name: string): Link | undefined {
    return openLink(`${this.#folder}/sys/${name}`);
  }

  linkIds(): ReadonlySet<number> {
    return linkIdsIn(`${this.#folder}/sys`);
  }

  /** All that it counted, and what was carried over to it. */
  record(): CarryRecord {
    const rows = new Map(this.rows().map(({ row }) => [row, new Map(this.#row(row))]));
    for (const [row, totals] of this.#keyed("sys_latencies", latencyTotals)) {
      for (const [key, total] of totals) rows.get(row)?.set(key, total);
    }
    for (const [row, totals] of this.#keyed("sys_pids", pidTotals)) {
      for (const [key, total] of totals) rows.get(row)?.set(key, total);
    }
    const own = CarryRecord.of(this.#map("sys_counts").info.id, rows);
    return new CarryPin(`${this.#folder}/maps/sys_carry`).read().merge(own);
  }

  #row(row: number): Totals {
    const read = (name: BookMap, prefix: string) => {
      const map = this.#map(name);
      const value = row < map.info.maxEntries ? map.lookup(u32(row)) : undefined;
      return value === undefined ? [] : nonZero(prefix, map.sumU64(value));
    };
    return new Map([
      ...read("sys_counts", "c"),
      ...read("sys_errors", "e"),
      ...read("sys_compat", "k"),
    ]);
  }

  /** Of maps whose keys begin with the row. */
  *#keyed(
    name: BookMap,
    totals: (words: readonly number[], values: readonly bigint[]) => [string, bigint][],
  ): Generator<[number, [string, bigint][]]> {
    const map = this.#map(name);
    for (const { key, value } of map.entries()) {
      const [row = 0, ...words] = wordsOf(key);
      yield [row, totals(words, [...map.sumU64(value)])];
    }
  }

  #map(name: BookMap): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new TypeError(`Cannot use ${name}: it is closed`);
    return map;
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

function wordsOf(key: MapEntry["key"]): number[] {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return Array.from({ length: key.length / WORD }, (_, at) => view.getUint32(at * WORD, true));
}

function latencyTotals(
  [number = 0]: readonly number[],
  values: readonly bigint[],
): [string, bigint][] {
  const sum = values.at(-1) ?? 0n;
  const buckets = nonZero(`l${number}.`, values.slice(0, -1));
  return sum > 0n ? [...buckets, [`l${number}.sum`, sum]] : buckets;
}

function pidTotals(
  [pid = 0, number = 0]: readonly number[],
  [count = 0n]: readonly bigint[],
): [string, bigint][] {
  return count > 0n ? [[`p${pid}.${number}`, count]] : [];
}
