/** `selftest`: what this node can do for eBPF, as a table or as JSON. */
import { type CheckResult, selftestNode } from "../agent/adapters/selftest.ts";
import { systemClock } from "../lib/clock.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { EXIT, type Shell } from "./shell.ts";

export async function selftest(options: OptionsOf<"selftest">, shell: Shell): Promise<number> {
  const { bpffsFolder, cgroupRoot, output } = options;
  const rows = await selftestNode({ bpffsFolder, cgroupRoot, clock: systemClock });
  const passed = rows.every(({ status }) => status === "ok" || status === "warning");
  if (output === "json") {
    shell.print(`${JSON.stringify({ passed, checks: rows }, undefined, 2)}\n`);
  } else {
    shell.print(rows.map((row) => `${line(row, shell.colour)}\n`).join(""));
    shell.print(
      passed
        ? "this node can run eBPF programs\n"
        : "this node cannot run all eBPF programs: see what failed\n",
    );
  }
  return passed ? EXIT.ok : EXIT.failed;
}

const COLOURS = {
  ok: "\x1b[32m",
  warning: "\x1b[33m",
  failed: "\x1b[31m",
  skipped: "\x1b[2m",
} as const;

function line({ check, status, detail }: CheckResult, colour: boolean): string {
  const padded = status.padEnd("warning".length);
  const label = colour ? `${COLOURS[status]}${padded}\x1b[0m` : padded;
  return `${label}  ${check.padEnd("program sys_finish".length)}  ${detail}`;
}
