/**
 * What became of one Pod, out of what became of each of its pairs. Pure.
 *
 * One pair's trouble is not another's: what needs another look soon gets it, however long a refused
 * write of another PodConfigMapConfig has to wait.
 */
import type { Outcome } from "../runtime/controller.ts";
import { classify } from "../runtime/retry.ts";
import type { PairState } from "./ledger.ts";

export interface PodResult {
  readonly outcome: Outcome;
  /** Whether anything was written. */
  readonly wrote: boolean;
  /** Beside a failure that is retried: what else asks for another look, and when. */
  readonly recheckMs?: number;
}

/** What became of one pair; `recheckMs` asks for another look. */
export interface PairResult {
  readonly state: PairState;
  readonly wrote: boolean;
  readonly reason?: string;
  readonly recheckMs?: number;
}

/** One outcome for the key: any error is retried, else the soonest recheck counts. */
export function summarise(results: readonly PromiseSettledResult<PairResult>[]): PodResult {
  let wrote = false;
  let recheckMs = Infinity;
  const errors: unknown[] = [];
  for (const result of results) {
    if (result.status === "rejected") errors.push(result.reason);
    else {
      wrote ||= result.value.wrote;
      recheckMs = Math.min(recheckMs, result.value.recheckMs ?? Infinity);
    }
  }
  if (errors.length > 0) {
    // A terminal one is recorded in the ledger already: it decides only where nothing else is to be done.
    const error = soonest(errors);
    if (error !== undefined || recheckMs === Infinity) {
      const outcome: Outcome = { kind: "retry", error: error ?? errors[0] };
      return { outcome, wrote, ...(recheckMs < Infinity && { recheckMs }) };
    }
  }
  if (recheckMs === Infinity) return { outcome: { kind: "done" }, wrote };
  return { outcome: { kind: "after", ms: recheckMs }, wrote };
}

const PACES = ["fast", "backoff", "slow"] as const;

/** Of those that a retry can mend, the one that needs the shortest wait: one PCMC's trouble is not another's. */
function soonest(errors: readonly unknown[]): unknown {
  for (const pace of PACES) {
    const found = errors.find((error) => {
      const verdict = classify(error);
      return verdict.kind === "retry" && verdict.pace === pace;
    });
    if (found !== undefined) return found;
  }
  return undefined;
}
