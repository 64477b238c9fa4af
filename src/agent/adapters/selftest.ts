/**
 * What this node can do, one row a check: looks, loads each program and lets it go again, and runs the
 * canary. Pins nothing and needs no claim: an agent may run meanwhile.
 */
import {
  type Feature,
  fileExists,
  FileSystem,
  fileSystemOf,
  hasFeature,
  isWritableFolder,
  kernelVersion,
  libraryInfo,
  minimumKernel,
} from "../../../ffi/mod.ts";
import type { Clock } from "../../lib/clock.ts";
import { LoopbackCanary } from "./canary.ts";
import { missingCapabilities, ownCapabilities } from "./capabilities.ts";
import { KubeletCgroups, unifiedMounts } from "./cgroups.ts";
import { isOldKernel, NEEDED_FEATURES, OLDEST_KERNEL } from "./loader.ts";
import { firewallKernelFlags } from "./firewall.ts";
import { encodeSettings as encodeFirewall, FwFlag } from "./firewall_values.ts";
import { cgroupMounts } from "./mounts.ts";
import { OBJECT_NAMES, type ObjectName, openObject } from "./objects.ts";
import { kernelFlags } from "./syscall_object.ts";
import { encodeSettings as encodeSyscalls, SysFlag, SysLimit } from "./syscall_values.ts";

export interface CheckResult {
  /** Such as "kernel", "program fw_in". */
  readonly check: string;
  /** `warning`: works, with less. `skipped`: a check before this one failed. */
  readonly status: "ok" | "warning" | "failed" | "skipped";
  readonly detail: string;
}

export interface SelftestOptions {
  readonly bpffsFolder: string;
  readonly cgroupRoot: string;
  readonly clock: Clock;
}

type Outcome = Omit<CheckResult, "check">;
const ok = (detail: string): Outcome => ({ status: "ok", detail });
const warning = (detail: string): Outcome => ({ status: "warning", detail });
const failed = (detail: string): Outcome => ({ status: "failed", detail });

export async function selftestNode(options: SelftestOptions): Promise<CheckResult[]> {
  const rows: CheckResult[] = [];
  const add = async (check: string, look: () => Outcome | Promise<Outcome>) => {
    rows.push({ check, ...await outcomeOf(look) });
  };
  await add("kernel", checkKernel);
  await add("cgroups", checkCgroups);
  await add("pods", () => checkPods(options.cgroupRoot));
  await add("capabilities", checkCapabilities);
  await add("libbpf", checkLibrary);
  await add("bpffs", () => checkBpffs(options.bpffsFolder));
  const canLoad = !rows.some(({ check, status }) =>
    status === "failed" && ["kernel", "capabilities", "libbpf"].includes(check)
  );
  await add("features", canLoad ? checkFeatures : skipped);
  for (const object of OBJECT_NAMES) {
    for (const program of PROGRAMS[object]) {
      await add(`program ${program}`, canLoad ? () => loadAlone(object, program) : skipped);
    }
  }
  await add("canary", canLoad ? () => checkCanary(options.clock) : skipped);
  return rows;
}

/** Without libbpf nobody can ask the objects for them. */
const PROGRAMS: Readonly<Record<ObjectName, readonly string[]>> = {
  firewall: ["fw_in", "fw_out", "fw_c4", "fw_c6", "fw_m4", "fw_m6"],
  syscalls: ["sys_enter", "sys_exit", "sys_count", "sys_finish"],
};

async function outcomeOf(look: () => Outcome | Promise<Outcome>): Promise<Outcome> {
  try {
    return await look();
  } catch (error) {
    return failed(error instanceof Error ? error.message : String(error));
  }
}

const skipped = (): Outcome => ({ status: "skipped", detail: "a check before this one failed" });

function checkKernel(): Outcome {
  const { release } = kernelVersion();
  if (isOldKernel()) return failed(`${release}, need ${OLDEST_KERNEL} or newer`);
  const btf = fileExists("/sys/kernel/btf/vmlinux");
  return btf
    ? ok(`${release}, with BTF`)
    : failed(`${release} has no BTF: /sys/kernel/btf/vmlinux`);
}

function checkCgroups(): Outcome {
  const [first] = unifiedMounts();
  const old = cgroupMounts().filter(({ version }) => version === 1);
  if (old.length === 0) return ok(`version 2 at ${first?.path}`);
  const marked = old.some(({ options }) => options.includes("net_cls"));
  return warning(
    `hybrid: version 2 at ${first?.path}, ${old.length} hierarchies of version 1` +
      (marked ? ", net_cls among them (see canary)" : ""),
  );
}

function checkPods(root: string): Outcome {
  const roots = new KubeletCgroups(root === "" ? {} : { root }).roots();
  return roots.length > 0
    ? ok(roots.map(({ path }) => path).join(", "))
    : warning("no cgroups of a kubelet here");
}

function checkCapabilities(): Outcome {
  const has = ownCapabilities();
  const missing = missingCapabilities(has);
  return missing.length === 0 ? ok([...has].join(", ")) : failed(`missing: ${missing.join(", ")}`);
}

function checkLibrary(): Outcome {
  const { path, version } = libraryInfo();
  return ok(`${version} at ${path}`);
}

function checkBpffs(folder: string): Outcome {
  if (fileExists(folder)) {
    if (fileSystemOf(folder) !== FileSystem.BPF) return failed(`${folder} is in no bpffs`);
    return isWritableFolder(folder) ? ok(folder) : failed(`${folder} is not this user's`);
  }
  const parent = folder.replace(/\/[^/]*$/, "");
  if (!fileExists(parent) || fileSystemOf(parent) !== FileSystem.BPF) {
    return failed(`${folder} does not exist, and ${parent} is no bpffs`);
  }
  return warning(`${folder} does not exist yet: the agent or prepare-node makes it`);
}

const OPTIONAL: readonly Feature[] = ["coarseClock", "taskStorage", "ancestorCgroup"];

function checkFeatures(): Outcome {
  const missing = NEEDED_FEATURES.filter((feature) => !hasFeature(feature));
  const name = (feature: Feature) => `${feature} (${minimumKernel(feature)})`;
  if (missing.length > 0) return failed(`missing: ${missing.map(name).join(", ")}`);
  const without = OPTIONAL.filter((feature) => !hasFeature(feature));
  return without.length === 0
    ? ok("all that are made use of")
    : warning(`goes without: ${without.map(name).join(", ")}`);
}

/** Through the verifier, by itself, so that a failure has a name. */
async function loadAlone(objectName: ObjectName, programName: string): Promise<Outcome> {
  using object = openObject(objectName);
  for (const name of object.programNames) object.setAutoload(name, name === programName);
  // With everything turned on: the verifier cuts out what is off.
  object.setGlobal("settings", fullSettings(objectName));
  if (objectName === "syscalls") {
    object.setMaxEntries("counts", 1);
    object.setMaxEntries("errors", 1);
  }
  await object.load();
  using program = object.program(programName);
  const { verifiedInstructions } = program.info();
  return ok(
    `loads${verifiedInstructions > 0 ? `, ${verifiedInstructions} instructions seen` : ""}`,
  );
}

function fullSettings(object: ObjectName): Uint8Array<ArrayBuffer> {
  if (object === "firewall") {
    const flags = FwFlag.FW_FLAG_INGRESS | FwFlag.FW_FLAG_EGRESS | FwFlag.FW_FLAG_OTHER_BLOCK |
      firewallKernelFlags();
    return encodeFirewall({ podId: 1n, flags, hashSeed: 0n });
  }
  const asked = SysFlag.SYS_FLAG_ERRORS | SysFlag.SYS_FLAG_LATENCY | SysFlag.SYS_FLAG_PIDS;
  return encodeSyscalls(asked | kernelFlags(), new Uint16Array(SysLimit.SYS_NUMBERS));
}

async function checkCanary(clock: Clock): Promise<Outcome> {
  const result = await new LoopbackCanary({ clock }).run();
  return result.ok ? ok("a blocked port of the own cgroup is blocked") : failed(result.message);
}
