/**
 * A process that dies in the middle, without a process: from a given step on, none of its calls reaches the
 * kernel. What it has pinned, attached and written stays, as after kill -9.
 */
import { BpfObject } from "../../../ffi/mod.ts";
import { libbpf, libc } from "../../../ffi/library.ts";

/** Calls that leave something behind. */
const STEPS = {
  libbpf: [
    "bpf_obj_pin",
    "bpf_map_update_elem",
    "bpf_map_delete_elem",
    "bpf_link_create",
    "bpf_link_update",
    "bpf_link_detach",
    "bpf_raw_tracepoint_open",
  ],
  libc: ["mkdir", "rmdir", "unlink", "rename"],
} as const;

const EPERM = 1;

export class Died extends Error {}

type Functions = Record<string, (this: unknown, ...args: unknown[]) => unknown>;

/**
 * Runs `work`, whose step `last` (from 0) and all after it do not happen.
 *
 * @returns whether it died, that is had as many steps.
 */
export async function diesAt(last: number, work: () => Promise<unknown>): Promise<boolean> {
  let step = 0;
  const restore: (() => void)[] = [];
  const intercept = (symbols: Functions, names: readonly string[]) => {
    for (const name of names) {
      const original = symbols[name] as Functions[string];
      symbols[name] = function (...args) {
        if (step++ >= last) throw new Died(`Cannot ${name}: dead`);
        return original.apply(this, args);
      };
      restore.push(() => symbols[name] = original);
    }
  };
  intercept(libbpf() as unknown as Functions, STEPS.libbpf);
  // Loading pins, too.
  intercept(BpfObject.prototype as unknown as Functions, ["load"]);
  intercept(libc() as unknown as Functions, STEPS.libc);
  try {
    await work();
  } catch (error) {
    if (step <= last) throw error;
  } finally {
    for (const undo of restore) undo();
  }
  return step > last;
}

/** Runs `work`, for which the kernel answers a call with EPERM. */
export async function refuses<T>(
  name: (typeof STEPS.libbpf)[number],
  work: () => Promise<T>,
): Promise<T> {
  const symbols = libbpf() as unknown as Functions;
  const original = symbols[name] as Functions[string];
  symbols[name] = () => -EPERM;
  try {
    return await work();
  } finally {
    symbols[name] = original;
  }
}
