/**
 * Everything of a kind that the kernel holds, whoever made it. Needs CAP_SYS_ADMIN.
 */
import { checked, errnoName } from "./errors.ts";
import { libbpf } from "./library.ts";

const NEXT = {
  map: "bpf_map_get_next_id",
  program: "bpf_prog_get_next_id",
  link: "bpf_link_get_next_id",
} as const;

/** @returns ids, ascending. @throws {BpfError} EPERM without the right. */
export function listIds(kind: keyof typeof NEXT): number[] {
  const ids: number[] = [];
  const next = new Uint32Array(1);
  for (let id = 0;;) {
    const result = libbpf()[NEXT[kind]](id, next);
    if (errnoName(-result) === "ENOENT") return ids;
    checked(result, `list the ${kind}s of the kernel`);
    id = next[0] ?? 0;
    ids.push(id);
  }
}
