/** Why a list or watch came to an end, as a closed set, and how long to wait then. Pure. */
import { backoffMs } from "../lib/backoff.ts";
import { KubeApiError, KubeConnectionError } from "./ports/errors.ts";

/** Fit for a metric's label. */
export type FailureReason =
  /** The server ended the watch, as it does at the end of timeoutSeconds. */
  | "closed"
  /** It ended the watch within a second: something is wrong that it does not tell. */
  | "short"
  /** No event or bookmark for too long, or no end past timeoutSeconds. */
  | "stalled"
  /** 410: our resourceVersion or continue token is older than what the server remembers. */
  | "expired"
  /** 504: our resourceVersion is newer than what the server has. */
  | "too_large"
  /** The server's history is older than what we have already seen. */
  | "backwards"
  | "throttled"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  /** The server does not take such a request (400, 405, 406, 415, 422). */
  | "refused"
  | "server_error"
  /** No connection: nothing was sent. */
  | "unreachable"
  /** The connection broke or gave no answer in time. */
  | "interrupted"
  /** What came was no list or no watch event. */
  | "bad_stream";

export interface Failure {
  readonly reason: FailureReason;
  readonly error: Error;
  /** The server asked for at least this delay; 0 when it did not. */
  readonly retryAfterMs: number;
}

export function classifyFailure(thrown: unknown): Failure {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
  const retryAfterMs = error instanceof KubeApiError ? error.retryAfterMs ?? 0 : 0;
  return { reason: reasonOf(error), error, retryAfterMs };
}

/** A failure that the server did not put in words. */
export function failure(reason: FailureReason, what: string): Failure {
  const error = new KubeConnectionError("interrupted", `Cannot follow the collection: ${what}`);
  return { reason, error, retryAfterMs: 0 };
}

function reasonOf(error: Error): FailureReason {
  if (error instanceof SyntaxError) return "bad_stream";
  if (error instanceof KubeConnectionError) {
    return error.failure === "interrupted" || error.failure === "timeout"
      ? "interrupted"
      : "unreachable";
  }
  if (!(error instanceof KubeApiError)) return "interrupted";
  if (error.reason === "Expired" || error.reason === "Gone") return "expired";
  if (isTooLarge(error)) return "too_large";
  switch (error.status) {
    case 401:
      return "unauthorized";
    case 403:
      return "forbidden";
    case 404:
      return "not_found";
    case 410:
      return "expired";
    case 429:
      return "throttled";
    case 400:
    case 405:
    case 406:
    case 415:
    case 422:
      return "refused";
    default:
      return "server_error";
  }
}

/** Old servers tell it by the message alone. */
function isTooLarge(error: KubeApiError): boolean {
  return error.hasCause("ResourceVersionTooLarge") ||
    (error.status === 504 && error.message.includes("Too large resource version"));
}

/** After client-go's reflector: settles at one try in 30 to 60 s against a server that is down. */
export const BACKOFF = { initialMs: 800, factor: 2, maxMs: 30_000, jitter: 1 };
/** Without a failure for this long, the next one counts as the first. */
export const BACKOFF_RESET_MS = 120_000;
/** Most that a server's Retry-After is obeyed. */
export const RETRY_AFTER_MAX_MS = 120_000;
/** A type that is not there (its CustomResourceDefinition is not installed) is asked for this often. */
export const NOT_FOUND_POLL_MS = 5_000;

/** After an outage, however long, the first answer counts as this failure at most: the server is back. */
export const BACKOFF_RESUMED_FAILURES_MAX = 2;

export interface Backoff {
  /** Failures in a row. */
  readonly failures: number;
  /** When the last one was, monotonic ms. */
  readonly lastAt: number;
  readonly lastReason: FailureReason | undefined;
}

export function isOutage(reason: FailureReason | undefined): boolean {
  return reason === "unreachable" || reason === "interrupted";
}

/** How long to wait after this failure, and the backoff from then on. */
export function nextBackoff(
  backoff: Backoff,
  failure: Failure,
  at: { readonly now: number; readonly random: number },
): { readonly backoff: Backoff; readonly ms: number } {
  const { reason } = failure;
  if (reason === "not_found") {
    return { backoff: { ...backoff, lastReason: reason }, ms: NOT_FOUND_POLL_MS };
  }
  const stale = at.now - backoff.lastAt >= BACKOFF_RESET_MS;
  const resumed = isOutage(backoff.lastReason) && !isOutage(reason);
  const failures = stale
    ? 0
    : resumed
    ? Math.min(backoff.failures, BACKOFF_RESUMED_FAILURES_MAX)
    : backoff.failures;
  const own = backoffMs(BACKOFF, failures, { next: () => at.random });
  const asked = Math.min(failure.retryAfterMs, RETRY_AFTER_MAX_MS);
  return {
    backoff: { failures: failures + 1, lastAt: at.now, lastReason: reason },
    ms: Math.max(own, asked),
  };
}
