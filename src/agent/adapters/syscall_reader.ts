/** What rows of the syscall counter hold: this layout's own maps. */
import type { BpfMap, MapEntry } from "../../../ffi/mod.ts";
import type { SyscallSpec } from "../../domain/ebpf_programs.ts";
import type { SyscallCounts } from "../ports.ts";
import { u32 } from "./objects.ts";
import type { SyscallMap, SyscallObject } from "./syscall_object.ts";
import { latenciesOf, pidsOf, SysLimit } from "./syscall_values.ts";

/** Reads rows one by one: a whole map is 4 KiB for each row and CPU, and most rows are not asked for. */
export class RowReader implements Disposable {
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

const emptyRow = () => new BigUint64Array(SysLimit.SYS_NUMBERS);
