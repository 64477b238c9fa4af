/** Rows of the syscall counter: who has which, what it counts, and what was counted. */
import { waitForPrograms } from "../../../ffi/mod.ts";
import type { SyscallSpec } from "../../domain/ebpf_programs.ts";
import {
  EbpfError,
  type PodCgroup,
  type SyscallCounts,
  type SyscallNodeState,
  type SyscallPort,
  type SyscallState,
} from "../ports.ts";
import { CarryPin } from "./carry.ts";
import { during, orUndo } from "./failures.ts";
import { answer } from "./firewall.ts";
import { globalPlace, u32, u64 } from "./objects.ts";
import { openLink, type Pins } from "./pins.ts";
import { SyscallBook } from "./syscall_book.ts";
import { type SyscallMap, SyscallObject } from "./syscall_object.ts";
import { RowReader } from "./syscall_reader.ts";
import {
  decodeControl,
  encodeControl,
  encodePod,
  rowOfLatencyKey,
  rowOfPidKey,
  rowsOf,
  specFlags,
  unionOf,
  withCarried,
} from "./syscall_values.ts";

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
  readonly #carried: CarryPin;
  /** Where the search for a free row begins: calls under way may still count for the one freed last. */
  #nextRow = 0;

  constructor(pins: Pins, options: SyscallOptions) {
    this.#pins = pins;
    this.#options = options;
    this.#object = new SyscallObject(pins, options);
    this.#carried = new CarryPin(`${pins.maps}/sys_carry`);
  }

  /**
   * Goes on with what the counter of another layout counts, and takes it down; nothing where there is
   * none that keeps to the form of `carry.ts`. All rows at once: what is attached is one for all.
   * To be called before anything else is done to rows. @throws EbpfError
   */
  async takeOver(): Promise<void> {
    using opened = new DisposableStack();
    const books = during(
      "map",
      () =>
        this.#pins.legible().flatMap((folder) => {
          const book = SyscallBook.open(folder);
          return book === undefined ? [] : [opened.use(book)];
        }),
    );
    const used = during("map", () => books.filter((book) => book.rows().length > 0));
    const [from] = used;
    if (from === undefined) return;
    const rows = during("map", () => this.#object.isWhole ? this.#rows() : from.rows());
    await this.#object.load(flagsOf(rows), from);
    during("map", () => this.#carry(used));
    during("bpffs", () => {
      this.#pins.removeOtherCounters();
      this.#carried.publish(this.#carried.read().fold());
    });
  }

  inspect(): Promise<SyscallNodeState> {
    return answer(() =>
      during("map", () => {
        const rows = this.#rows();
        using counts = this.#object.map("counts");
        return {
          attached: this.#holds(flagsOf(rows)),
          present: this.#object.present || this.#pins.othersCount,
          rows,
          capacity: counts?.info.maxEntries ?? this.#options.capacity,
        };
      })
    );
  }

  async put(cgroup: PodCgroup, spec: SyscallSpec): Promise<number> {
    await this.takeOver();
    const before = during("map", () => this.#rows());
    const own = before.find(({ cgroupIds }) => cgroupIds.includes(cgroup.id))?.row;
    let row = own;
    return await orUndo(async () => {
      // All rows' features: an exchange for one of them must not turn off those of another.
      const flags = flagsOf(before) | specFlags(spec);
      if (!this.#holds(flags)) await this.#object.load(flags);
      return during("map", () => {
        const chosen = own ?? this.#freeRow(before);
        row = chosen;
        if (own === undefined) this.#zero(chosen);
        this.#lead(chosen, [cgroup.id, ...cgroup.descendants], spec);
        this.#publish(this.#options.levelBits(cgroup.level));
        this.#pins.removeOtherCounters();
        return chosen;
      });
    }, () => {
      if (own === undefined) this.#release(row);
    });
  }

  remove(row: number): Promise<void> {
    return answer(() => during("map", () => this.#release(row)));
  }

  async detachUnused(): Promise<void> {
    // Nobody asks for counts: they are not worth programs that every process pays for.
    await this.takeOver().catch(() => {});
    during("bpffs", () => {
      this.#pins.removeOtherCounters();
      if (this.#object.present && this.#rows().length === 0) this.#object.takeDown();
    });
  }

  counts(rows: readonly number[]): Promise<readonly SyscallCounts[]> {
    return answer(() =>
      during("map", () => {
        const specs = new Map(this.#rows().map(({ row, spec }) => [row, spec]));
        using reader = new RowReader(this.#object);
        const carried = this.#carried.read();
        return rows.flatMap((row) => {
          const spec = specs.get(row);
          return spec === undefined ? [] : [withCarried(reader.read(row, spec), carried.of(row))];
        });
      })
    );
  }

  /** Calls of 32-bit programs, whether they have a 64-bit number or not. */
  compatCalls(row: number): bigint {
    return during("map", () => {
      using compat = this.#object.map("compat");
      const value = compat?.lookup(u32(row));
      const counted = value === undefined ? [] : [...compat?.sumU64(value) ?? []];
      const carried = this.#carried.read().of(row);
      return counted.reduce((sum, count) => sum + count, 0n) + (carried.get("k0") ?? 0n) +
        (carried.get("k1") ?? 0n);
    });
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

  /** This layout's counter, and no other one, does what `flags` ask. */
  #holds(flags: number): boolean {
    return this.#object.covers(flags) && this.#object.isAttached(flags) && !this.#pins.othersCount;
  }

  /** What has counted here and in `books` stands still, but for this layout's own map. */
  #carry(books: readonly SyscallBook[]): void {
    waitForPrograms();
    using programs = this.#object.need("programs");
    using counts = this.#object.need("counts");
    // Another one's counter has run beside this one: it counted the same calls.
    const record = books.filter((book) => book.programs.info.id === programs.info.id)
      .reduce((merged, book) => merged.merge(book.record()), this.#carried.read());
    this.#carried.publish(record.withoutSource(counts.info.id));
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
    this.#forgetCarried(row);
    this.#forgetKeys("pids", (key) => rowOfPidKey(key) === row);
    this.#forgetKeys("latencies", (key) => rowOfLatencyKey(key) === row);
  }

  #forgetCarried(row: number): void {
    const record = this.#carried.read();
    if (record.of(row).size > 0) this.#carried.publish(record.withoutRow(row));
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
      this.#forgetCarried(gone.row);
    }
    if (this.#object.present && this.#rows().length === 0) this.#object.takeDown();
  }
}

const flagsOf = (rows: readonly SyscallState[]) =>
  rows.reduce((all, { spec }) => all | specFlags(spec), 0);
