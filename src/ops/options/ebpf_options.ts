/** Options of what works on a node's kernel, as data. */
import type { OptionDefinition } from "./definition.ts";

const MAX_ID = 4_294_967_294;

export const EBPF_OPTIONS = [
  {
    key: "bpffsFolder",
    flag: "bpffs-folder",
    env: "BPFFS_FOLDER",
    type: "string",
    default: "/sys/fs/bpf/podconfigmap",
    description: "Folder in a bpffs that is ours alone; programs and maps are pinned below it",
    commands: ["cleanup", "prepare-node", "selftest"],
    group: "eBPF",
  },
  {
    key: "cgroupRoot",
    flag: "cgroup-root",
    env: "CGROUP_ROOT",
    type: "string",
    default: "",
    description: "Folder of a cgroup2 mount below which Pods are; default: every cgroup2 mount",
    commands: ["selftest"],
    group: "eBPF",
  },
  {
    key: "ownerUid",
    flag: "owner-uid",
    type: "int",
    default: "65532",
    min: 0,
    max: MAX_ID,
    description: "User that the agent runs as: the folder becomes that user's",
    commands: ["prepare-node"],
    group: "eBPF",
  },
  {
    key: "ownerGid",
    flag: "owner-gid",
    type: "int",
    default: "65532",
    min: 0,
    max: MAX_ID,
    description: "Group of the folder",
    commands: ["prepare-node"],
    group: "eBPF",
  },
] as const satisfies readonly OptionDefinition[];
