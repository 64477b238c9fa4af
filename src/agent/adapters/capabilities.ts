/** What this process may do, read from /proc. */
import { readTextFile } from "../../../ffi/mod.ts";

const BITS = { NET_ADMIN: 12n, SYS_ADMIN: 21n, PERFMON: 38n, BPF: 39n } as const;
export type Capability = keyof typeof BITS;
/** What the agent needs, where it does not have SYS_ADMIN, which includes the first two. */
export const NEEDED: readonly Capability[] = ["BPF", "PERFMON", "NET_ADMIN"];

/** Pure: the text of /proc/self/status. */
export function parseCapabilities(status: string): ReadonlySet<Capability> {
  const [, mask = "0"] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  const bits = BigInt(`0x${mask}`);
  const all = Object.entries(BITS) as [Capability, bigint][];
  return new Set(all.filter(([, bit]) => (bits >> bit & 1n) === 1n).map(([name]) => name));
}

/** Pure: what is missing of {@link NEEDED}. */
export function missingCapabilities(has: ReadonlySet<Capability>): Capability[] {
  return NEEDED.filter((name) => !has.has(name) && !(name !== "NET_ADMIN" && has.has("SYS_ADMIN")));
}

export function ownCapabilities(): ReadonlySet<Capability> {
  return parseCapabilities(readTextFile("/proc/self/status"));
}
