/**
 * The syscall counter's programs and maps as they are pinned: loading, replacing, attaching, taking
 * down. Rows are `syscalls.ts`' matter.
 *
 * Attached are two stubs that never change; what they jump to is an entry of the map `programs`,
 * and is exchanged in one instant, so that no call is missed or counted twice.
 */
import {
  type BpfMap,
  type BpfObject,
  hasFeature,
  type Program,
  removeDirectory,
  renameFile,
} from "../../../ffi/mod.ts";
import { SYS_LAYOUT } from "../../../bpf/layout.ts";
import { EbpfError } from "../ports.ts";
import { during, duringAsync } from "./failures.ts";
import { buildMark, globalPlace, loadObject, openObject, u32, u64 } from "./objects.ts";
import { makeFolder, namesIn, openLink, openMap, type Pins, removeTree, unpin } from "./pins.ts";
import type { SyscallBook } from "./syscall_book.ts";
import {
  decodeSettings,
  encodeControl,
  encodePod,
  encodeSettings,
  SysFlag,
  SysLimit,
  unionOf,
} from "./syscall_values.ts";

const { sys_program } = SYS_LAYOUT.enums;

/** Maps that outlive an exchange of programs, by their pin below `maps/`. */
export const SYSCALL_MAPS = {
  ".bss": "sys_control",
  programs: "sys_programs",
  counts: "sys_counts",
  errors: "sys_errors",
  compat: "sys_compat",
  pids: "sys_pids",
  latencies: "sys_latencies",
  lost: "sys_lost",
  // Calls under way, by task or, where the kernel has no memory for that, by thread.
  starts: "sys_starts",
  thread_starts: "sys_threads",
  // Last: pinned once it says which rows there are.
  cgroups: "sys_cgroups",
} as const;
export type SyscallMap = keyof typeof SYSCALL_MAPS;

/** Those that this kernel needs. */
function allMaps(): (readonly [SyscallMap, string])[] {
  const unused = hasFeature("taskStorage") ? "thread_starts" : "starts";
  const maps = Object.entries(SYSCALL_MAPS) as (readonly [SyscallMap, string])[];
  return maps.filter(([name]) => name !== unused);
}

/** Sizes of what is only passed on to another layout where it is alike: key, value, entries. */
const START_BYTES = SYS_LAYOUT.structs.sys_start.size;
const PASSED_ON: Partial<Readonly<Record<SyscallMap, readonly number[]>>> = {
  starts: [4, START_BYTES, 0],
  thread_starts: [8, START_BYTES, SysLimit.SYS_THREADS_MAX],
};

const LINKS = { enter: "sys_enter", exit: "sys_exit" } as const;
type LinkName = keyof typeof LINKS;
const SETTINGS = "sys_settings";
/** Needed at the end of a call. */
const AT_EXIT = SysFlag.SYS_FLAG_ERRORS | SysFlag.SYS_FLAG_LATENCY;
/** Asked for by Pods. */
const FEATURES = AT_EXIT | SysFlag.SYS_FLAG_PIDS;

export class SyscallObject {
  readonly #pins: Pins;
  readonly #compat: Uint16Array;
  /** For maps made anew. */
  readonly #capacity: number;

  constructor(pins: Pins, options: { compat: Uint16Array; capacity: number }) {
    this.#pins = pins;
    this.#compat = options.compat;
    this.#capacity = options.capacity;
  }

  /** @returns undefined where it is not pinned. */
  map(name: SyscallMap): BpfMap | undefined {
    return openMap(this.#path(name));
  }

  /** @throws EbpfError where it is not pinned. */
  need(name: SyscallMap): BpfMap {
    const map = this.map(name);
    if (map === undefined) throw new EbpfError("InternalError", `Cannot open the map ${name}`);
    return map;
  }

  /** Anything of it is pinned. */
  get present(): boolean {
    const { sys, maps } = this.#pins;
    return namesIn(sys).length > 0 || namesIn(maps).some((name) => name.startsWith("sys_"));
  }

  /** `SysFlag` bits that this build's programs, as they are loaded, can do; undefined: not loaded. */
  get loadedFlags(): number | undefined {
    if (!namesIn(this.#pins.sys).includes(buildMark("syscalls"))) return undefined;
    using settings = openMap(`${this.#pins.maps}/${SETTINGS}`);
    const bytes = settings?.lookup(u32(0));
    if (bytes === undefined) return undefined;
    const { offset, size } = globalPlace("syscalls", "settings");
    return decodeSettings(bytes.subarray(offset, offset + size)).flags;
  }

  /** The programs are loaded and can do what `flags` ask, and what they jump through is in place. */
  covers(flags: number): boolean {
    const loaded = this.loadedFlags;
    return loaded !== undefined && (loaded & flags) === flags && this.isWhole;
  }

  /** The links that `flags` need are pinned. */
  isAttached(flags: number): boolean {
    const names = namesIn(this.#pins.sys);
    return linksFor(flags).every((link) => names.includes(link));
  }

  /** All its maps are pinned. */
  get isWhole(): boolean {
    const names = namesIn(this.#pins.maps);
    return allMaps().every(([, pin]) => names.includes(pin));
  }

  /**
   * Loads, or replaces what is loaded; features that were built in stay. Without its mark, which goes
   * first and comes last, all of it is done again.
   *
   * @param from another layout's counter, whose place it takes: this one's rows are those, unless it is
   * whole already, as when it was replaced by a program that then died.
   */
  async load(flags: number, from?: SyscallBook): Promise<void> {
    const model = this.isWhole ? undefined : from;
    // Half made, or half taken down: either way nobody has counted in it since it was last read.
    if (model !== undefined) during("bpffs", () => this.takeDown(model.linkIds()));
    const wanted = flags | (this.loadedFlags ?? 0) & FEATURES | kernelFlags();
    using object = during("load", () => openObject("syscalls"));
    const remade = during("load", () => {
      object.setGlobal("settings", encodeSettings(wanted, this.#compat));
      return this.#shareMaps(object, wanted, model);
    });
    await duringAsync("load", () => loadObject(object));
    if (model !== undefined) during("map", () => this.#copyRows(object, model));
    during("bpffs", () => {
      this.#removeMarks();
      if (model !== undefined) this.#adoptLinks(model);
      for (const name of remade) {
        using map = object.map(name);
        replacePin(map, this.#path(name));
      }
      using settings = object.map(".rodata");
      replacePin(settings, `${this.#pins.maps}/${SETTINGS}`);
    });
    during("map", () => {
      using count = object.program("sys_count");
      using finish = object.program("sys_finish");
      this.#install(count, finish);
    });
    during("attach", () => {
      for (const link of linksFor(wanted)) this.#attach(object, link);
    });
    during("bpffs", () => makeFolder(`${this.#pins.sys}/${buildMark("syscalls")}`));
  }

  /** Links first: from then on nobody pays. @param kept ids of links that are pinned elsewhere, too. */
  takeDown(kept?: ReadonlySet<number>): void {
    for (const link of Object.keys(LINKS)) unpin(`${this.#pins.sys}/${link}`, kept);
    removeTree(this.#pins.sys, kept);
    makeFolder(this.#pins.sys);
    for (const name of namesIn(this.#pins.maps)) {
      if (name.startsWith("sys_")) unpin(`${this.#pins.maps}/${name}`);
    }
  }

  #removeMarks(): void {
    for (const name of namesIn(this.#pins.sys)) {
      if (name.startsWith("build-")) removeDirectory(`${this.#pins.sys}/${name}`);
    }
  }

  #path(name: SyscallMap): string {
    return `${this.#pins.maps}/${SYSCALL_MAPS[name]}`;
  }

  #copyRows(object: BpfObject, from: SyscallBook): void {
    const rows = from.rows();
    using cgroups = object.map("cgroups");
    for (const { row, cgroupIds, spec } of rows) {
      for (const id of cgroupIds) cgroups.update(u64(id), encodePod(row, spec));
    }
    using control = object.map(".bss");
    const section = new Uint8Array(control.valueBytes);
    const numbers = unionOf(rows, this.#compat);
    const block = encodeControl({ numbers, generation: 1, levels: from.levels() });
    section.set(block, globalPlace("syscalls", "control").offset);
    control.update(u32(0), section);
  }

  /** The same links, pinned here as well. */
  #adoptLinks(from: SyscallBook): void {
    for (const name of Object.keys(LINKS)) {
      using link = from.link(name);
      link?.pin(`${this.#pins.sys}/${name}`);
    }
  }

  /** @returns maps that are not pinned here yet. */
  #shareMaps(object: BpfObject, flags: number, from: SyscallBook | undefined): SyscallMap[] {
    const remade: SyscallMap[] = [];
    if (from !== undefined) passOn(object, from);
    for (const [name] of allMaps()) {
      using existing = this.map(name);
      const entries = this.#entries(name, flags, from);
      // Grown from nothing: the feature was off, so that there is nothing in it.
      const fits = existing !== undefined &&
        (entries === undefined || existing.info.maxEntries >= entries);
      if (fits) object.reuse(name, existing);
      else remade.push(name);
      if (!fits && entries !== undefined) object.setMaxEntries(name, entries);
    }
    return remade;
  }

  /** Undefined: as the object says. What is off takes one entry. */
  #entries(name: SyscallMap, flags: number, from: SyscallBook | undefined): number | undefined {
    // Rows in use keep their capacity: an option that changed counts from the next time on.
    using counts = this.map("counts");
    const rows = counts?.info.maxEntries ?? from?.capacity ?? this.#capacity;
    const when = (flag: number, entries: number) => (flags & flag) !== 0 ? entries : 1;
    switch (name) {
      case "counts":
      case "compat":
        return rows;
      case "errors":
        return when(SysFlag.SYS_FLAG_ERRORS, rows);
      case "pids":
        return when(SysFlag.SYS_FLAG_PIDS, SysLimit.SYS_PIDS_MAX);
      case "latencies":
        return when(SysFlag.SYS_FLAG_LATENCY, SysLimit.SYS_LATENCIES_MAX);
      default:
        return undefined;
    }
  }

  #install(count: Program, finish: Program): void {
    using programs = this.need("programs");
    programs.update(u32(sys_program.SYS_PROGRAM_ENTER), u32(count.fd));
    programs.update(u32(sys_program.SYS_PROGRAM_EXIT), u32(finish.fd));
  }

  #attach(object: BpfObject, name: LinkName): void {
    using existing = openLink(`${this.#pins.sys}/${name}`);
    if (existing !== undefined) return;
    using program = object.program(LINKS[name]);
    using link = program.attachRawTracepoint(LINKS[name]);
    link.pin(`${this.#pins.sys}/${name}`);
  }
}

function linksFor(flags: number): LinkName[] {
  return (flags & AT_EXIT) !== 0 ? ["enter", "exit"] : ["enter"];
}

function passOn(object: BpfObject, from: SyscallBook): void {
  // What is attached jumps through it.
  object.reuse("programs", from.programs);
  for (const [name, sizes] of Object.entries(PASSED_ON)) {
    using map = from.optional(SYSCALL_MAPS[name as SyscallMap]);
    if (map === undefined) continue;
    const { keySize, valueSize, maxEntries } = map.info;
    const known = [keySize, valueSize, maxEntries];
    if (known.every((size, index) => size === sizes[index])) object.reuse(name, map);
  }
}

/** `SysFlag` bits for what the kernel has. */
export function kernelFlags(): number {
  return (hasFeature("ancestorCgroup") ? SysFlag.SYS_FLAG_ANCESTORS : 0) |
    (hasFeature("taskStorage") ? SysFlag.SYS_FLAG_TASK_BTF : 0);
}

/** What was pinned there is replaced in one instant. */
function replacePin(map: BpfMap, path: string): void {
  const next = `${path}_next`;
  unpin(next);
  map.pin(next);
  renameFile(next, path);
}
