/** The architectures that the program is built for, under the names that each tool has for them. */

/** As Debian, Go and image indexes say. */
export type Machine = "amd64" | "arm64";

export interface MachineNames {
  /** Of Deno and Rust. */
  readonly triple: string;
  /** Of Debian's library folders. */
  readonly multiarch: string;
  /** Where executables look for their dynamic loader. */
  readonly loader: string;
  /** e_machine of its ELF files. */
  readonly elf: number;
}

export const MACHINES: Readonly<Record<Machine, MachineNames>> = {
  amd64: {
    triple: "x86_64-unknown-linux-gnu",
    multiarch: "x86_64-linux-gnu",
    loader: "/lib64/ld-linux-x86-64.so.2",
    elf: 62,
  },
  arm64: {
    triple: "aarch64-unknown-linux-gnu",
    multiarch: "aarch64-linux-gnu",
    loader: "/lib/ld-linux-aarch64.so.1",
    elf: 183,
  },
};

/** The one this runs on. */
export const BUILD_MACHINE: Machine = Deno.build.arch === "aarch64" ? "arm64" : "amd64";

/** @throws Error for a name that is not known. */
export function machine(name: string | undefined): Machine {
  if (name === "amd64" || name === "arm64") return name;
  throw new Error(`Cannot build for ${name}: the targets are ${Object.keys(MACHINES).join(", ")}`);
}

/** @returns the architecture of an ELF file. @throws Error when it is not one of ours. */
export function elfMachine(path: string): Machine {
  using file = Deno.openSync(path);
  const head = new Uint8Array(20);
  file.readSync(head);
  const view = new DataView(head.buffer);
  // The magic number, and e_machine.
  const elf = view.getUint32(0) === 0x7f454c46 ? view.getUint16(18, true) : undefined;
  for (const [name, names] of Object.entries(MACHINES)) {
    if (names.elf === elf) return name as Machine;
  }
  throw new Error(`Cannot use ${path}: not an executable for ${Object.keys(MACHINES).join(", ")}`);
}
