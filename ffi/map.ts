/**
 * Maps: reads and writes of whole keys and values as bytes, in the kernel's own layout.
 *
 * - Per-CPU maps have one value for each possible CPU, each padded to 8 bytes; `valueBytes` is all of
 *   them together.
 * - Calls are synchronous: each is a system call of microseconds. Batches are bounded.
 * - A map owns its descriptor and outlives the object it was loaded from.
 */
import { BpfError, checked, errnoName } from "./errors.ts";
import { OwnedFd } from "./handles.ts";
import { cString, libbpf, textOf } from "./library.ts";

const INFO_BYTES = 80;
/** struct bpf_map_create_opts of libbpf 1.0; newer ones take it too. */
const CREATE_OPTIONS_BYTES = 48;
const INNER_MAP_OFFSET = 24;
const BATCH_ENTRIES = 1024;
/** Stop when keys vanish while one walks them: a hash table may begin again then. */
const WALK_FACTOR = 4;

const PER_CPU_TYPES: ReadonlySet<number> = new Set([5, 6, 10, 21]);

export const MapType = {
  HASH: 1,
  ARRAY: 2,
  PROG_ARRAY: 3,
  PERCPU_HASH: 5,
  PERCPU_ARRAY: 6,
  LRU_HASH: 9,
  LRU_PERCPU_HASH: 10,
  ARRAY_OF_MAPS: 12,
  PERCPU_CGROUP_STORAGE: 21,
  RINGBUF: 27,
  TASK_STORAGE: 29,
} as const;

export const UpdateFlag = { ANY: 0n, NO_EXIST: 1n, EXIST: 2n } as const;

export interface MapInfo {
  /** A `MapType`. */
  readonly type: number;
  readonly id: number;
  readonly keySize: number;
  /** Of one CPU. */
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly name: string;
}

/** A map that no object brings. */
export interface NewMap {
  /** A `MapType`. */
  readonly type: number;
  /** Up to 15 ASCII letters, digits and underscores. */
  readonly name: string;
  readonly keySize: number;
  /** Of one CPU. */
  readonly valueSize: number;
  readonly maxEntries: number;
  /** Of maps of maps: one like those that they are to hold. */
  readonly inner?: BpfMap;
}

export interface MapEntry {
  readonly key: Uint8Array<ArrayBuffer>;
  readonly value: Uint8Array<ArrayBuffer>;
}

export class BpfMap implements Disposable {
  readonly info: MapInfo;
  /** Bytes of a value as the kernel hands it over: of all possible CPUs for a per-CPU map. */
  readonly valueBytes: number;
  readonly #fd: OwnedFd;

  /** Takes over the descriptor. */
  constructor(fd: number) {
    this.#fd = new OwnedFd(fd, "map");
    try {
      this.info = readInfo(fd);
    } catch (error) {
      this.#fd.close();
      throw error;
    }
    this.valueBytes = PER_CPU_TYPES.has(this.info.type)
      ? padded(this.info.valueSize) * possibleCpus()
      : this.info.valueSize;
  }

  static create(map: NewMap): BpfMap {
    const options = new DataView(new ArrayBuffer(CREATE_OPTIONS_BYTES));
    options.setBigUint64(0, BigInt(CREATE_OPTIONS_BYTES), true);
    options.setUint32(INNER_MAP_OFFSET, map.inner?.fd ?? 0, true);
    const { type, name, keySize, valueSize, maxEntries } = map;
    const bytes = new Uint8Array(options.buffer);
    const fd = libbpf().bpf_map_create(type, cString(name), keySize, valueSize, maxEntries, bytes);
    return new BpfMap(checked(fd, `make the map ${name}`));
  }

  /** @throws {BpfError} ENOENT when nothing is pinned there. */
  static openPinned(path: string): BpfMap {
    return new BpfMap(checked(libbpf().bpf_obj_get(cString(path)), `open the map ${path}`));
  }

  get fd(): number {
    return this.#fd.fd;
  }

  get isPerCpu(): boolean {
    return PER_CPU_TYPES.has(this.info.type);
  }

  /** @returns a copy of the value, or undefined when there is no such key. */
  lookup(key: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
    const value = new Uint8Array(this.valueBytes);
    return this.lookupInto(key, value) ? value : undefined;
  }

  /** Like `lookup`, into a buffer of `valueBytes` that the caller reuses. */
  lookupInto(key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>): boolean {
    this.#checkSizes(key, value);
    const result = libbpf().bpf_map_lookup_elem(this.fd, key, value);
    return found(result, `read the map ${this.info.name}`);
  }

  update(
    key: Uint8Array<ArrayBuffer>,
    value: Uint8Array<ArrayBuffer>,
    flags: bigint = UpdateFlag.ANY,
  ): void {
    this.#checkSizes(key, value);
    checked(
      libbpf().bpf_map_update_elem(this.fd, key, value, flags),
      `write the map ${this.info.name}`,
    );
  }

  /** @returns whether there was such a key. */
  delete(key: Uint8Array<ArrayBuffer>): boolean {
    this.#checkSizes(key);
    const result = libbpf().bpf_map_delete_elem(this.fd, key);
    return found(result, `delete from the map ${this.info.name}`);
  }

  /** A snapshot of the keys, as far as a map that changes meanwhile has one. */
  keys(): Uint8Array<ArrayBuffer>[] {
    const keys: Uint8Array<ArrayBuffer>[] = [];
    let last: Uint8Array<ArrayBuffer> | null = null;
    while (keys.length < this.info.maxEntries * WALK_FACTOR) {
      const next = new Uint8Array(this.info.keySize);
      const result = libbpf().bpf_map_get_next_key(this.fd, last, next);
      if (!found(result, `walk the map ${this.info.name}`)) break;
      keys.push(next);
      last = next;
    }
    return keys;
  }

  /**
   * All entries: in batches where the kernel has them for this type of map, else one by one. Entries
   * that come or go meanwhile may be missed, or seen twice.
   */
  entries(): MapEntry[] {
    return this.#entriesInBatches() ?? this.#entriesOneByOne();
  }

  #entriesInBatches(): MapEntry[] | undefined {
    const { keySize } = this.info;
    const entries: MapEntry[] = [];
    // A cursor is a key, or a bucket's number for hash tables.
    const cursors = [0, 1].map(() => new Uint8Array(Math.max(keySize, 8)));
    let size = Math.min(BATCH_ENTRIES, this.info.maxEntries);
    for (let round = 0, more = true; more;) {
      const keys = new Uint8Array(size * keySize);
      const values = new Uint8Array(size * this.valueBytes);
      const count = new Uint32Array([size]);
      const result = libbpf().bpf_map_lookup_batch(
        this.fd,
        round === 0 ? null : cursors[(round + 1) % 2] ?? null,
        cursors[round % 2] ?? null,
        keys,
        values,
        count,
        null,
      );
      const errno = result < 0 ? errnoName(-result) : undefined;
      if (errno === "ENOSPC" && size < this.info.maxEntries) {
        // One bucket holds more than the batch: the same cursor again, with more room.
        size = Math.min(size * 4, this.info.maxEntries);
        continue;
      }
      if (round === 0 && (errno === "EINVAL" || errno === "ENOTSUPP" || errno === "EOPNOTSUPP")) {
        return undefined;
      }
      more = errno === undefined;
      if (errno !== undefined && errno !== "ENOENT") {
        throw new BpfError(`read the map ${this.info.name}`, errno);
      }
      for (let index = 0; index < (count[0] ?? 0); index++) {
        entries.push({
          key: keys.slice(index * keySize, (index + 1) * keySize),
          value: values.slice(index * this.valueBytes, (index + 1) * this.valueBytes),
        });
      }
      round++;
    }
    return entries;
  }

  #entriesOneByOne(): MapEntry[] {
    return this.keys().flatMap((key) => {
      const value = this.lookup(key);
      return value === undefined ? [] : [{ key, value }];
    });
  }

  /** The parts of a value that belong to each possible CPU. */
  perCpu(value: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
    if (!this.isPerCpu) return [value];
    const stride = padded(this.info.valueSize);
    return Array.from(
      { length: value.length / stride },
      (_, cpu) => value.subarray(cpu * stride, cpu * stride + this.info.valueSize),
    );
  }

  /** For a value made of u64 only: their sums over all CPUs. */
  sumU64(value: Uint8Array<ArrayBuffer>): BigUint64Array<ArrayBuffer> {
    const sums = new BigUint64Array(this.info.valueSize / 8);
    for (const part of this.perCpu(value)) {
      const words = new BigUint64Array(part.buffer, part.byteOffset, sums.length);
      for (let index = 0; index < sums.length; index++) {
        sums[index] = (sums[index] ?? 0n) + (words[index] ?? 0n);
      }
    }
    return sums;
  }

  /** Makes the map outlive the process, under a path of a bpffs. @throws {BpfError} EEXIST. */
  pin(path: string): void {
    checked(libbpf().bpf_obj_pin(this.fd, cString(path)), `pin the map ${this.info.name}`);
  }

  #checkSizes(key: Uint8Array, value?: Uint8Array): void {
    if (key.length !== this.info.keySize) {
      throw new RangeError(
        `Cannot use a key of ${key.length} bytes: ${this.info.name} has ${this.info.keySize}`,
      );
    }
    if (value !== undefined && value.length !== this.valueBytes) {
      throw new RangeError(
        `Cannot use a value of ${value.length} bytes: ${this.info.name} has ${this.valueBytes}`,
      );
    }
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/**
 * Returns once every run of a program that had begun before is over: what was taken out of its place
 * before has counted for the last time. Takes some milliseconds.
 *
 * The kernel promises this of a change to a map of maps (since 4.19): its caller may free the map that was there.
 */
export function waitForPrograms(): void {
  const one = { keySize: 4, valueSize: 4, maxEntries: 1 };
  using inner = BpfMap.create({ ...one, type: MapType.ARRAY, name: "wait_inner" });
  using outer = BpfMap.create({ ...one, type: MapType.ARRAY_OF_MAPS, name: "wait", inner });
  outer.update(new Uint8Array(4), new Uint8Array(new Uint32Array([inner.fd]).buffer));
}

function found(result: number, action: string): boolean {
  if (result === 0) return true;
  const errno = errnoName(-result);
  if (errno === "ENOENT") return false;
  throw new BpfError(action, errno);
}

const padded = (size: number) => Math.ceil(size / 8) * 8;

let cpus: number | undefined;

/** CPUs that the kernel may ever have: the values of a per-CPU map. */
export function possibleCpus(): number {
  cpus ??= checked(libbpf().libbpf_num_possible_cpus(), "count the CPUs");
  return cpus;
}

/** struct bpf_map_info */
function readInfo(fd: number): MapInfo {
  const info = new Uint8Array(INFO_BYTES);
  const length = new Uint32Array([info.length]);
  checked(libbpf().bpf_obj_get_info_by_fd(fd, info, length), "read a map's description");
  const view = new DataView(info.buffer);
  const u32 = (offset: number) => view.getUint32(offset, true);
  return {
    type: u32(0),
    id: u32(4),
    keySize: u32(8),
    valueSize: u32(12),
    maxEntries: u32(16),
    name: textOf(info.subarray(24, 40)),
  };
}
