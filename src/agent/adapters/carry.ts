/**
 * Counts that outlive a change of the pins' layout: what an agent of another layout needs to go on
 * with them, in a form that does not depend on the layout.
 *
 * ## The form (version 1)
 *
 * A layout whose folder `<folder>/vN` holds the folder `carry-1` keeps to this. The names
 * keep their meaning in all layouts to come; a layout that must break with it leaves the mark out, and
 * agents of others then count anew. Maps may have more rows, numbers or longer values, never fewer.
 *
 * - `maps/sys_programs`: the program array that the attached stubs jump through. Entry 0 is run when
 *   a call begins, 1 when it ends. Links of the stubs: `sys/enter`, `sys/exit`.
 * - `maps/sys_cgroups`: cgroup id (u64) to a value that begins as `struct sys_pod`; `maps/sys_control`
 *   begins as `struct sys_control`.
 * - `maps/sys_counts`, `sys_errors`: row (u32) to u64 by call number; `sys_compat`: row to two u64;
 *   `sys_pids`: {row, process, number} to u64; `sys_latencies`: {row, number} to buckets and, last, the sum,
 *   all u64. Values may be per CPU. A layout's counter is there only while all of these are.
 * - `pods/<uid>/{in,out,c4,c6,m4,m6}`: links to the Pod's cgroup; `counters`: key 0 to the u64 of
 *   `struct fw_counters`; `settings` begins as `struct fw_settings`.
 * - `maps/{fw_flows,fw_seen,fw_node_addresses,fw_events,sys_starts,sys_threads}`: what is under way. Taken
 *   as they are where all sizes are the same, else begun anew: what they mean goes with the name, too.
 * - `maps/sys_carry`, `pods/<uid>/carry`: the record, what was counted before those counters began.
 *   An array of chunks that together are a JSON text, NUL-padded:
 *   `{"format": 1, "counts": {SOURCE: {ROW: {KEY: "TOTAL"}}}}`.
 *
 * SOURCE is the kernel's id of the map that counted (`sys_counts`, `counters`), or `past` for all whose
 * maps are gone. ROW is the counter's, or 0 in a firewall's record. KEY of calls: `c<number>`, errors
 * `e<number>`, compat `k<0|1>`, latency `l<number>.<bucket|sum>`, processes `p<pid>.<number>`; of
 * firewalls `f<index>`.
 *
 * ## Why nothing is lost or counted twice
 *
 * The new programs take the place of the old ones where they are attached (an entry of the program array,
 * a link), in one instant: every event is counted in one map or the other. Once no run of an old program is
 * left (`waitForPrograms`), the old maps stand still and are read. A record is a set with one total
 * for each source; to merge is to take the greater total of each. So it does not matter how often, and in
 * which direction, that is done before the old maps go: whoever is killed half-way, whichever version
 * starts next does it again. A counter leaves its own source out of its record: its map is the truth.
 * Records are replaced as a whole, by renaming a pin.
 */
import { BpfMap, MapType, renameFile } from "../../../ffi/mod.ts";
import { EbpfError } from "../ports.ts";
import { u32 } from "./objects.ts";
import { openMap, unpin } from "./pins.ts";

const FORMAT = 1;
const CHUNK_BYTES = 4096;
/** Source of what was counted in maps that are gone. */
const PAST = "past";

/** By key, as above. Only what is not zero. */
export type Totals = ReadonlyMap<string, bigint>;
type Rows = ReadonlyMap<number, Totals>;

/** Never changes. */
export class CarryRecord {
  static readonly EMPTY = new CarryRecord(new Map());
  readonly #sources: ReadonlyMap<string, Rows>;

  private constructor(sources: ReadonlyMap<string, Rows>) {
    this.#sources = sources;
  }

  /** What one counter's maps hold. @param source the kernel's id of its map. */
  static of(source: number, rows: Rows): CarryRecord {
    return new CarryRecord(new Map([[String(source), rows]]));
  }

  /** @throws {EbpfError} LoadFailed for what is no record of this format. */
  static decode(text: string): CarryRecord {
    try {
      const { format, counts } = JSON.parse(text);
      if (format !== FORMAT) throw new TypeError(`its format is ${format}, not ${FORMAT}`);
      const rowsOf = (rows: object): Rows =>
        new Map(Object.entries(rows).map(([row, totals]) => [Number(row), totalsOf(totals)]));
      return new CarryRecord(
        new Map(Object.entries(counts).map(([source, rows]) => [source, rowsOf(rows as object)])),
      );
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new EbpfError("LoadFailed", `Cannot read carried counts: ${reason}; run cleanup`, {
        cause,
      });
    }
  }

  encode(): string {
    const counts = plain(this.#sources, (rows) => plain(rows, (totals) => plain(totals, String)));
    return JSON.stringify({ format: FORMAT, counts });
  }

  get isEmpty(): boolean {
    return [...this.#sources.values()].every((rows) => rows.size === 0);
  }

  /** The greater of both, key by key: what was read later. */
  merge(other: CarryRecord): CarryRecord {
    const rows = (one: Rows = new Map(), two: Rows = new Map()) => united(one, two, greater);
    return new CarryRecord(united(this.#sources, other.#sources, rows));
  }

  withoutSource(source: number): CarryRecord {
    return new CarryRecord(
      new Map([...this.#sources].filter(([name]) => name !== String(source))),
    );
  }

  withoutRow(row: number): CarryRecord {
    const rest = (rows: Rows) => new Map([...rows].filter(([key]) => key !== row));
    return new CarryRecord(new Map([...this.#sources].map(([name, rows]) => [name, rest(rows)])));
  }

  /** Only while no other layout has a record: one of the same source would not be known again. */
  fold(): CarryRecord {
    const rows = new Set([...this.#sources.values()].flatMap((known) => [...known.keys()]));
    return this.isEmpty
      ? CarryRecord.EMPTY
      : new CarryRecord(new Map([[PAST, new Map([...rows].map((row) => [row, this.of(row)]))]]));
  }

  /** Sums over all sources. */
  of(row: number): Totals {
    const sums = new Map<string, bigint>();
    for (const rows of this.#sources.values()) {
      for (const [key, total] of rows.get(row) ?? []) sums.set(key, (sums.get(key) ?? 0n) + total);
    }
    return sums;
  }
}

/** Only what is not zero. */
export function nonZero(prefix: string, values: Iterable<bigint>): [string, bigint][] {
  return Array.from(values, (value, index): [string, bigint] => [`${prefix}${index}`, value])
    .filter(([, value]) => value > 0n);
}

/** Reads a record, as long as the same one is pinned from memory. */
export class CarryPin {
  readonly #path: string;
  #known: { readonly mapId: number; readonly record: CarryRecord } | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Empty where none is pinned. @throws {EbpfError} LoadFailed */
  read(): CarryRecord {
    using map = openMap(this.#path);
    if (map === undefined) return CarryRecord.EMPTY;
    const { id } = map.info;
    if (this.#known?.mapId !== id) {
      this.#known = { mapId: id, record: CarryRecord.decode(textIn(map)) };
    }
    return this.#known.record;
  }

  /** From now on it is this one, for everybody, and at once. */
  publish(record: CarryRecord): void {
    const next = `${this.#path}_next`;
    if (record.isEmpty) return unpin(this.#path);
    const text = new TextEncoder().encode(record.encode());
    const chunks = Math.ceil(text.length / CHUNK_BYTES);
    using map = BpfMap.create({
      type: MapType.ARRAY,
      name: "carry",
      keySize: 4,
      valueSize: CHUNK_BYTES,
      maxEntries: chunks,
    });
    for (let chunk = 0; chunk < chunks; chunk++) {
      const value = new Uint8Array(CHUNK_BYTES);
      value.set(text.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES));
      map.update(u32(chunk), value);
    }
    unpin(next);
    map.pin(next);
    renameFile(next, this.#path);
  }
}

function textIn(map: BpfMap): string {
  const bytes = new Uint8Array(map.info.maxEntries * map.valueBytes);
  for (let chunk = 0; chunk < map.info.maxEntries; chunk++) {
    bytes.set(map.lookup(u32(chunk)) ?? [], chunk * map.valueBytes);
  }
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function totalsOf(totals: object): Totals {
  return new Map(Object.entries(totals).map(([key, total]) => [key, BigInt(total)]));
}

function greater(one: Totals = new Map(), two: Totals = new Map()): Totals {
  return united(one, two, (a = 0n, b = 0n) => a > b ? a : b);
}

function united<Key, Value>(
  one: ReadonlyMap<Key, Value>,
  two: ReadonlyMap<Key, Value>,
  join: (one?: Value, two?: Value) => Value,
): Map<Key, Value> {
  const keys = new Set([...one.keys(), ...two.keys()]);
  return new Map([...keys].map((key) => [key, join(one.get(key), two.get(key))]));
}

function plain<Key extends string | number, Value, Plain>(
  map: ReadonlyMap<Key, Value>,
  value: (value: Value) => Plain,
): Record<string, Plain> {
  return Object.fromEntries([...map].map(([key, one]) => [key, value(one)]));
}
