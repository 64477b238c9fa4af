/** The agent's adapters in a sandbox, and specifications to give them. */
import assert from "node:assert/strict";
import { LibbpfLoader } from "../../../src/agent/adapters/loader.ts";
import { type NodePorts, nodePorts } from "../../../src/agent/adapters/mod.ts";
import type { BpfLoader, FirewallCounts } from "../../../src/agent/ports.ts";
import {
  type FirewallSpec,
  PLANE_BYTES,
  RULE,
  SYSCALL_NUMBERS,
  type SyscallSpec,
} from "../../../src/domain/ebpf_programs.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { seededRandom } from "../../../src/lib/random.ts";
import type { Sandbox } from "./sandbox.ts";
import { NUMBERS } from "./syscalls.ts";

export const folderOf = (sandbox: Sandbox) => `${sandbox.bpffs}/podconfigmap`;

export function makePorts(
  bpffsFolder: string,
  options: { cgroupRoot?: string; syscallRows?: number } = {},
): NodePorts {
  const { cgroupRoot = "", syscallRows = 8 } = options;
  const [clock, random] = [systemClock, seededRandom(1)];
  return nodePorts({ bpffsFolder, cgroupRoot, syscallRows, clock, random });
}

/** Opened, and closed at the end. @param layout of the pins, as of an agent of another version. */
export async function openLoader(
  folder: string,
  syscallRows = 8,
  layout?: string,
): Promise<BpfLoader & AsyncDisposable> {
  const random = seededRandom(1);
  const other = layout === undefined ? {} : { layout };
  const loader = new LibbpfLoader({ folder, syscallRows, random, ...other });
  await loader.open();
  return Object.assign(loader, { [Symbol.asyncDispose]: () => loader.close() });
}

export const resolverOf = (sandbox: Sandbox) => makePorts("", { cgroupRoot: sandbox.root }).cgroups;

type Action = keyof typeof RULE;

/** All ports of a direction, but for those listed. */
export function plane(otherwise: Action, ports: Readonly<Record<number, Action>> = {}) {
  const bytes = new Uint8Array(PLANE_BYTES).fill(RULE[otherwise] * 0b01010101);
  for (const [port, action] of Object.entries(ports)) {
    const [at, shift] = [Number(port) >> 2, (Number(port) & 3) * 2];
    bytes[at] = ((bytes[at] ?? 0) & ~(3 << shift)) | (RULE[action] << shift);
  }
  return bytes;
}

const ZEROS = new Uint8Array(PLANE_BYTES);

/** Ingress and egress rules alike; a direction left out is off. */
export function firewallSpec(
  rules: { ingress?: Uint8Array<ArrayBuffer>; egress?: Uint8Array<ArrayBuffer> },
  more: Partial<FirewallSpec> = {},
): FirewallSpec {
  const { ingress = ZEROS, egress = ZEROS } = rules;
  return {
    planes: [ingress, ingress, egress, egress],
    ingress: rules.ingress !== undefined,
    egress: rules.egress !== undefined,
    hostNetwork: false,
    otherEgress: "allow",
    probePorts: [],
    selfAddresses: [],
    logPerSecond: 0,
    ...more,
  };
}

export function syscallSpec(
  names: readonly string[],
  more: Partial<SyscallSpec> = {},
): SyscallSpec {
  const numbers = names.map((name) => {
    const number = NUMBERS[name];
    assert.ok(number !== undefined && number < SYSCALL_NUMBERS, name);
    return number;
  }).sort((one, other) => one - other);
  return { numbers, errors: false, latency: false, pids: false, ...more };
}

/** Only what is not zero, such as { "ingress tcp ipv4 blocked": 1 }. */
export function verdicts(counts: FirewallCounts | undefined): Record<string, number> {
  assert.ok(counts);
  return Object.fromEntries(
    counts.verdicts.filter(({ count }) => count > 0n).map((one) => [
      `${one.direction} ${one.protocol} ${one.family} ${one.verdict}`,
      Number(one.count),
    ]),
  );
}

/** Only what is not zero, by name. */
export function calls(numbers: BigUint64Array | undefined): Record<string, number> {
  assert.ok(numbers);
  const names = new Map(Object.entries(NUMBERS).map(([name, number]) => [number, name]));
  const counts: Record<string, number> = {};
  numbers.forEach((count, number) => {
    if (count > 0n) counts[names.get(number) ?? `${number}`] = Number(count);
  });
  return counts;
}
