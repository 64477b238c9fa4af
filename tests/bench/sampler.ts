/**
 * What a process used, as the kernel counts it (Linux only): CPU of all its threads, in steps of
 * 10 ms, and the highest resident memory.
 */

/** Of `getconf CLK_TCK`: fixed at 100 for user space on every architecture Linux runs Deno on. */
const TICK_MS = 10;
const MIB = 1024;

export interface ProcessUsage {
  /** User and system time since the process began, without its children. */
  cpuMs: number;
  /** Since the process began. */
  peakRssMiB: number;
  rssMiB: number;
}

/** @throws Error when there is no such process. */
export function processUsage(pid: number): ProcessUsage {
  // Fields 14 and 15; the name in field 2 may hold spaces and parentheses.
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).replace(/^.*\) /s, "").split(" ");
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
  return {
    cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    peakRssMiB: kib("VmHWM") / MIB,
    rssMiB: kib("VmRSS") / MIB,
  };
}
