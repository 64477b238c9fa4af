/**
 * Reads the programs' counters, each Pod's at its own interval, and hands what is new to the metrics.
 *
 * The maps hold totals that outlive this process. What is handed on is the difference from the last
 * reading; the first one of a process hands on all there is, so that counts go on over a restart. Series
 * are there only for Pods whose metrics are exported, and go with the Pod; a Pod of the same name that
 * takes its place begins at its own total.
 */
import { type Clock, sleep } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { SyscallTable } from "../domain/syscall_table.ts";
import { TroubleLog } from "../runtime/trouble_log.ts";
import type { Kernel } from "./kernel.ts";
import { FirewallDeltas, SyscallDeltas } from "./counter_deltas.ts";
import type { ProgramUsage } from "./ports.ts";
import type { AgentMetrics, PodName } from "./settings.ts";

const TICK_MS = 500;
/** How often the state of the node's maps and programs is read. */
const NODE_INTERVAL_MS = 30_000;

interface Tracked {
  /** Undefined: not exported. */
  readonly exportMs: number | undefined;
  readonly inPlace: boolean;
  /** Tells one set of counters from the next: another one starts from nothing. */
  readonly id: string;
}

export interface TrackedPrograms {
  readonly firewall: Tracked | undefined;
  readonly syscalls: (Tracked & { readonly row: number | undefined }) | undefined;
}

interface Series<Deltas> {
  readonly pod: PodName;
  readonly id: string;
  exportMs: number;
  dueAt: number;
  row: number | undefined;
  readonly deltas: Deltas;
}

export interface CollectorOptions {
  readonly kernel: Kernel;
  readonly table: SyscallTable;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export class Collector {
  readonly #options: CollectorOptions;
  readonly #firewalls = new Map<string, Series<FirewallDeltas>>();
  readonly #syscalls = new Map<string, Series<SyscallDeltas>>();
  /** By program id: nanoseconds and runs of the last reading. */
  #usage = new Map<number, { readonly ns: bigint; readonly runs: bigint }>();
  readonly #trouble: TroubleLog;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#trouble = new TroubleLog(options.log, options.clock, {
      trouble: "Counters cannot be read",
      recovery: "Counters can be read again",
    });
  }

  /** What the Pod has from now on. Cheap where nothing has changed. */
  track(uid: string, pod: PodName, programs: TrackedPrograms): void {
    const { metrics } = this.#options;
    const { firewall, syscalls } = programs;
    this.#track(this.#firewalls, {
      uid,
      pod,
      wanted: firewall,
      create: () => new FirewallDeltas(),
    });
    if (firewall?.exportMs !== undefined) {
      metrics.attached(pod, "l4_firewall", firewall.inPlace ? 1 : 0);
    }
    const { table } = this.#options;
    this.#track(this.#syscalls, {
      uid,
      pod,
      wanted: syscalls,
      create: () => new SyscallDeltas(table),
    });
    if (syscalls?.exportMs !== undefined) {
      metrics.attached(pod, "syscall_counter", syscalls.inPlace ? 1 : 0);
    }
  }

  forget(uid: string): void {
    this.#drop(this.#firewalls, uid);
    this.#drop(this.#syscalls, uid);
  }

  /** The series of all Pods go. */
  forgetAll(): void {
    for (const uid of [...this.#firewalls.keys(), ...this.#syscalls.keys()]) this.forget(uid);
  }

  #track<Deltas>(series: Map<string, Series<Deltas>>, options: {
    readonly uid: string;
    readonly pod: PodName;
    readonly wanted: (Tracked & { readonly row?: number | undefined }) | undefined;
    readonly create: () => Deltas;
  }): void {
    const { uid, pod, wanted, create } = options;
    if (wanted?.exportMs === undefined) return this.#drop(series, uid);
    const { exportMs, id, row } = wanted;
    const known = series.get(uid);
    // Not in place: what was counted stays, and nothing new can be read of other counters.
    if (known !== undefined && (known.id === id || !wanted.inPlace)) {
      if (known.exportMs !== exportMs) known.dueAt = 0;
      known.exportMs = exportMs;
      return;
    }
    for (const [other, { pod: { namespace, name } }] of series) {
      // A Pod of this name that is no more: its series must not be taken for this one's.
      if (other !== uid && namespace === pod.namespace && name === pod.name) {
        this.#drop(series, other);
      }
    }
    series.set(uid, { pod, id, exportMs, dueAt: 0, row, deltas: create() });
  }

  #drop(series: Map<string, Series<unknown>>, uid: string): void {
    const known = series.get(uid);
    if (known === undefined) return;
    series.delete(uid);
    const isFirewall = series === this.#firewalls as Map<string, Series<unknown>>;
    this.#options.metrics.forget(known.pod, isFirewall ? "l4_firewall" : "syscall_counter");
  }

  /** Reads until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let nodeDueAt = 0;
    while (!signal.aborted) {
      await this.collect();
      // As soon as there is something to read: what runs already has its numbers at once.
      if (this.#options.kernel.opened && clock.monotonic() >= nodeDueAt) {
        await this.#guarded(() => this.#collectNode());
        nodeDueAt = clock.monotonic() + NODE_INTERVAL_MS;
      }
      await sleep(clock, TICK_MS, signal).catch(() => {});
    }
  }

  /** Reads what is due now. Never throws. */
  async collect(): Promise<void> {
    if (!this.#options.kernel.opened) return;
    const now = this.#options.clock.monotonic();
    const firewalls = takeDue(this.#firewalls, now);
    const syscalls = takeDue(this.#syscalls, now).filter(([, { row }]) => row !== undefined);
    if (firewalls.length > 0) await this.#guarded(() => this.#collectFirewalls(firewalls));
    if (syscalls.length > 0) await this.#guarded(() => this.#collectSyscalls(syscalls));
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#trouble.recovered();
    } catch (error) {
      this.#trouble.trouble("read", { err: error });
    }
  }

  async #collectFirewalls(due: readonly [string, Series<FirewallDeltas>][]): Promise<void> {
    const { kernel, metrics } = this.#options;
    for (const [uid, series] of due) {
      const counts = await kernel.use(({ firewall }) => firewall.counts(uid));
      // Meanwhile the Pod may have gone, or lost its firewall.
      if (counts === undefined || this.#firewalls.get(uid) !== series) continue;
      const { verdicts, probes, logLost, flowsFailed } = series.deltas.take(counts);
      metrics.verdicts(series.pod, verdicts);
      metrics.probeExemptions(probes);
      metrics.verdictsNotLogged(logLost);
      metrics.flowFailures(flowsFailed);
    }
  }

  async #collectSyscalls(due: readonly [string, Series<SyscallDeltas>][]): Promise<void> {
    const { kernel, metrics } = this.#options;
    const rows = due.flatMap(([, { row }]) => row ?? []);
    const counts = await kernel.use(({ syscalls }) => syscalls.counts(rows));
    for (const [uid, series] of due) {
      const found = counts.find(({ row }) => row === series.row);
      if (found === undefined || this.#syscalls.get(uid) !== series) continue;
      const { calls, errors, latencies, compat } = series.deltas.take(found);
      metrics.syscalls(series.pod, calls);
      metrics.syscallErrors(series.pod, errors);
      metrics.latencies(series.pod, latencies);
      metrics.compatCalls(compat);
    }
  }

  async #collectNode(): Promise<void> {
    const { kernel, metrics } = this.#options;
    const [maps, programs] = await kernel.use(async (loader) => [
      await loader.mapUsage(),
      await loader.programUsage(),
    ]);
    metrics.maps(maps);
    this.#takeUsage(programs);
  }

  #takeUsage(programs: readonly ProgramUsage[]): void {
    const next = new Map<number, { ns: bigint; runs: bigint }>();
    for (const { programType, programId, runTimeNs: ns, runCount: runs } of programs) {
      const last = this.#usage.get(programId) ?? { ns: 0n, runs: 0n };
      next.set(programId, { ns, runs });
      if (ns < last.ns || runs < last.runs) continue;
      const seconds = Number(ns - last.ns) / 1e9;
      this.#options.metrics.programRuns(programType, seconds, Number(runs - last.runs));
    }
    this.#usage = next;
  }
}

function takeDue<Deltas>(
  all: Map<string, Series<Deltas>>,
  now: number,
): [string, Series<Deltas>][] {
  const due = [...all].filter(([, { dueAt }]) => dueAt <= now);
  for (const [, series] of due) series.dueAt = now + series.exportMs;
  return due;
}
