/** What the syscall counter is told, and what it counted, as the bytes that its maps hold. Pure. */
import { SYS_LAYOUT } from "../../../bpf/layout.ts";
import { type MapEntry, StructCodec } from "../../../ffi/mod.ts";
import { SYSCALL_NUMBERS, type SyscallSpec } from "../../domain/ebpf_programs.ts";
import type { SyscallCounts, SyscallState } from "../ports.ts";
import type { Totals } from "./carry.ts";

const { sys_flag, sys_limit } = SYS_LAYOUT.enums;
const settings = new StructCodec(SYS_LAYOUT.structs.sys_settings);
const control = new StructCodec(SYS_LAYOUT.structs.sys_control);
const pod = new StructCodec(SYS_LAYOUT.structs.sys_pod);
const pidKey = new StructCodec(SYS_LAYOUT.structs.sys_pid_key);
const latencyKey = new StructCodec(SYS_LAYOUT.structs.sys_latency_key);
const latency = new StructCodec(SYS_LAYOUT.structs.sys_latency);

export const SysFlag = sys_flag;
export const SysLimit = sys_limit;
export const POD_BYTES = SYS_LAYOUT.structs.sys_pod.size;

export function specFlags(spec: SyscallSpec): number {
  return (spec.errors ? sys_flag.SYS_FLAG_ERRORS : 0) |
    (spec.latency ? sys_flag.SYS_FLAG_LATENCY : 0) |
    (spec.pids ? sys_flag.SYS_FLAG_PIDS : 0);
}

export function encodeSettings(flags: number, compat: Uint16Array): Uint8Array<ArrayBuffer> {
  return settings.encode({ flags, compat_numbers: compat });
}

export function decodeSettings(bytes: Uint8Array): { flags: number } {
  return { flags: settings.readNumber(bytes, "flags") };
}

export interface Control {
  readonly numbers: ReadonlySet<number>;
  readonly generation: number;
  readonly levels: number;
}

export function encodeControl(values: Control): Uint8Array<ArrayBuffer> {
  return control.encode({
    wanted: bitmap(values.numbers),
    generation: values.generation,
    levels: values.levels,
  });
}

export function decodeControl(bytes: Uint8Array): { generation: number; levels: number } {
  return {
    generation: control.readNumber(bytes, "generation"),
    levels: control.readNumber(bytes, "levels"),
  };
}

/** From a section that begins with a control block. */
export function levelsOf(section: Uint8Array): number {
  return decodeControl(section.subarray(0, SYS_LAYOUT.structs.sys_control.size)).levels;
}

export function encodePod(row: number, spec: SyscallSpec): Uint8Array<ArrayBuffer> {
  return pod.encode({ wanted: bitmap(spec.numbers), row, flags: specFlags(spec) });
}

/** Rows in use, ascending, from the entries of the map `cgroups`. */
export function rowsOf(entries: readonly MapEntry[]): SyscallState[] {
  const rows = new Map<number, { cgroupIds: bigint[]; spec: SyscallSpec }>();
  for (const { key, value } of entries) {
    const row = pod.readNumber(value, "row");
    const flags = pod.readNumber(value, "flags");
    const id = new DataView(key.buffer, key.byteOffset).getBigUint64(0, true);
    const known = rows.get(row);
    if (known !== undefined) {
      known.cgroupIds.push(id);
      continue;
    }
    const spec = {
      numbers: numbersOf(pod.read(value, "wanted")),
      errors: (flags & sys_flag.SYS_FLAG_ERRORS) !== 0,
      latency: (flags & sys_flag.SYS_FLAG_LATENCY) !== 0,
      pids: (flags & sys_flag.SYS_FLAG_PIDS) !== 0,
    };
    rows.set(row, { cgroupIds: [id], spec });
  }
  return [...rows]
    .map(([row, { cgroupIds, spec }]) => ({ row, cgroupIds: cgroupIds.sort(ascending), spec }))
    .sort((one, other) => one.row - other.row);
}

/** Numbers that any row wants, with those by which 32-bit programs make the same calls. */
export function unionOf(rows: readonly SyscallState[], compat: Uint16Array): Set<number> {
  const numbers = new Set(rows.flatMap(({ spec }) => spec.numbers));
  const union = new Set(numbers);
  compat.forEach((number, compatNumber) => {
    if (numbers.has(number)) union.add(compatNumber);
  });
  return union;
}

export function rowOfPidKey(key: Uint8Array): number {
  return pidKey.readNumber(key, "row");
}

export function rowOfLatencyKey(key: Uint8Array): number {
  return latencyKey.readNumber(key, "row");
}

export type Latencies = NonNullable<SyscallCounts["latencies"]>;
export type Pids = NonNullable<SyscallCounts["pids"]>;

export function latenciesOf(entries: readonly MapEntry[], row: number): Latencies {
  return entries.filter(({ key }) => rowOfLatencyKey(key) === row).map(({ key, value }) => ({
    number: latencyKey.readNumber(key, "number"),
    buckets: latency.read(value, "buckets"),
    sumNs: latency.read(value, "sum_ns")[0] ?? 0n,
  }));
}

/** @param sum adds up a per-CPU value. */
export function pidsOf(
  entries: readonly MapEntry[],
  row: number,
  sum: (value: Uint8Array<ArrayBuffer>) => bigint,
): Pids {
  return entries.filter(({ key }) => rowOfPidKey(key) === row).map(({ key, value }) => ({
    pid: pidKey.readNumber(key, "tgid"),
    number: pidKey.readNumber(key, "number"),
    count: sum(value),
  }));
}

/** With what was counted before the maps began, by the keys of `carry.ts`. */
export function withCarried(counts: SyscallCounts, carried: Totals): SyscallCounts {
  if (carried.size === 0) return counts;
  const { errors, latencies, pids } = counts;
  return {
    ...counts,
    calls: plus(counts.calls, "c", carried),
    compatUnknown: counts.compatUnknown + (carried.get("k1") ?? 0n),
    ...(errors === undefined ? {} : { errors: plus(errors, "e", carried) }),
    ...(latencies === undefined ? {} : { latencies: plusLatencies(latencies, carried) }),
    ...(pids === undefined ? {} : { pids: plusPids(pids, carried) }),
  };
}

function plus(totals: BigUint64Array, prefix: string, carried: Totals): BigUint64Array {
  return totals.map((total, number) => total + (carried.get(`${prefix}${number}`) ?? 0n));
}

/** Keys of two numbers, such as `p12.3`; the second may be a word. */
function pairs(carried: Totals, prefix: string): [number, string, bigint][] {
  return [...carried].filter(([key]) => key.startsWith(prefix)).map(([key, total]) => {
    const [first = "", second = ""] = key.slice(1).split(".");
    return [Number(first), second, total];
  });
}

function plusLatencies(latencies: Latencies, carried: Totals): Latencies {
  const known = new Map(latencies.map(({ number, buckets, sumNs }) => [
    number,
    { number, buckets: [...buckets], sumNs },
  ]));
  for (const [number, what, total] of pairs(carried, "l")) {
    const buckets = Array.from({ length: sys_limit.SYS_BUCKETS }, () => 0n);
    const one = known.get(number) ?? { number, buckets, sumNs: 0n };
    known.set(number, one);
    // A layout may tell more of them apart: the last bucket takes the rest.
    const at = Math.min(Number(what), one.buckets.length - 1);
    if (what === "sum") one.sumNs += total;
    else one.buckets[at] = (one.buckets[at] ?? 0n) + total;
  }
  return [...known.values()];
}

function plusPids(pids: Pids, carried: Totals): Pids {
  const known = new Map(pids.map((one) => [`${one.pid}.${one.number}`, one]));
  for (const [pid, number, total] of pairs(carried, "p")) {
    const key = `${pid}.${number}`;
    const count = (known.get(key)?.count ?? 0n) + total;
    known.set(key, { pid, number: Number(number), count });
  }
  return [...known.values()];
}

function bitmap(numbers: Iterable<number>): BigUint64Array {
  const words = new BigUint64Array(sys_limit.SYS_WORDS);
  for (const number of numbers) {
    words[number >> 6] = (words[number >> 6] ?? 0n) | 1n << BigInt(number & 63);
  }
  return words;
}

function numbersOf(words: readonly bigint[]): number[] {
  return Array.from({ length: SYSCALL_NUMBERS }, (_, number) => number)
    .filter((number) => ((words[number >> 6] ?? 0n) >> BigInt(number & 63) & 1n) === 1n);
}

const ascending = (one: bigint, other: bigint) => one < other ? -1 : one > other ? 1 : 0;
