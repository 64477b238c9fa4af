/** Where cgroups are mounted, read from /proc. */
import { fileExists, readTextFile } from "../../../ffi/mod.ts";

export interface CgroupMount {
  /** Where it is mounted. */
  readonly path: string;
  readonly version: 1 | 2;
  /** Path within the hierarchy, relative to this process' cgroup namespace; `/..` leads out of it. */
  readonly root: string;
  /** Of version 1: controllers, such as "net_cls,net_prio". */
  readonly options: readonly string[];
}

/** Pure: the text of /proc/self/mountinfo. */
export function parseMounts(mountinfo: string): CgroupMount[] {
  return mountinfo.split("\n").flatMap((line): CgroupMount[] => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root = "/", path = ""] = before.split(" ");
    const [type = "", , options = ""] = after.split(" ");
    if (type !== "cgroup2" && type !== "cgroup") return [];
    const version = type === "cgroup2" ? 2 : 1;
    return [{ path: unescape(path), version, root: unescape(root), options: options.split(",") }];
  });
}

export function cgroupMounts(): CgroupMount[] {
  return parseMounts(readTextFile("/proc/self/mountinfo"));
}

/** Whether a cgroup is the root of the whole hierarchy: only that one has no type. */
export function isHierarchyRoot(path: string): boolean {
  return !fileExists(`${path}/cgroup.type`);
}

/** Space, tab, newline and backslash are octal there. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(parseInt(digits, 8)));
}
