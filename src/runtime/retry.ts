/**
 * What a failure means for the key that met it: client-go's taxonomy as one pure function.
 *
 * It decides by type, status, reason and causes; by the text of a message only where the API has nothing
 * else (an exceeded quota).
 */
import { InvariantError } from "../lib/assert.ts";
import { LeadershipLostError } from "./leadership.ts";
import { KubeApiError, KubeConnectionError } from "./ports/errors.ts";

/** Closed set, fit for a metric's label. */
export type ErrorType =
  | "aborted"
  | "already_exists"
  | "bad_request"
  | "conflict"
  | "connection"
  | "forbidden"
  | "gone"
  | "internal"
  | "invalid"
  | "leadership_lost"
  | "namespace_terminating"
  | "not_found"
  | "quota"
  | "rejected"
  | "server"
  | "throttled"
  | "timeout"
  | "too_large"
  | "unauthorized";

export type Verdict =
  /** The work has lost its object: nothing is left to do, and nothing is wrong. */
  | { readonly kind: "drop"; readonly errorType: ErrorType }
  /** The same request will fail until what it says changes. */
  | { readonly kind: "terminal"; readonly errorType: ErrorType }
  | {
    readonly kind: "retry";
    readonly errorType: ErrorType;
    /**
     * `fast`: the cache was behind and is about to catch up. `backoff`: exponential. `slow`: someone
     * has to change something outside (a role, a policy, a webhook).
     */
    readonly pace: "fast" | "backoff" | "slow";
    /** The server asked for at least this delay; 0 when it did not. */
    readonly minDelayMs: number;
  };

/** The cause of an abort when a reconcile took too long. */
export class ReconcileTimeoutError extends Error {
  override readonly name = "ReconcileTimeoutError";
  readonly code = "CONTROLLER_RECONCILIATION_TIMEOUT";
}

const PRECONDITIONS = new Set(["metadata.uid", "metadata.resourceVersion"]);

export function classify(error: unknown): Verdict {
  if (error instanceof KubeApiError) return classifyApiError(error);
  if (error instanceof KubeConnectionError) {
    if (error.failure === "credentials" || error.failure === "tls") {
      return retry("connection", "backoff");
    }
    return retry(error.failure === "timeout" ? "timeout" : "connection", "backoff");
  }
  if (error instanceof LeadershipLostError) return retry("leadership_lost", "backoff");
  if (error instanceof ReconcileTimeoutError) return retry("timeout", "backoff");
  if (error instanceof InvariantError) return retry("internal", "slow");
  if (error instanceof Error && error.name === "AbortError") return retry("aborted", "backoff");
  return retry("internal", "backoff");
}

function classifyApiError(error: KubeApiError): Verdict {
  const minDelayMs = error.retryAfterMs ?? 0;
  switch (error.status) {
    case 400:
      // Our mistake, or a webhook's refusal, whose default code is 400 and which may be lifted.
      return retry("bad_request", "slow", minDelayMs);
    case 401:
      return retry("unauthorized", "backoff", minDelayMs);
    case 403:
      return classifyForbidden(error, minDelayMs);
    case 404:
      // Of what was to be created: its namespace is gone, and the events that say so are on their way.
      if (error.details.kind === "namespaces") {
        return { kind: "drop", errorType: "namespace_terminating" };
      }
      // Deleted a moment ago, as by the garbage collector: the event is on its way.
      return retry("not_found", "fast", minDelayMs);
    case 409:
      return error.reason === "AlreadyExists"
        ? retry("already_exists", "fast", minDelayMs)
        : retry("conflict", "fast", minDelayMs);
    case 410:
      return retry("gone", "fast", minDelayMs);
    case 413:
      return { kind: "terminal", errorType: "too_large" };
    case 422:
      return classifyInvalid(error, minDelayMs);
    case 429:
      return retry("throttled", "backoff", minDelayMs);
  }
  if (error.reason === "Timeout" || error.reason === "ServerTimeout") {
    return retry("timeout", "backoff", minDelayMs);
  }
  if (error.status >= 500) return retry("server", "backoff", minDelayMs);
  return retry("bad_request", "slow", minDelayMs);
}

function classifyForbidden(error: KubeApiError, minDelayMs: number): Verdict {
  if (error.hasCause("NamespaceTerminating")) {
    return { kind: "drop", errorType: "namespace_terminating" };
  }
  // The quota plugin gives neither a reason nor a cause of its own; its wording is part of the API's behaviour.
  if (error.message.includes("exceeded quota")) return retry("quota", "backoff", minDelayMs);
  return retry("forbidden", "slow", minDelayMs);
}

/**
 * 422 has several origins. Validation names fields: the object is wrong and stays so, unless the field
 * is one of the preconditions, as when an object of that name was made anew. An admission policy gives
 * causes without a field: it may be lifted. A JSON patch that does not fit the stored object gives no
 * cause: the cache was behind.
 */
function classifyInvalid(error: KubeApiError, minDelayMs: number): Verdict {
  const fields = error.causes.flatMap((cause) => cause.field ? [cause.field] : []);
  if (fields.length === 0) {
    const rejected = error.causes.length > 0;
    return rejected ? retry("rejected", "slow", minDelayMs) : retry("conflict", "fast", minDelayMs);
  }
  if (fields.every((field) => PRECONDITIONS.has(field))) {
    return retry("conflict", "fast", minDelayMs);
  }
  const tooLong = error.hasCause("FieldValueTooLong");
  return { kind: "terminal", errorType: tooLong ? "too_large" : "invalid" };
}

function retry(
  errorType: ErrorType,
  pace: "fast" | "backoff" | "slow",
  minDelayMs = 0,
): Verdict {
  return { kind: "retry", errorType, pace, minDelayMs };
}
