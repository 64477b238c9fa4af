/** The kernel's eBPF by libbpf and a bpffs: opens the node for one agent. */
import {
  BpfError,
  type BpfMap,
  type Feature,
  kernelVersion,
  libraryInfo,
  type OwnedFd,
  Program,
  readTextFile,
  requireFeature,
  tryLock,
} from "../../../ffi/mod.ts";
import { FW_LAYOUT, SYS_LAYOUT } from "../../../bpf/layout.ts";
import { type Architecture, syscallTable } from "../../domain/syscall_table.ts";
import type { Random } from "../../lib/random.ts";
import { type BpfLoader, EbpfError, type MapUsage, type ProgramUsage } from "../ports.ts";
import { missingCapabilities, ownCapabilities } from "./capabilities.ts";
import { isRootInSight, levelBits, unifiedMounts } from "./cgroups.ts";
import { during } from "./failures.ts";
import { answer, LibbpfFirewall, mapFilling, SHARED_MAPS } from "./firewall.ts";
import { ALL_HOOKS } from "./firewall_values.ts";
import { openLink, openMap, Pins } from "./pins.ts";
import { SYSCALL_MAPS } from "./syscall_object.ts";
import { LibbpfSyscalls } from "./syscalls.ts";

/** Sizes of keys and values of pinned maps, by pin. Another size is another layout. */
const PINNED_SIZES: Readonly<Record<string, readonly [number, number]>> = {
  fw_flows: [FW_LAYOUT.structs.fw_flow_key.size, FW_LAYOUT.structs.fw_flow.size],
  fw_seen: [4, FW_LAYOUT.structs.fw_seen.size],
  fw_node_addresses: [FW_LAYOUT.structs.fw_address.size, 4],
  sys_cgroups: [8, SYS_LAYOUT.structs.sys_pod.size],
  sys_counts: [4, SYS_LAYOUT.structs.sys_row.size],
  sys_errors: [4, SYS_LAYOUT.structs.sys_row.size],
  sys_compat: [4, SYS_LAYOUT.structs.sys_compat.size],
  sys_pids: [SYS_LAYOUT.structs.sys_pid_key.size, 8],
  sys_latencies: [SYS_LAYOUT.structs.sys_latency_key.size, SYS_LAYOUT.structs.sys_latency.size],
  sys_starts: [4, SYS_LAYOUT.structs.sys_start.size],
  sys_threads: [8, SYS_LAYOUT.structs.sys_start.size],
};

export interface LoaderOptions {
  /** In a bpffs; all below it is ours. */
  readonly folder: string;
  /** Rows of the syscall counter. */
  readonly syscallRows: number;
  readonly random: Random;
  /** Of the pins; without, this program's. */
  readonly layout?: string;
}

export class LibbpfLoader implements BpfLoader {
  readonly firewall: LibbpfFirewall;
  readonly syscalls: LibbpfSyscalls;
  readonly #pins: Pins;
  #claim: OwnedFd | undefined;

  constructor(options: LoaderOptions) {
    this.#pins = new Pins(options.folder, options.layout);
    this.firewall = new LibbpfFirewall(this.#pins, options.random);
    this.syscalls = new LibbpfSyscalls(this.#pins, {
      compat: syscallTable(Deno.build.arch as Architecture).compat,
      capacity: options.syscallRows,
      levelBits: (level) => levelBits(level, isRootInSight()),
    });
  }

  async open(): Promise<void> {
    if (this.#claim !== undefined) return;
    this.#claim = await answer(() => {
      during("load", () => libraryInfo());
      unifiedMounts();
      checkCapabilities();
      during("load", checkKernel);
      this.#pins.prepare();
      const claim = claimNode(this.#pins.folder);
      try {
        during("map", () => checkPinnedMaps(this.#pins.maps));
      } catch (error) {
        claim.close();
        throw error;
      }
      return claim;
    });
    // Before any Pod is looked at. What fails here fails again, and is told, where a Pod wants it.
    await this.syscalls.takeOver().catch(() => {});
    try {
      this.#pins.removeUnusedOthers();
    } catch {
      // Empty folders alone, which an agent of theirs that waits for the node may be making just now.
    }
  }

  present(): Promise<boolean> {
    return answer(() => {
      try {
        return during("bpffs", () => this.#pins.inUse);
      } catch (error) {
        // Another libc, or another system: none of ours can ever have run here.
        if (error instanceof EbpfError && error.reason === "LibraryMissing") return false;
        throw error;
      }
    });
  }

  clear(): Promise<void> {
    return answer(() =>
      during("bpffs", () => {
        this.firewall.close();
        this.#pins.clear();
        this.#pins.prepare();
      })
    );
  }

  mapUsage(): Promise<readonly MapUsage[]> {
    return answer(() => {
      const pin = (name: string) => mapFilling(`${this.#pins.maps}/${name}`);
      const usage: MapUsage[] = [];
      const add = (map: MapUsage["map"], filling: ReturnType<typeof pin>) => {
        if (filling !== undefined) usage.push({ map, ...filling });
      };
      add("flows", pin(SHARED_MAPS.flows));
      add("cgroups", pin(SYSCALL_MAPS.cgroups));
      add("rows", this.syscalls.rowUsage());
      add("pids", pin(SYSCALL_MAPS.pids));
      add("latencies", pin(SYSCALL_MAPS.latencies));
      add("node_addresses", pin(SHARED_MAPS.node_addresses));
      return usage;
    });
  }

  /** Needs SYS_ADMIN beside the kernel's statistics: programs are opened by id. */
  programUsage(): Promise<readonly ProgramUsage[]> {
    return answer(() =>
      during("map", () => {
        if (!statisticsAreOn() || !ownCapabilities().has("SYS_ADMIN")) return [];
        const usage = this.#pins.podUids().flatMap((podUid) => this.#firewallUsage(podUid));
        const enter = this.syscalls.programId();
        return enter === undefined ? usage : [...usage, ...usageOf(enter, "syscall_counter")];
      })
    );
  }

  close(): Promise<void> {
    return answer(() => {
      this.firewall.close();
      this.#claim?.close();
      this.#claim = undefined;
    });
  }

  #firewallUsage(podUid: string): ProgramUsage[] {
    return ALL_HOOKS.flatMap((hook) => {
      using link = openLink(`${this.#pins.pod(podUid)}/${hook}`);
      if (link === undefined) return [];
      return usageOf(link.info().programId, "l4_firewall").map((one) => ({ ...one, podUid }));
    });
  }
}

/** Before anything is tried: the kernel says EPERM for many reasons. */
function checkCapabilities(): void {
  const missing = missingCapabilities(ownCapabilities());
  if (missing.length === 0) return;
  throw new EbpfError(
    "NotPermitted",
    `Cannot use eBPF: the capabilities ${missing.join(", ")} are missing`,
  );
}

const OLDEST = { major: 5, minor: 8 } as const;
export const OLDEST_KERNEL = `${OLDEST.major}.${OLDEST.minor}`;

export function isOldKernel(): boolean {
  const { major, minor } = kernelVersion();
  return major < OLDEST.major || (major === OLDEST.major && minor < OLDEST.minor);
}

/** There is no other way without these. */
export const NEEDED_FEATURES = [
  "cgroupSkb",
  "cgroupSockAddr",
  "rawTracepoint",
  "btf",
  "cgroupLinks",
  "ringBuffer",
] as const satisfies readonly Feature[];

function checkKernel(): void {
  if (isOldKernel()) {
    const { release } = kernelVersion();
    throw new EbpfError(
      "UnsupportedKernel",
      `Cannot use eBPF: the kernel is ${release}, need ${OLDEST_KERNEL} or newer`,
    );
  }
  for (const feature of NEEDED_FEATURES) requireFeature(feature);
}

/** One agent a node: a lock on the folder, which ends with the process. */
export function claimNode(folder: string): OwnedFd {
  const claim = during("bpffs", () => tryLock(folder));
  if (claim !== undefined) return claim;
  throw new EbpfError("AnotherAgent", `Cannot manage ${folder}: another agent on this node does`);
}

function checkPinnedMaps(folder: string): void {
  for (const [pin, [keySize, valueSize]] of Object.entries(PINNED_SIZES)) {
    using map = openMap(`${folder}/${pin}`);
    if (map === undefined || fits(map, keySize, valueSize)) continue;
    throw new EbpfError(
      "LoadFailed",
      `Cannot use the pinned map ${pin}: its layout is another; run the command cleanup`,
    );
  }
}

const fits = ({ info }: BpfMap, keySize: number, valueSize: number) =>
  info.keySize === keySize && info.valueSize === valueSize;

function statisticsAreOn(): boolean {
  try {
    return readTextFile("/proc/sys/kernel/bpf_stats_enabled").trim() === "1";
  } catch (error) {
    if (error instanceof BpfError) return false;
    throw error;
  }
}

function usageOf(programId: number, programType: ProgramUsage["programType"]): ProgramUsage[] {
  using program = Program.openById(programId);
  const { runTimeNs, runCount } = program.info();
  return [{ programType, programId, runTimeNs, runCount }];
}
