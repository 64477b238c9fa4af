/**
 * The ledger: what became of each matching (Pod, PodConfigMapConfig) pair in this leadership term.
 *
 * Purpose: a PCMC's status (counts, Ready, observedGeneration) without looking at every Pod of the
 * namespace for each change. Guarantees: counts are kept incrementally and equal a full recount; an
 * entry of an older generation never counts for a newer one; memory is one small entry a pair.
 * It does no I/O, and holds nothing that a restart cannot find out again.
 */
import { assert } from "../lib/assert.ts";
import type { EbpfStatus } from "../domain/ebpf_status.ts";
import type { StatusTally } from "../domain/status.ts";

/**
 * - `pending`: not looked at since this generation began
 * - `in-place`: the ConfigMap is as desired
 * - `waiting`: nothing is to be made now (Pod terminating, old ConfigMap still terminating)
 * - `conflict`: an object of that name belongs to someone else
 * - `failed`: cannot be written as things are (too large, refused); retried only by a change
 */
export type PairState = "pending" | "in-place" | "waiting" | "conflict" | "failed";

export interface PairRecord {
  /** Undefined removes the pair: no longer matching, or the Pod is gone. */
  readonly state: PairState | undefined;
  /** A sentence about a conflict or a failure, for a condition's message. */
  readonly reason?: string | undefined;
  /** Undefined where no eBPF program is wanted. */
  readonly ebpf?: EbpfStatus | undefined;
}

interface Account {
  readonly uid: string;
  readonly generation: number;
  readonly startedAt: number;
  readonly states: Map<string, PairState>;
  readonly counts: Record<PairState, number>;
  /** Reasons of conflicts and failures by Pod key; small, since trouble is rare. */
  readonly reasons: Map<string, string>;
  readonly ebpf: Map<string, EbpfStatus>;
  readonly ebpfCounts: Record<EbpfStatus, number>;
}

export class Ledger {
  readonly #accounts = new Map<string, Account>();

  /**
   * Opens the books for one generation of a PCMC with the Pods it matches, all pending.
   * False, and nothing changes, when that generation is open already.
   */
  begin(
    pcmcKey: string,
    spec: { uid: string; generation: number; at: number; matching: Iterable<string> },
  ): boolean {
    const current = this.#accounts.get(pcmcKey);
    if (current?.uid === spec.uid && current.generation === spec.generation) return false;
    const states = new Map<string, PairState>();
    for (const podKey of spec.matching) states.set(podKey, "pending");
    this.#accounts.set(pcmcKey, {
      uid: spec.uid,
      generation: spec.generation,
      startedAt: spec.at,
      states,
      counts: { pending: states.size, "in-place": 0, waiting: 0, conflict: 0, failed: 0 },
      reasons: new Map(),
      ebpf: new Map(),
      ebpfCounts: { pending: 0, applied: 0, failed: 0, unserved: 0 },
    });
    return true;
  }

  isOpen(pcmcKey: string, uid: string, generation: number): boolean {
    const account = this.#accounts.get(pcmcKey);
    return account?.uid === uid && account.generation === generation;
  }

  /**
   * Records what became of a pair. Returns whether anything changed. A record for a generation that
   * is not open is ignored.
   */
  record(
    pcmcKey: string,
    pair: { uid: string; generation: number; podKey: string } & PairRecord,
  ): boolean {
    const account = this.#accounts.get(pcmcKey);
    if (account?.uid !== pair.uid || account.generation !== pair.generation) return false;
    const { podKey } = pair;
    const before = account.states.get(podKey);
    const reasonBefore = account.reasons.get(podKey);
    const ebpfBefore = account.ebpf.get(podKey);
    const ebpf = pair.state === undefined ? undefined : pair.ebpf;
    if (before !== undefined) account.counts[before]--;
    if (pair.state !== undefined) account.counts[pair.state]++;
    if (ebpfBefore !== undefined) account.ebpfCounts[ebpfBefore]--;
    if (ebpf !== undefined) account.ebpfCounts[ebpf]++;
    put(account.states, podKey, pair.state);
    put(account.reasons, podKey, pair.reason);
    put(account.ebpf, podKey, ebpf);
    return before !== pair.state || reasonBefore !== pair.reason || ebpfBefore !== ebpf;
  }

  /** What is recorded of a pair in the open generation. */
  stateOf(pcmcKey: string, podKey: string): PairState | undefined {
    return this.#accounts.get(pcmcKey)?.states.get(podKey);
  }

  /** Removes a Pod from the books of one PCMC, whatever the generation. Returns whether it was there. */
  forgetPod(pcmcKey: string, podKey: string): boolean {
    const account = this.#accounts.get(pcmcKey);
    if (account === undefined) return false;
    const { uid, generation } = account;
    return this.record(pcmcKey, { uid, generation, podKey, state: undefined });
  }

  close(pcmcKey: string): void {
    this.#accounts.delete(pcmcKey);
  }

  /** Whether a status can be worked out that is worth writing: no Pod is left, or there is trouble. */
  isTelling(pcmcKey: string): boolean {
    const counts = this.#accounts.get(pcmcKey)?.counts;
    return counts !== undefined && (counts.pending === 0 || counts.conflict + counts.failed > 0);
  }

  /** `since`: monotonic ms at which the generation was opened. */
  tally(pcmcKey: string): (StatusTally & { readonly since: number }) | undefined {
    const account = this.#accounts.get(pcmcKey);
    if (account === undefined) return undefined;
    const { counts, ebpfCounts } = account;
    const matched = counts.pending + counts["in-place"] + counts.waiting + counts.conflict +
      counts.failed;
    assert(matched === account.states.size, `ledger of ${pcmcKey} does not add up`);
    return {
      matched,
      pending: counts.pending,
      inPlace: counts["in-place"],
      waiting: counts.waiting,
      conflicts: counts.conflict,
      failed: counts.failed,
      conflictExample: this.#example(account, "conflict"),
      failedExample: this.#example(account, "failed"),
      ebpf: {
        desired: account.ebpf.size,
        applied: ebpfCounts.applied,
        failed: ebpfCounts.failed,
        unserved: ebpfCounts.unserved,
      },
      since: account.startedAt,
    };
  }

  #example(account: Account, state: PairState): string | undefined {
    if (account.counts[state] === 0) return undefined;
    // The smallest Pod key, so that the message does not change with the order of events.
    let example: string | undefined;
    for (const podKey of account.reasons.keys()) {
      if (account.states.get(podKey) !== state) continue;
      if (example === undefined || podKey < example) example = podKey;
    }
    return example === undefined ? undefined : account.reasons.get(example);
  }
}

function put<V>(map: Map<string, V>, key: string, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
