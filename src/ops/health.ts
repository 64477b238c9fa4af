/**
 * What /healthz and /readyz ask.
 *
 * healthz answers "would a restart help": the event loop turns and the watch loops make progress; a
 * back-off is progress, so that an unreachable API server is no reason to be killed. readyz answers
 * "can it work now": caches are synced and the API server answers.
 */
import type { Clock } from "../lib/clock.ts";
import { errorText } from "../lib/log_format.ts";
import type { EventLoopMonitor } from "./event_loop.ts";

export interface CheckResult {
  readonly ok: boolean;
  /** One line, without secrets. */
  readonly detail: string;
}

export interface Check {
  /** A word or two, such as `watch pods`. */
  readonly name: string;
  check(): CheckResult;
}

/** What health needs to know of a watch; an `Informer` has it. */
export interface WatchState {
  readonly synced: boolean;
  /** `clock.monotonic()` of the last event, bookmark, list or start of a back-off. */
  readonly lastProgress: number;
  /** The last failure, while the watch is not following. */
  readonly trouble: Error | undefined;
}

export const LOOP_LAG_MAX_SECONDS = 30;
/** Above the idle watchdog of a watch, its longest back-off and a request's deadline together. */
export const WATCH_SILENCE_MAX_MS = 5 * 60_000;

export function eventLoopCheck(monitor: Pick<EventLoopMonitor, "lagMaxSeconds">): Check {
  return {
    name: "event loop",
    check() {
      const lag = monitor.lagMaxSeconds();
      const detail = `held up at most ${lag.toFixed(3)} s in the last minute`;
      return { ok: lag < LOOP_LAG_MAX_SECONDS, detail };
    },
  };
}

export function watchProgressCheck(resource: string, watch: WatchState, clock: Clock): Check {
  return {
    name: `watch ${resource}`,
    check() {
      const silentMs = clock.monotonic() - watch.lastProgress;
      const detail = `last progress ${(silentMs / 1000).toFixed(0)} s ago`;
      return { ok: silentMs < WATCH_SILENCE_MAX_MS, detail };
    },
  };
}

export function watchReadyCheck(resource: string, watch: WatchState): Check {
  return {
    name: `cache ${resource}`,
    check() {
      if (watch.trouble !== undefined) return { ok: false, detail: errorText(watch.trouble) };
      return watch.synced
        ? { ok: true, detail: "synced" }
        : { ok: false, detail: "not yet synced" };
    },
  };
}

/** What health needs to know of the lease; a `LeaderElector` has it. */
export interface LeaseState {
  /** `clock.monotonic()` of the last answer as hoped. */
  readonly answeredAt: number;
  /** The last failure, since then. */
  readonly trouble: Error | undefined;
}

/** Fails when the lease has been out of reach for `limitMs`: nothing can be written then, leader or not. */
export function leaseReadyCheck(lease: LeaseState, clock: Clock, limitMs: number): Check {
  return {
    name: "lease",
    check() {
      const silentMs = clock.monotonic() - lease.answeredAt;
      const since = `last answer ${(silentMs / 1000).toFixed(0)} s ago`;
      if (silentMs < limitMs) return { ok: true, detail: since };
      const why = lease.trouble === undefined ? "no answer yet" : errorText(lease.trouble);
      return { ok: false, detail: `${since}: ${why}` };
    },
  };
}

/** Text of an answer, in the manner of kube-apiserver: every check when asked for or when one failed. */
export function runChecks(
  endpoint: string,
  checks: readonly Check[],
  verbose: boolean,
): { readonly ok: boolean; readonly text: string } {
  const results = checks.map((check) => ({ name: check.name, ...guarded(check) }));
  const ok = results.every((result) => result.ok);
  if (ok && !verbose) return { ok, text: "ok\n" };
  const lines = results.map(({ name, ok, detail }) =>
    `[${ok ? "+" : "-"}]${name} ${ok ? "ok" : "failed"}: ${detail.replaceAll(/\s+/g, " ")}`
  );
  lines.push(`${endpoint} check ${ok ? "passed" : "failed"}`);
  return { ok, text: `${lines.join("\n")}\n` };
}

function guarded(check: Check): CheckResult {
  try {
    return check.check();
  } catch (error) {
    return { ok: false, detail: errorText(error) };
  }
}
