/**
 * A node's kernel in memory, as `src/agent/ports.ts` describes it: what is attached outlives the agent's
 * process. Each step can fail, or be the last one of the process.
 */
import {
  type FirewallSpec,
  SYSCALL_NUMBERS,
  type SyscallSpec,
} from "../../src/domain/ebpf_programs.ts";
import {
  type BpfLoader,
  type CgroupResolver,
  EbpfError,
  type FirewallCounts,
  type FirewallPort,
  type FirewallState,
  type PodCgroup,
  type SyscallCounts,
  type SyscallNodeState,
  type SyscallPort,
  type VerdictEvent,
} from "../../src/agent/ports.ts";
import type { AgentDependencies } from "../../src/agent/settings.ts";
import type { SimulatedProcess } from "../sim/process.ts";

/** Steps that look at nothing only. */
const CHANGES = /^(clear|firewall (maps|attach|detach|unpin)|syscalls (?!inspect))/;

export const HOOKS = ["in", "m4", "m6", "c4", "c6", "out"] as const;

interface FakeFirewall {
  cgroupId: bigint;
  spec: FirewallSpec | undefined;
  readonly hooks: Set<string>;
  readonly counts: Map<string, bigint>;
}

interface FakeRow {
  ids: Set<bigint>;
  spec: SyscallSpec;
  readonly calls: BigUint64Array;
}

export function hooksOf({ ingress, egress }: FirewallSpec): string[] {
  return HOOKS.filter((hook) => hook === "in" ? ingress : hook.startsWith("m") ? true : egress);
}

export class FakeNode {
  readonly cgroups = new Map<string, bigint>();
  readonly firewalls = new Map<string, FakeFirewall>();
  readonly rows = new Map<number, FakeRow>();
  readonly verdicts: VerdictEvent[] = [];
  counter = { attached: false, present: false };
  addresses: readonly string[] = [];
  capacity = 256;
  canaryPasses = true;
  /** Called at every step: may throw, or crash the process. */
  onStep: (step: string) => void = () => {};
  /** Called just before a step that changes something, with the process that does it. */
  onTouch: (process: SimulatedProcess, step: string) => void = () => {};
  /** Called when the node gets another owner. */
  onClaim: () => void = () => {};
  steps = 0;
  warmUps = 0;
  #owner: SimulatedProcess | undefined;
  #nextCgroup = 1000n;

  addCgroup(uid: string): bigint {
    const id = this.#nextCgroup++;
    this.cgroups.set(uid, id);
    return id;
  }

  /** As rmdir does: links stay pinned, on no cgroup. */
  removeCgroup(uid: string): void {
    const id = this.cgroups.get(uid);
    this.cgroups.delete(uid);
    for (const firewall of this.firewalls.values()) {
      if (firewall.cgroupId === id) firewall.cgroupId = 0n;
    }
  }

  /** System calls that a Pod makes: counted where somebody counts. */
  call(uid: string, number: number, times: number): void {
    const id = this.cgroups.get(uid);
    if (id === undefined || !this.counter.attached) return;
    for (const { ids, spec, calls } of this.rows.values()) {
      if (!ids.has(id) || !spec.numbers.includes(number)) continue;
      calls[number] = (calls[number] ?? 0n) + BigInt(times);
    }
  }

  /** Anything of ours that is left in the kernel. */
  get leftovers(): string[] {
    return [
      ...[...this.firewalls.keys()].map((uid) => `firewall ${uid}`),
      ...[...this.rows.keys()].map((row) => `row ${row}`),
      ...this.counter.present ? ["counter"] : [],
    ];
  }

  ports(process: SimulatedProcess): AgentDependencies["node"] {
    const session = new Session(this, process);
    return {
      loader: session.loader(),
      cgroups: session.cgroups,
      canary: {
        run: async () => {
          await session.step("canary");
          return this.canaryPasses ? { ok: true } : { ok: false, message: "came through" };
        },
      },
      addresses: { list: () => Promise.resolve(["00000000000000000000ffff0a000001"]) },
      warmUp: () => void this.warmUps++,
    };
  }

  /** Who has claimed the node last; it may have died since. */
  get owner(): SimulatedProcess | undefined {
    return this.#owner;
  }

  claim(process: SimulatedProcess): void {
    if (this.#owner !== undefined && this.#owner !== process && !this.#owner.crashed) {
      throw new EbpfError("AnotherAgent", "Cannot use the node: another agent does");
    }
    if (this.#owner !== process) this.onClaim();
    this.#owner = process;
  }

  release(process: SimulatedProcess): void {
    if (this.#owner === process) this.#owner = undefined;
  }
}

class Session {
  readonly #node: FakeNode;
  readonly #process: SimulatedProcess;

  constructor(node: FakeNode, process: SimulatedProcess) {
    this.#node = node;
    this.#process = process;
  }

  async step(name: string): Promise<void> {
    if (!this.#process.crashed) {
      this.#node.steps++;
      this.#node.onStep(name);
    }
    await this.#process.receive(Promise.resolve());
    if (CHANGES.test(name)) this.#node.onTouch(this.#process, name);
  }

  readonly cgroups: CgroupResolver = {
    resolve: async ({ podUid, configHash = "" }) => {
      await this.step("resolve");
      const id = this.#node.cgroups.get(podUid) ?? this.#node.cgroups.get(configHash);
      if (id === undefined) throw new EbpfError("CgroupNotFound", "Cannot find the Pod's cgroup");
      return { path: `/cg/${podUid}`, id, level: 3, descendants: [] };
    },
  };

  loader(): BpfLoader {
    return {
      firewall: this.#firewall(),
      syscalls: this.#syscalls(),
      open: async () => {
        await this.step("open");
        this.#node.claim(this.#process);
      },
      present: () => Promise.resolve(this.#node.leftovers.length > 0),
      clear: async () => {
        await this.step("clear");
        for (const uid of [...this.#node.firewalls.keys()]) await this.#removeFirewall(uid);
        for (const row of [...this.#node.rows.keys()]) {
          await this.step("syscalls remove");
          this.#node.rows.delete(row);
        }
        if (this.#node.counter.present) await this.#detachCounter();
      },
      mapUsage: () =>
        Promise.resolve([{ map: "rows", entries: this.#node.rows.size, capacity: 256 }]),
      programUsage: () => Promise.resolve([]),
      close: () => Promise.resolve(this.#node.release(this.#process)),
    };
  }

  #firewall(): FirewallPort {
    const node = this.#node;
    return {
      list: () => Promise.resolve([...node.firewalls.keys()]),
      inspect: async (uid) => {
        await this.step("firewall inspect");
        return stateOf(uid, node.firewalls.get(uid));
      },
      apply: (uid, cgroup, spec) => this.#applyFirewall(uid, cgroup, spec),
      remove: (uid) => this.#removeFirewall(uid),
      counts: (uid) => Promise.resolve(countsOf(node.firewalls.get(uid))),
      setNodeAddresses: (addresses) => {
        node.addresses = addresses;
        return Promise.resolve();
      },
      drainVerdicts: (max) => Promise.resolve(node.verdicts.splice(0, max)),
    };
  }

  async #applyFirewall(uid: string, cgroup: PodCgroup, spec: FirewallSpec): Promise<void> {
    const { firewalls, cgroups } = this.#node;
    const found = firewalls.get(uid);
    const before = stateOf(uid, found);
    const usable = before?.complete === true && found?.cgroupId === cgroup.id;
    if (found !== undefined && !usable) await this.#removeFirewall(uid);
    const firewall = usable && found !== undefined
      ? found
      : { cgroupId: cgroup.id, spec: undefined, hooks: new Set<string>(), counts: new Map() };
    try {
      await this.step("firewall maps");
      firewalls.set(uid, firewall);
      firewall.spec = spec;
      for (const hook of hooksOf(spec)) {
        await this.step(`firewall attach ${hook}`);
        if (![...cgroups.values()].includes(cgroup.id)) {
          throw new EbpfError("CgroupNotFound", "Cannot attach");
        }
        firewall.hooks.add(hook);
      }
      for (const hook of firewall.hooks) {
        if (!hooksOf(spec).includes(hook)) firewall.hooks.delete(hook);
      }
      await this.step("firewall check");
    } catch (error) {
      if (!usable) firewalls.delete(uid);
      throw error;
    }
  }

  async #removeFirewall(uid: string): Promise<void> {
    const firewall = this.#node.firewalls.get(uid);
    if (firewall === undefined) return;
    for (const hook of [...firewall.hooks]) {
      await this.step(`firewall detach ${hook}`);
      firewall.hooks.delete(hook);
    }
    await this.step("firewall unpin");
    this.#node.firewalls.delete(uid);
  }

  #syscalls(): SyscallPort {
    const node = this.#node;
    return {
      inspect: async () => {
        await this.step("syscalls inspect");
        return nodeState(node);
      },
      put: (cgroup, spec) => this.#put(cgroup, spec),
      remove: async (row) => {
        await this.step("syscalls remove");
        node.rows.delete(row);
        if (node.rows.size === 0) await this.#detachCounter();
      },
      detachUnused: async () => {
        if (node.rows.size === 0) await this.#detachCounter();
      },
      counts: (rows) =>
        Promise.resolve(rows.flatMap((row): SyscallCounts[] => {
          const found = node.rows.get(row);
          return found === undefined
            ? []
            : [{ row, calls: found.calls.slice(), compatUnknown: 0n }];
        })),
    };
  }

  async #put(cgroup: PodCgroup, spec: SyscallSpec): Promise<number> {
    const { rows, counter, capacity } = this.#node;
    await this.step("syscalls load");
    counter.present = true;
    await this.step("syscalls attach");
    counter.attached = true;
    const known = [...rows].find(([, { ids }]) => ids.has(cgroup.id));
    if (known !== undefined) {
      await this.step("syscalls change");
      known[1].spec = spec;
      return known[0];
    }
    const free = Array.from({ length: capacity }, (_, row) => row).find((row) => !rows.has(row));
    if (free === undefined) throw new EbpfError("CapacityExceeded", "Cannot count: no row is free");
    await this.step("syscalls zero");
    const calls = new BigUint64Array(SYSCALL_NUMBERS);
    rows.set(free, { ids: new Set([cgroup.id]), spec, calls });
    return free;
  }

  async #detachCounter(): Promise<void> {
    await this.step("syscalls detach");
    this.#node.counter.attached = false;
    await this.step("syscalls unpin");
    this.#node.counter.present = false;
  }
}

function stateOf(podUid: string, found: FakeFirewall | undefined): FirewallState | undefined {
  if (found === undefined) return undefined;
  const { cgroupId, spec, hooks } = found;
  const complete = spec !== undefined && hooksOf(spec).length === hooks.size &&
    hooksOf(spec).every((hook) => hooks.has(hook));
  return { podUid, cgroupId, spec, complete };
}

function countsOf(found: FakeFirewall | undefined): FirewallCounts | undefined {
  if (found === undefined) return undefined;
  const blocked = found.counts.get("blocked") ?? 0n;
  const base = { direction: "ingress", protocol: "tcp", family: "ipv4" } as const;
  return {
    verdicts: [
      { ...base, verdict: "allowed", count: found.counts.get("allowed") ?? 0n },
      { ...base, verdict: "blocked", count: blocked },
    ],
    probes: 0n,
    logLost: 0n,
    flowsOpened: 0n,
    flowsFailed: 0n,
  };
}

function nodeState({ rows, counter, capacity }: FakeNode): SyscallNodeState {
  return {
    ...counter,
    capacity,
    rows: [...rows].sort(([one], [other]) => one - other)
      .map(([row, { ids, spec }]) => ({ row, cgroupIds: [...ids], spec })),
  };
}
