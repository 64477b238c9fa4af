/** Rows of the syscall counter: who has which, what it counts, and what was counted. */
import type { BpfMap, MapEntry } from "../../../ffi/mod.ts";
import type { SyscallSpec } from "../../domain/ebpf_programs.ts";
import {
  EbpfError,
  type PodCgroup,
  type SyscallCounts,
  type SyscallNodeState,
  type SyscallPort,
  type SyscallState,
} from "../ports.ts";
import { during, orUndo } from "./failures.ts";
import { answer } from "./firewall.ts";
import { globalPlace, u32, u64 } from "./objects.ts";
import { namesIn, openLink, type Pins, removeTree } from "./pins.ts";
import { type SyscallMap, SyscallObject } from "./syscall_object.ts";
import {
  decodeControl,
  encodeControl,
  encodePod,
  latenciesOf,
  pidsOf,
  rowOfLatencyKey,
  rowOfPidKey,
  rowsOf,
  specFlags,
  SysLimit,
  unionOf,
} from "./syscall_values.ts";

const ROW_BYTES = SysLimit.SYS_NUMBERS * 8;

export interface SyscallOptions {
  /** By 32-bit number: the 64-bit number of the same call. */
  readonly compat: Uint16Array;
  /** Rows, where none are in use yet. */
  readonly capacity: number;
  /**
   * Bits of levels at which a cgroup of this level may lie as the kernel counts: one where the
   * root of the hierarchy is in sight.
   */
  readonly levelBits: (level: number) => number;
}

export class LibbpfSyscalls implements SyscallPort {
  readonly #pins: Pins;
  readonly #options: SyscallOptions;
  readonly #object: SyscallObject;
  /** Where the search for a free row begins: calls under way may still count for the one freed last. */
  #nextRow = 0;

  constructor(pins: Pins, options: SyscallOptions) {
    this.#pins = pins;
    this.#options = options;
    this.#object = new SyscallObject(pins, options);
  }

  inspect(): Promise<SyscallNodeState> {
    return answer(() =>
      during("map", () => {
        const rows = this.#rows();
        const flags = rows.reduce((all, { spec }) => all | specFlags(spec), 0);
        using counts = this.#object.map("counts");
        return {
          attached: this.#object.covers(flags) && this.#object.isAttached(flags),
          present: this.#object.present ||
            this.#pins.others().some((version) => namesIn(`${version}/sys`).length > 0),
          rows,
          capacity: counts?.info.maxEntries ?? this.#options.capacity,
        };
      })
    );
  }

  async put(cgroup: PodCgroup, spec: SyscallSpec): Promise<number> {
    const before = during("map", () => this.#rows());
    const own = before.find(({ cgroupIds }) => cgroupIds.includes(cgroup.id))?.row;
    let row = own;
    return await orUndo(async () => {
      // All rows' features: an exchange for one of them must not turn off those of another.
      const flags = before.reduce((all, one) => all | specFlags(one.spec), specFlags(spec));
      if (!this.#object.covers(flags) || !this.#object.isAttached(flags)) {
        await this.#object.load(flags);
      }
      return during("map", () => {
        const chosen = own ?? this.#freeRow(before);
        row = chosen;
        if (own === undefined) this.#zero(chosen);
        this.#lead(chosen, [cgroup.id, ...cgroup.descendants], spec);
        this.#publish(this.#options.levelBits(cgroup.level));
        this.#removeOthers();
        return chosen;
      });
    }, () => {
      if (own === undefined) this.#release(row);
    });
  }

  remove(row: number): Promise<void> {
    return answer(() => during("map", () => this.#release(row)));
  }

  detachUnused(): Promise<void> {
    return answer(() =>
      during("bpffs", () => {
        this.#removeOthers();
        if (this.#object.present && this.#rows().length === 0) this.#object.takeDown();
      })
    );
  }

  counts(rows: readonly number[]): Promise<readonly SyscallCounts[]> {
    return answer(() =>
      during("map", () => {
        const specs = new Map(this.#rows().map(({ row, spec }) => [row, spec]));
        using reader = new RowReader(this.#object);
        return rows.flatMap((row) => {
          const spec = specs.get(row);
          return spec === undefined ? [] : [reader.read(row, spec)];
        });
      })
    );
  }

  /** Rows in use, and how many there are; undefined while nothing is counted. */
  rowUsage(): { entries: number; capacity: number } | undefined {
    return during("map", () => {
      using counts = this.#object.map("counts");
      return counts && { entries: this.#rows().length, capacity: counts.info.maxEntries };
    });
  }

  /** Kernel's id of the stub at the entry of calls; undefined while nothing is counted. */
  programId(): number | undefined {
    using link = openLink(`${this.#pins.sys}/enter`);
    return link?.info().programId;
  }

  #rows(): SyscallState[] {
    using cgroups = this.#object.map("cgroups");
    return cgroups === undefined ? [] : rowsOf(cgroups.entries());
  }

  #freeRow(rows: readonly SyscallState[]): number {
    using counts = this.#object.need("counts");
    const capacity = counts.info.maxEntries;
    const taken = new Set(rows.map(({ row }) => row));
    for (let step = 0; step < capacity; step++) {
      const row = (this.#nextRow + step) % capacity;
      if (taken.has(row)) continue;
      this.#nextRow = (row + 1) % capacity;
      return row;
    }
    throw new EbpfError(
      "CapacityExceeded",
      `Cannot count system calls of another Pod: all ${capacity} rows are in use`,
    );
  }

  #zero(row: number): void {
    for (const name of ["counts", "errors", "compat"] as const) {
      using map = this.#object.need(name);
      if (row < map.info.maxEntries) map.update(u32(row), new Uint8Array(map.valueBytes));
    }
    this.#forgetKeys("pids", (key) => rowOfPidKey(key) === row);
    this.#forgetKeys("latencies", (key) => rowOfLatencyKey(key) === row);
  }

  #forgetKeys(name: SyscallMap, isOurs: (key: Uint8Array) => boolean): void {
    using map = this.#object.map(name);
    // One entry only: the feature is off.
    if (map === undefined || map.info.maxEntries <= 1) return;
    for (const { key } of map.entries()) if (isOurs(key)) map.delete(key);
  }

  #lead(row: number, ids: readonly bigint[], spec: SyscallSpec): void {
    using cgroups = this.#object.need("cgroups");
    const known = this.#rows().find((state) => state.row === row)?.cgroupIds ?? [];
    for (const id of ids) cgroups.update(u64(id), encodePod(row, spec));
    for (const id of known) if (!ids.includes(id)) cgroups.delete(u64(id));
  }

  /** Union of what is wanted, and a new generation: the CPUs forget what they knew. */
  #publish(levelBits: number): void {
    using control = this.#object.need(".bss");
    const { offset, size } = globalPlace("syscalls", "control");
    const section = control.lookup(u32(0));
    if (section === undefined) {
      throw new EbpfError("InternalError", "Cannot read the counter's control block");
    }
    const before = decodeControl(section.subarray(offset, offset + size));
    const block = encodeControl({
      numbers: unionOf(this.#rows(), this.#options.compat),
      generation: (before.generation + 1) >>> 0,
      levels: (before.levels | levelBits) >>> 0,
    });
    section.set(block, offset);
    control.update(u32(0), section);
  }

  /** @param row undefined: none was taken; then only what no row needs goes. */
  #release(row: number | undefined): void {
    const gone = this.#rows().find((state) => state.row === row);
    if (gone !== undefined) {
      using cgroups = this.#object.need("cgroups");
      for (const id of gone.cgroupIds) cgroups.delete(u64(id));
      this.#publish(0);
    }
    if (this.#object.present && this.#rows().length === 0) this.#object.takeDown();
  }

  /** Of another layout: its counter, and all of it once no Pod is left there. */
  #removeOthers(): void {
    for (const version of this.#pins.others()) {
      removeTree(`${version}/sys`);
      if (namesIn(`${version}/pods`).length === 0) removeTree(version);
    }
  }
}

/** Reads rows one by one: a whole map is 4 KiB for each row and CPU, and most rows are not asked for. */
class RowReader implements Disposable {
  readonly #owned = new DisposableStack();
  readonly #object: SyscallObject;
  readonly #maps = new Map<SyscallMap, BpfMap>();
  readonly #entries = new Map<SyscallMap, readonly MapEntry[]>();

  constructor(object: SyscallObject) {
    this.#object = object;
  }

  read(row: number, spec: SyscallSpec): SyscallCounts {
    const compat = this.#sums("compat", row);
    return {
      row,
      calls: this.#sums("counts", row) ?? new BigUint64Array(SysLimit.SYS_NUMBERS),
      ...(spec.errors ? { errors: this.#sums("errors", row) ?? emptyRow() } : {}),
      compatUnknown: compat?.[1] ?? 0n,
      ...(spec.latency ? { latencies: latenciesOf(this.#all("latencies"), row) } : {}),
      ...(spec.pids ? { pids: pidsOf(this.#all("pids"), row, (value) => this.#sum(value)) } : {}),
    };
  }

  #map(name: SyscallMap): BpfMap {
    let map = this.#maps.get(name);
    if (map === undefined) {
      map = this.#owned.use(this.#object.need(name));
      this.#maps.set(name, map);
    }
    return map;
  }

  #sums(name: SyscallMap, row: number): BigUint64Array | undefined {
    const map = this.#map(name);
    const value = map.lookup(u32(row));
    return value === undefined ? undefined : map.sumU64(value);
  }

  /** In one reading for all rows. */
  #all(name: SyscallMap): readonly MapEntry[] {
    let entries = this.#entries.get(name);
    if (entries === undefined) {
      entries = this.#map(name).entries();
      this.#entries.set(name, entries);
    }
    return entries;
  }

  #sum(value: Uint8Array<ArrayBuffer>): bigint {
    return this.#map("pids").sumU64(value)[0] ?? 0n;
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

const emptyRow = () => new BigUint64Array(ROW_BYTES / 8);
