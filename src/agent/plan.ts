/** What is to be done about the programs of one Pod: from what is wanted and what is found. Pure. */
import {
  type FirewallSpec,
  sameFirewall,
  sameSyscalls,
  type SyscallSpec,
} from "../domain/ebpf_programs.ts";
import type { FirewallState, PodCgroup, SyscallNodeState, SyscallState } from "./ports.ts";

export type FirewallAction = "none" | "apply" | "remove";

/** `wanted` undefined: no firewall. */
export function planFirewall(
  wanted: { readonly spec: FirewallSpec; readonly cgroup: PodCgroup } | undefined,
  found: FirewallState | undefined,
): FirewallAction {
  if (wanted === undefined) return found === undefined ? "none" : "remove";
  const holds = found !== undefined && found.complete && found.spec !== undefined &&
    found.cgroupId === wanted.cgroup.id && sameFirewall(found.spec, wanted.spec);
  return holds ? "none" : "apply";
}

export type SyscallAction =
  | { readonly kind: "none"; readonly row: number | undefined }
  | { readonly kind: "put" }
  | { readonly kind: "remove"; readonly row: number };

/** `cgroupId` without a `wanted`: where the Pod's row, if any, is found. */
export function planSyscalls(
  wanted: { readonly spec: SyscallSpec; readonly cgroup: PodCgroup } | undefined,
  cgroupId: bigint | undefined,
  found: SyscallNodeState,
): SyscallAction {
  const row = rowOf(found, wanted?.cgroup.id ?? cgroupId);
  if (wanted === undefined) {
    return row === undefined ? { kind: "none", row: undefined } : { kind: "remove", row: row.row };
  }
  const { cgroup, spec } = wanted;
  const ids = new Set([cgroup.id, ...cgroup.descendants]);
  const holds = found.attached && row !== undefined && sameSyscalls(row.spec, spec) &&
    row.cgroupIds.length === ids.size && row.cgroupIds.every((id) => ids.has(id));
  return holds ? { kind: "none", row: row.row } : { kind: "put" };
}

function rowOf(found: SyscallNodeState, id: bigint | undefined): SyscallState | undefined {
  return id === undefined ? undefined : found.rows.find(({ cgroupIds }) => cgroupIds.includes(id));
}

/** Rows that no Pod of `cgroupIds` has. */
export function strayRows(found: SyscallNodeState, cgroupIds: ReadonlySet<bigint>): number[] {
  return found.rows.filter((row) => !row.cgroupIds.some((id) => cgroupIds.has(id)))
    .map(({ row }) => row);
}
