/** The node as the agent meets it: every port of `ports.ts`, by libbpf and the file system. */
import type { Clock } from "../../lib/clock.ts";
import type { Random } from "../../lib/random.ts";
import type { BpfLoader, Canary, CgroupResolver, NodeAddresses } from "../ports.ts";
import { FEATURES, hasFeature } from "../../../ffi/mod.ts";
import { LoopbackCanary } from "./canary.ts";
import { KubeletCgroups } from "./cgroups.ts";
import { LibbpfLoader } from "./loader.ts";
import { InterfaceAddresses } from "./node_addresses.ts";
import { OBJECT_NAMES, openObject } from "./objects.ts";

export interface NodeOptions {
  /** Folder in a bpffs, as `prepare-node` made it. */
  readonly bpffsFolder: string;
  /** Where to look for Pods' cgroups instead of everywhere; empty: everywhere. */
  readonly cgroupRoot: string;
  /** Pods whose system calls can be counted at a time. */
  readonly syscallRows: number;
  readonly clock: Clock;
  readonly random: Random;
}

export interface NodePorts {
  readonly loader: BpfLoader;
  readonly cgroups: CgroupResolver;
  readonly canary: Canary;
  readonly addresses: NodeAddresses;
  readonly warmUp: () => void;
}

/** Opens nothing yet. */
export function nodePorts(options: NodeOptions): NodePorts {
  const { bpffsFolder, cgroupRoot, syscallRows, clock, random } = options;
  return {
    loader: new LibbpfLoader({ folder: bpffsFolder, syscallRows, random }),
    cgroups: new KubeletCgroups(cgroupRoot === "" ? {} : { root: cgroupRoot }),
    canary: new LoopbackCanary({ clock }),
    addresses: new InterfaceAddresses(),
    warmUp,
  };
}

/** The libraries, what the kernel can do, the objects: each remembered, or compiled, from its first use on. */
function warmUp(): void {
  try {
    for (const feature of FEATURES) hasFeature(feature);
    for (const name of OBJECT_NAMES) openObject(name).close();
  } catch {
    // Whoever needs them is told.
  }
}
