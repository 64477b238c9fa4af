/**
 * Makes the programs of one Pod what they are to be: looks, plans, acts, and looks again.
 *
 * Guarantees: nothing is done where everything is as wanted; what is said to be in place was seen to be
 * so after the last change. Failures of one kind of program do not keep the other back.
 */
import type { WantedPrograms } from "../domain/ebpf_wanted.ts";
import type { NodePod } from "../domain/node_pod.ts";
import type { ProgramFailure } from "./condition.ts";
import { asEbpfError, type Kernel } from "./kernel.ts";
import { planFirewall, planSyscalls } from "./plan.ts";
import {
  type BpfLoader,
  type CgroupResolver,
  EbpfError,
  type FirewallState,
  type PodCgroup,
} from "./ports.ts";

export interface Application {
  readonly cgroup: PodCgroup | undefined;
  /** Of the syscall counter. */
  readonly row: number | undefined;
  readonly failures: readonly ProgramFailure[];
}

export interface ApplyOptions {
  /** Names of configs that nobody can read: what is attached is neither loosened nor taken away. */
  readonly hold: readonly string[];
  /** Hears where the Pod is, before anything is attached there. */
  readonly located: (cgroup: PodCgroup) => void;
}

export class Programs {
  readonly #kernel: Kernel;
  readonly #cgroups: CgroupResolver;

  constructor(kernel: Kernel, cgroups: CgroupResolver) {
    this.#kernel = kernel;
    this.#cgroups = cgroups;
  }

  /** Never throws: failures are part of the answer. */
  async apply(pod: NodePod, wanted: WantedPrograms, options: ApplyOptions): Promise<Application> {
    const failures: ProgramFailure[] = [];
    const attempt = async <T>(type: ProgramFailure["type"], work: () => Promise<T>) => {
      try {
        return await work();
      } catch (error) {
        const what = type === "l4_firewall" ? "apply the firewall" : "count system calls";
        failures.push({ type, error: asEbpfError(error, what) });
        return undefined;
      }
    };
    const cgroup = await this.#resolve(pod, wanted, attempt);
    if (cgroup === undefined) return { cgroup, row: undefined, failures };
    options.located(cgroup);
    const { hold } = options;
    await attempt("l4_firewall", () => this.#firewall(pod, { cgroup, wanted, hold }));
    const row = await attempt(
      "syscall_counter",
      () => this.#kernel.use((loader) => this.#syscalls(loader, cgroup, wanted)),
    );
    return { cgroup, row, failures };
  }

  async #resolve(
    pod: NodePod,
    wanted: WantedPrograms,
    attempt: (
      type: ProgramFailure["type"],
      work: () => Promise<PodCgroup>,
    ) => Promise<PodCgroup | undefined>,
  ): Promise<PodCgroup | undefined> {
    const looked = this.#cgroups.resolve(cgroupQuery(pod));
    const found = wanted.firewall && await attempt("l4_firewall", () => looked);
    const same = wanted.syscalls && await attempt("syscall_counter", () => looked);
    // Awaited in any case: a rejection must not go unheard.
    return found ?? same ?? await looked.catch(() => undefined);
  }

  async #firewall(
    pod: NodePod,
    { cgroup, wanted, hold }: {
      readonly cgroup: PodCgroup;
      readonly wanted: WantedPrograms;
      readonly hold: readonly string[];
    },
  ): Promise<void> {
    const { uid } = pod;
    const target = wanted.firewall && { spec: wanted.firewall.spec, cgroup };
    await this.#kernel.use(async ({ firewall }) => {
      const found = await firewall.inspect(uid);
      const action = planFirewall(target, found);
      if (action === "none") return;
      if (hold.length > 0 && found !== undefined && isAt(cgroup, found)) {
        // Left by another version, or half made: whole again, by the rules that it has.
        const { spec, complete } = found;
        if (spec !== undefined && !complete) await firewall.apply(uid, cgroup, spec);
        throw new EbpfError(
          "ConfigInvalid",
          `Cannot change the firewall: nobody can tell what ${hold.join(", ")} asks for`,
        );
      }
      if (target === undefined) return await firewall.remove(uid);
      await firewall.apply(uid, cgroup, target.spec);
      if (planFirewall(target, await firewall.inspect(uid)) !== "none") {
        throw new EbpfError(
          "AttachFailed",
          "Cannot apply the firewall: what is attached is not what was asked for",
        );
      }
    });
  }

  /** The canary has come through, as far as is known: no firewall is trusted until it is blocked again. */
  get areDistrusted(): boolean {
    return this.#kernel.canaryFailure !== undefined;
  }

  /** Why the Pod's firewall, which is attached, is not to be called applied; undefined where it is. */
  async distrust(pod: NodePod, wanted: WantedPrograms): Promise<ProgramFailure | undefined> {
    try {
      await this.#trust(pod, wanted);
      return undefined;
    } catch (error) {
      return { type: "l4_firewall", error: asEbpfError(error, "apply the firewall") };
    }
  }

  /** What is attached filters, and is all that was asked for. @throws EbpfError otherwise */
  async #trust(
    { probePorts }: NodePod,
    { firewall, tooManyProbePorts }: WantedPrograms,
  ): Promise<void> {
    await this.#kernel.checkCanary();
    if (this.#kernel.canaryFailure !== undefined) throw this.#kernel.canaryFailure;
    if (!tooManyProbePorts) return;
    throw new EbpfError(
      "TooManyProbePorts",
      `Cannot apply the firewall: the kubelet probes ${probePorts.length} ports of the Pod, ` +
        `${firewall?.spec.probePorts.length} can be kept open for it`,
    );
  }

  async #syscalls(
    { syscalls }: BpfLoader,
    cgroup: PodCgroup,
    wanted: WantedPrograms,
  ): Promise<number | undefined> {
    const target = wanted.syscalls && { spec: wanted.syscalls.spec, cgroup };
    const action = planSyscalls(target, cgroup.id, await syscalls.inspect());
    switch (action.kind) {
      case "none":
        return action.row;
      case "remove":
        await syscalls.remove(action.row);
        return undefined;
      case "put": {
        await syscalls.put(cgroup, (target as NonNullable<typeof target>).spec);
        const after = planSyscalls(target, cgroup.id, await syscalls.inspect());
        if (after.kind === "none") return after.row;
        throw new EbpfError(
          "AttachFailed",
          "Cannot count system calls: what is attached is not what was asked for",
        );
      }
    }
  }

  /**
   * Takes away whatever a Pod has. `cgroupId`: where it was last found, for a Pod whose cgroup may be gone.
   * @throws EbpfError
   */
  async clear(uid: string, pod: NodePod | undefined, cgroupId: bigint | undefined): Promise<void> {
    await this.#kernel.useToRemove(async ({ firewall, syscalls }) => {
      if (await firewall.inspect(uid) !== undefined) await firewall.remove(uid);
      const found = await syscalls.inspect();
      if (found.rows.length === 0) return;
      const id = cgroupId ?? (pod && await this.#idOf(pod));
      const action = planSyscalls(undefined, id, found);
      if (action.kind === "remove") await syscalls.remove(action.row);
    });
  }

  /** Undefined where there is none: then nothing can lead to a row, and the sweep finds what is left. */
  async #idOf(pod: NodePod): Promise<bigint | undefined> {
    try {
      return (await this.#cgroups.resolve(cgroupQuery(pod))).id;
    } catch (error) {
      if (error instanceof EbpfError) return undefined;
      throw error;
    }
  }
}

/** Where its rules cannot be read, as those of another layout, it may be. */
function isAt(cgroup: PodCgroup, { cgroupId, spec }: FirewallState): boolean {
  return spec === undefined || cgroupId === cgroup.id;
}

export function cgroupQuery({ uid, configHash, qosClass }: NodePod) {
  return {
    podUid: uid,
    ...(configHash === "" ? {} : { configHash }),
    ...(qosClass === "" ? {} : { qosClass }),
  };
}
