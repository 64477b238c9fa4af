/**
 * From totals to what is new since the last reading, for one set of counters. A total that fell is one
 * that began anew: all of it is new. Pure but for what it remembers.
 */
import type { SyscallTable } from "../domain/syscall_table.ts";
import type { FirewallCounts, SyscallCounts } from "./ports.ts";
import type { LatencyDelta, SyscallDelta, VerdictDelta } from "./settings.ts";

/** Series by process that one Pod may have; what is beyond counts without a process. */
export const PID_SERIES_MAX = 1_000;

class Totals<Key> {
  readonly #last = new Map<Key, bigint>();

  take(key: Key, total: bigint): number {
    const last = this.#last.get(key) ?? 0n;
    if (total === last) return 0;
    this.#last.set(key, total);
    return Number(total < last ? total : total - last);
  }

  has(key: Key): boolean {
    return this.#last.has(key);
  }

  get size(): number {
    return this.#last.size;
  }
}

export interface FirewallNews {
  readonly verdicts: readonly VerdictDelta[];
  readonly probes: number;
  readonly logLost: number;
  readonly flowsFailed: number;
}

export class FirewallDeltas {
  readonly #totals = new Totals<string>();

  take(counts: FirewallCounts): FirewallNews {
    const verdicts: VerdictDelta[] = [];
    for (const { direction, protocol, family, verdict, count: total } of counts.verdicts) {
      const count = this.#totals.take(`${direction} ${protocol} ${family} ${verdict}`, total);
      if (count > 0) verdicts.push({ direction, protocol, family, verdict, count });
    }
    return {
      verdicts,
      probes: this.#totals.take("probes", counts.probes),
      logLost: this.#totals.take("logLost", counts.logLost),
      flowsFailed: this.#totals.take("flowsFailed", counts.flowsFailed),
    };
  }
}

export interface SyscallNews {
  readonly calls: readonly SyscallDelta[];
  readonly errors: readonly SyscallDelta[];
  readonly latencies: readonly LatencyDelta[];
  readonly compat: number;
}

export class SyscallDeltas {
  readonly #table: SyscallTable;
  readonly #calls = new Totals<number>();
  readonly #errors = new Totals<number>();
  readonly #pids = new Totals<string>();
  readonly #latencies = new Totals<string>();
  readonly #compat = new Totals<"unknown">();
  /** By number: calls that processes were seen to make before the Pod's total held them. */
  readonly #ahead = new Map<number, number>();

  constructor(table: SyscallTable) {
    this.#table = table;
  }

  take(counts: SyscallCounts): SyscallNews {
    const byPid = this.#takePids(counts);
    const calls: SyscallDelta[] = [...byPid.deltas];
    counts.calls.forEach((total, number) => {
      const ahead = (this.#ahead.get(number) ?? 0) + (byPid.counted.get(number) ?? 0);
      const count = this.#calls.take(number, total) - ahead;
      if (ahead > 0) this.#ahead.set(number, Math.max(0, -count));
      if (count > 0) calls.push({ syscall: this.#table.name(number), count });
    });
    return {
      calls,
      errors: this.#takeErrors(counts.errors),
      latencies: this.#takeLatencies(counts),
      compat: this.#compat.take("unknown", counts.compatUnknown),
    };
  }

  #takeErrors(errors: BigUint64Array | undefined): SyscallDelta[] {
    const deltas: SyscallDelta[] = [];
    errors?.forEach((total, number) => {
      const count = this.#errors.take(number, total);
      if (count > 0) deltas.push({ syscall: this.#table.name(number), count });
    });
    return deltas;
  }

  #takePids({ pids = [] }: SyscallCounts) {
    const deltas: SyscallDelta[] = [];
    const counted = new Map<number, number>();
    for (const { pid, number, count: total } of pids) {
      const key = `${pid} ${number}`;
      if (!this.#pids.has(key) && this.#pids.size >= PID_SERIES_MAX) continue;
      const count = this.#pids.take(key, total);
      if (count === 0) continue;
      deltas.push({ syscall: this.#table.name(number), pid, count });
      counted.set(number, (counted.get(number) ?? 0) + count);
    }
    return { deltas, counted };
  }

  #takeLatencies({ latencies = [] }: SyscallCounts): LatencyDelta[] {
    const deltas: LatencyDelta[] = [];
    for (const { number, buckets, sumNs } of latencies) {
      const news = buckets.map((total, at) => this.#latencies.take(`${number} ${at}`, total));
      const sum = this.#latencies.take(`${number} sum`, sumNs);
      if (news.some((count) => count > 0)) {
        deltas.push({ syscall: this.#table.name(number), buckets: news, sumSeconds: sum / 1e9 });
      }
    }
    return deltas;
  }
}
