/**
 * What this kernel can do, by asking it: versions lie where features were backported or left out.
 */
import { UnsupportedFeature } from "./errors.ts";
import { fileExists } from "./files.ts";
import { libbpf, takeMessages } from "./library.ts";
import { MapType } from "./map.ts";
import { supportsCgroupLinks } from "./program.ts";

const VMLINUX_BTF = "/sys/kernel/btf/vmlinux";

/** enum bpf_prog_type */
export const ProgramType = { CGROUP_SKB: 8, RAW_TRACEPOINT: 17, CGROUP_SOCK_ADDR: 18 } as const;

/** enum bpf_func_id */
const Helper = { ANCESTOR_CGROUP_ID: 123, TASK_STORAGE_GET: 156, KTIME_COARSE: 160 } as const;

interface Probe {
  /** As the error says it. */
  readonly description: string;
  /** First mainline version. */
  readonly minimumKernel: string;
  readonly probe: () => boolean;
}

const PROBES = {
  cgroupSkb: {
    description: "programs for packets of a cgroup",
    minimumKernel: "4.10",
    probe: () => programType(ProgramType.CGROUP_SKB),
  },
  cgroupSockAddr: {
    description: "programs for connect and sendmsg of a cgroup",
    minimumKernel: "4.17",
    probe: () => programType(ProgramType.CGROUP_SOCK_ADDR),
  },
  rawTracepoint: {
    description: "raw tracepoints",
    minimumKernel: "4.17",
    probe: () => programType(ProgramType.RAW_TRACEPOINT),
  },
  btf: {
    description: "the kernel's own type information (BTF)",
    minimumKernel: "5.4",
    probe: () => fileExists(VMLINUX_BTF),
  },
  cgroupLinks: {
    description: "links to cgroups",
    minimumKernel: "5.7",
    probe: supportsCgroupLinks,
  },
  ringBuffer: {
    description: "ring buffers",
    minimumKernel: "5.8",
    probe: () => mapType(MapType.RINGBUF),
  },
  taskStorage: {
    description: "task storage in tracing programs",
    minimumKernel: "5.11",
    probe: () =>
      mapType(MapType.TASK_STORAGE) && helper(ProgramType.RAW_TRACEPOINT, Helper.TASK_STORAGE_GET),
  },
  coarseClock: {
    description: "the coarse clock",
    minimumKernel: "5.11",
    probe: () => helper(ProgramType.CGROUP_SKB, Helper.KTIME_COARSE),
  },
  ancestorCgroup: {
    description: "ancestor cgroups in tracing programs",
    minimumKernel: "6.1",
    probe: () => helper(ProgramType.RAW_TRACEPOINT, Helper.ANCESTOR_CGROUP_ID),
  },
} as const satisfies Record<string, Probe>;

export type Feature = keyof typeof PROBES;
export const FEATURES: readonly Feature[] = Object.keys(PROBES) as Feature[];

const known = new Map<Feature, boolean>();

/** Asked once a process. Without the right to load programs, all but a few look missing. */
export function hasFeature(feature: Feature): boolean {
  let has = known.get(feature);
  if (has === undefined) {
    has = PROBES[feature].probe();
    // Probing makes libbpf complain about what is meant to fail.
    takeMessages();
    known.set(feature, has);
  }
  return has;
}

/** @throws {UnsupportedFeature} */
export function requireFeature(feature: Feature): void {
  const { description, minimumKernel } = PROBES[feature];
  if (!hasFeature(feature)) throw new UnsupportedFeature(description, minimumKernel);
}

export function minimumKernel(feature: Feature): string {
  return PROBES[feature].minimumKernel;
}

export interface KernelVersion {
  readonly major: number;
  readonly minor: number;
  /** As uname has it, such as "6.1.0-18-cloud-amd64". */
  readonly release: string;
}

export function kernelVersion(): KernelVersion {
  const release = Deno.osRelease();
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return { major: Number(major ?? 0), minor: Number(minor ?? 0), release };
}

const programType = (type: number) => libbpf().libbpf_probe_bpf_prog_type(type, null) === 1;
const mapType = (type: number) => libbpf().libbpf_probe_bpf_map_type(type, null) === 1;
const helper = (program: number, id: number) =>
  libbpf().libbpf_probe_bpf_helper(program, id, null) === 1;
