/** The syscall counter under test, set up as an agent would. */
import {
  type BpfMap,
  CgroupDirectory,
  hasFeature,
  kernelVersion,
  type Link,
  type Program,
} from "../../../ffi/mod.ts";
import { SYS_LAYOUT } from "../../../bpf/layout.ts";
import { codecs, openObject, SysFlag, u32, u64 } from "./programs.ts";

const { sys_limit, sys_program } = SYS_LAYOUT.enums;

/** Of the calls that tests make. */
export const NUMBERS: Readonly<Record<string, number>> = Deno.build.arch === "aarch64"
  ? { read: 63, getppid: 173, getuid: 174, close: 57, getpid: 172 }
  : { read: 0, getppid: 110, getuid: 102, close: 3, getpid: 39 };

const MAPS = [
  "counts",
  "errors",
  "compat",
  "cgroups",
  "pids",
  "latencies",
  "programs",
  "lost",
] as const;

export interface CounterOptions {
  object?: "syscalls" | "syscalls_legacy";
  /** `SysFlag` bits: what is built in. Default: what the kernel has. */
  flags?: number;
  /** 32-bit number -> 64-bit number. */
  compat?: Readonly<Record<number, number>>;
}

export class SyscallCounter implements Disposable {
  readonly maps: Readonly<Record<typeof MAPS[number], BpfMap>>;
  readonly links: Link[] = [];
  /** What counts at the entry and at the exit of a call. */
  readonly installed: readonly [Program, Program];
  readonly #control: { map: BpfMap; offset: number; size: number };
  readonly #owned: DisposableStack;
  readonly #wanted = new Set<number>();
  #generation = 1;

  private constructor(
    maps: SyscallCounter["maps"],
    control: { map: BpfMap; offset: number; size: number },
    owned: DisposableStack,
    installed: readonly [Program, Program],
  ) {
    this.installed = installed;
    this.maps = maps;
    this.#control = control;
    this.#owned = owned;
  }

  static async attach(options: CounterOptions = {}): Promise<SyscallCounter> {
    const owned = new DisposableStack();
    try {
      using object = await loadCounter(options);
      const maps = Object.fromEntries(
        MAPS.map((name) => [name, owned.use(object.map(name))]),
      ) as Record<typeof MAPS[number], BpfMap>;
      const control = object.globalMap("control");
      owned.use(control.map);
      const counter = new SyscallCounter(maps, control, owned, [
        owned.use(object.program("sys_count")),
        owned.use(object.program("sys_finish")),
      ]);
      counter.install(...counter.installed);
      using enter = object.program("sys_enter");
      using exit = object.program("sys_exit");
      counter.links.push(owned.use(enter.attachRawTracepoint("sys_enter")));
      counter.links.push(owned.use(exit.attachRawTracepoint("sys_exit")));
      return counter;
    } catch (error) {
      owned.dispose();
      throw error;
    }
  }

  /** What the stubs jump to, from now on. */
  install(count: Program, finish: Program): void {
    this.maps.programs.update(u32(sys_program.SYS_PROGRAM_ENTER), u32(count.fd));
    this.maps.programs.update(u32(sys_program.SYS_PROGRAM_EXIT), u32(finish.fd));
  }

  /** What a newer program must share to go on counting. */
  get shared(): Readonly<Record<string, BpfMap>> {
    return { ...this.maps, ".bss": this.#control.map };
  }

  /** Counts these calls of the cgroup into a row. */
  want(
    cgroup: string,
    pod: { row: number; calls: readonly string[]; flags?: number; compat?: readonly number[] },
  ): void {
    using directory = CgroupDirectory.open(cgroup);
    const numbers = pod.calls.map((name) => NUMBERS[name] ?? -1);
    for (const number of [...numbers, ...pod.compat ?? []]) this.#wanted.add(number);
    this.maps.cgroups.update(
      u64(directory.id),
      codecs.pod.encode({ row: pod.row, flags: pod.flags ?? 0, wanted: bitmap(numbers) }),
    );
    this.#publish();
  }

  forget(cgroup: string): void {
    using directory = CgroupDirectory.open(cgroup);
    this.maps.cgroups.delete(u64(directory.id));
    this.#publish();
  }

  #publish(): void {
    const { map, offset, size } = this.#control;
    const section = map.lookup(u32(0));
    if (section === undefined) throw new Error("Cannot read the control block");
    const block = codecs.control.encode({
      wanted: bitmap([...this.#wanted]),
      generation: this.#generation++,
      // The sandbox's Pods are two levels down.
      levels: 1 << 2,
    });
    if (block.length !== size) throw new Error("Cannot write the control block: another size");
    section.set(block, offset);
    map.update(u32(0), section);
  }

  /** Counts of a row by name, without those at zero. */
  row(row: number, map: "counts" | "errors" = "counts"): Record<string, number> {
    const value = this.maps[map].lookup(u32(row));
    if (value === undefined) throw new Error(`Cannot read row ${row}`);
    const names = new Map(Object.entries(NUMBERS).map(([name, number]) => [number, name]));
    const counts: Record<string, number> = {};
    this.maps[map].sumU64(value).forEach((count, number) => {
      if (count > 0n) counts[names.get(number) ?? `${number}`] = Number(count);
    });
    return counts;
  }

  /** Everything that every row holds. */
  total(): number {
    return this.maps.counts.entries().reduce(
      (sum, { value }) =>
        this.maps.counts.sumU64(value).reduce((sum, count) => sum + Number(count), sum),
      0,
    );
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

/** The loaded object, not attached. @param reuse maps to share with one that runs. */
export async function loadCounter(
  options: CounterOptions,
  reuse: Readonly<Record<string, BpfMap>> = {},
) {
  const name = options.object ?? "syscalls";
  const object = openObject(name);
  try {
    object.checkLayout("sys_", SYS_LAYOUT);
    const compat = new Uint16Array(sys_limit.SYS_NUMBERS).fill(sys_limit.SYS_NO_NUMBER);
    for (const [from, to] of Object.entries(options.compat ?? {})) compat[Number(from)] = to;
    object.setGlobal(
      "settings",
      codecs.sysSettings.encode({
        flags: options.flags ?? kernelFlags(),
        ...legacyOffsets(),
        compat_numbers: compat,
      }),
    );
    object.setMaxEntries("counts", 8);
    object.setMaxEntries("errors", 8);
    for (const [map, existing] of Object.entries(reuse)) object.reuse(map, existing);
    await object.load();
    return object;
  } catch (error) {
    object.close();
    throw error;
  }
}

/** As bpf/include/syscalls.h says. */
function legacyOffsets() {
  if (Deno.build.arch === "aarch64") return { status_mask: 1 << 22, number_offset: 280 };
  const { major, minor } = kernelVersion();
  const status_offset = major > 5 || (major === 5 && minor >= 11) ? 16 : 8;
  return { status_offset, status_mask: 2, number_offset: 120 };
}

export function kernelFlags(): number {
  return (hasFeature("ancestorCgroup") ? SysFlag.SYS_FLAG_ANCESTORS : 0) |
    (hasFeature("taskStorage") ? SysFlag.SYS_FLAG_TASK_BTF : 0);
}

function bitmap(numbers: readonly number[]): BigUint64Array {
  const words = new BigUint64Array(sys_limit.SYS_WORDS);
  for (const number of numbers) {
    const word = number >> 6;
    words[word] = (words[word] ?? 0n) | 1n << BigInt(number & 63);
  }
  return words;
}
