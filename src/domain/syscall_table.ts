/**
 * Names and numbers of system calls, per architecture. Pure.
 *
 * Numbers from SYSCALL_NUMBERS on (x32, the private calls of arm) are not counted and not known here.
 */
import { SYSCALL_NUMBERS } from "./ebpf_programs.ts";
import { SYSCALL_NUMBER_TABLES } from "./syscall_numbers.ts";

/** As `uname -m` and `Deno.build.arch` say. */
export const ARCHITECTURES = ["x86_64", "aarch64"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** Where a call of 32-bit programs has no number in {@link SyscallTable.compat}. */
export const NO_NUMBER = 0xffff;

export interface SyscallTable {
  /** Undefined for a name that this architecture lacks. */
  number(name: string): number | undefined;
  /** `syscall_<number>` for a number without a name: the kernel is newer than the table. */
  name(number: number): string;
  /** Every number that has a name, ascending. */
  readonly numbers: readonly number[];
  /** By number of 32-bit programs: the number of the same call for 64-bit programs, or NO_NUMBER. */
  readonly compat: Uint16Array;
}

const COMPAT_OF = { x86_64: "i386", aarch64: "arm" } as const;

/** Calls that carry another name for 32-bit programs, apart from suffixes such as `_time64`, `32` and `64`. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  _llseek: "lseek",
  _newselect: "select",
  arm_fadvise64_64: "fadvise64",
  arm_sync_file_range: "sync_file_range",
  fadvise64_64: "fadvise64",
  fstatat64: "newfstatat",
  mmap2: "mmap",
  ugetrlimit: "getrlimit",
};

const tables = new Map<Architecture, SyscallTable>();

export function syscallTable(architecture: Architecture): SyscallTable {
  const known = tables.get(architecture);
  if (known !== undefined) return known;
  const numbers = read(SYSCALL_NUMBER_TABLES[architecture]);
  const names = new Map([...numbers].map(([name, number]) => [number, name]));
  const table: SyscallTable = {
    number: (name) => numbers.get(name),
    name: (number) => names.get(number) ?? `syscall_${number}`,
    numbers: [...names.keys()].sort((one, other) => one - other),
    compat: compatNumbers(numbers, read(SYSCALL_NUMBER_TABLES[COMPAT_OF[architecture]])),
  };
  tables.set(architecture, table);
  return table;
}

function read(text: string): Map<string, number> {
  const numbers = new Map<string, number>();
  let next = 0;
  for (const word of text.trim().split(/\s+/)) {
    if (word.startsWith("=")) next = Number(word.slice(1));
    else if (next < SYSCALL_NUMBERS) numbers.set(word, next++);
  }
  return numbers;
}

function compatNumbers(
  numbers: ReadonlyMap<string, number>,
  compat: ReadonlyMap<string, number>,
): Uint16Array {
  const table = new Uint16Array(SYSCALL_NUMBERS).fill(NO_NUMBER);
  for (const [name, number] of compat) {
    const same = [name, OTHER_NAMES[name], name.replace(/(_time64|32|64)$/, "")]
      .map((candidate) => candidate === undefined ? undefined : numbers.get(candidate))
      .find((found) => found !== undefined);
    if (same !== undefined) table[number] = same;
  }
  return table;
}
