/**
 * What the kernel holds, without what other processes of this machine hold: those come and go as they
 * like, and what a test leaves behind is in no hand but this process' own, a pin or a cgroup.
 */
import { listIds } from "../../../ffi/mod.ts";

export const KINDS = ["link", "map", "program"] as const;
export type Kind = (typeof KINDS)[number];

/** As the kernel calls them in /proc/<pid>/fdinfo. */
const FIELDS: Readonly<Record<Kind, RegExp>> = {
  link: /^link_id:\s+(\d+)$/m,
  map: /^map_id:\s+(\d+)$/m,
  program: /^prog_id:\s+(\d+)$/m,
};

/** Ids by kind, ascending. @param own processes of the test beside this one: what they hold is the test's. */
export function heldIds(own: readonly number[] = []): Record<Kind, number[]> {
  // Listed first: what somebody makes later is not in it.
  const listed = KINDS.map((kind) => [kind, listIds(kind)] as const);
  const others = heldByOthers([Deno.pid, ...own]);
  const ours = listed.map(([kind, ids]) => [kind, ids.filter((id) => !others[kind].has(id))]);
  return Object.fromEntries(ours);
}

function heldByOthers(own: readonly number[]): Record<Kind, Set<number>> {
  const ids = { link: new Set<number>(), map: new Set<number>(), program: new Set<number>() };
  for (const pid of namesIn("/proc")) {
    if (!/^\d+$/.test(pid) || own.includes(Number(pid))) continue;
    for (const fd of namesIn(`/proc/${pid}/fd`)) {
      if (!linkOf(`/proc/${pid}/fd/${fd}`).startsWith("anon_inode:bpf")) continue;
      const text = textOf(`/proc/${pid}/fdinfo/${fd}`);
      for (const kind of KINDS) {
        const id = FIELDS[kind].exec(text)?.[1];
        if (id !== undefined) ids[kind].add(Number(id));
      }
    }
  }
  return ids;
}

// Processes end, and close what they have open, while they are looked at.

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return "";
  }
}

function textOf(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
