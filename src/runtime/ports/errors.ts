/**
 * Errors of the REST port: one family, so that callers can tell what to do next.
 *
 * - {@link KubeApiError}: the server answered with a failure (a `metav1.Status`, or a bare HTTP code).
 * - {@link KubeConnectionError}: no complete answer came. A write may or may not have been carried out.
 *
 * Whether and when a failure is retried is decided by the runtime, never here.
 */

export interface StatusCause {
  /** Machine-readable cause, such as `NamespaceTerminating` or `FieldValueInvalid`. */
  reason?: string;
  message?: string;
  field?: string;
}

export interface StatusDetails {
  group?: string;
  kind?: string;
  name?: string;
  causes: readonly StatusCause[];
}

export interface KubeApiErrorInit {
  /** HTTP status code, or `code` of a `metav1.Status` found in a watch. */
  status: number;
  /** `metav1.Status.reason`, such as `NotFound`, `Conflict`, `AlreadyExists`, `Expired`; empty when unknown. */
  reason?: string;
  message: string;
  details?: StatusDetails;
  /** From `Retry-After` or `details.retryAfterSeconds`, in milliseconds. */
  retryAfterMs?: number;
  cause?: unknown;
}

/** The API server refused a request. */
export class KubeApiError extends Error {
  override readonly name = "KubeApiError";
  readonly status: number;
  readonly reason: string;
  readonly details: StatusDetails;
  readonly retryAfterMs: number | undefined;

  constructor(init: KubeApiErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.status = init.status;
    this.reason = init.reason ?? "";
    this.details = init.details ?? { causes: [] };
    this.retryAfterMs = init.retryAfterMs;
  }

  get causes(): readonly StatusCause[] {
    return this.details.causes;
  }

  hasCause(reason: string): boolean {
    return this.details.causes.some((cause) => cause.reason === reason);
  }
}

/**
 * Why no answer came: `connect` (nothing was sent), `timeout` (deadline passed), `interrupted`
 * (the connection broke after the request was sent), `tls` (the peer is not who it should be),
 * `credentials` (no valid credentials could be had locally).
 */
export type ConnectionFailure = "connect" | "timeout" | "interrupted" | "tls" | "credentials";

/** The API server gave no complete answer. */
export class KubeConnectionError extends Error {
  override readonly name = "KubeConnectionError";
  readonly failure: ConnectionFailure;

  constructor(failure: ConnectionFailure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.failure = failure;
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof KubeApiError && error.status === 404;
}

/** A write's resourceVersion or uid precondition did not hold. (409 also carries AlreadyExists.) */
export function isConflict(error: unknown): boolean {
  return error instanceof KubeApiError && error.status === 409 && error.reason !== "AlreadyExists";
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof KubeApiError && error.status === 409 && error.reason === "AlreadyExists";
}

/** The resourceVersion or continue token is too old (HTTP 410, reasons Gone and Expired). */
export function isGone(error: unknown): boolean {
  return error instanceof KubeApiError && error.status === 410;
}

/** `retryAfterMs` and status of a JSON `metav1.Status` body; `status` 0 fields fall back to the HTTP code. */
export function errorFromStatus(httpStatus: number, body: unknown, context: string): KubeApiError {
  const status = (typeof body === "object" && body !== null ? body : {}) as {
    code?: number;
    reason?: string;
    message?: string;
    details?: {
      group?: string;
      kind?: string;
      name?: string;
      retryAfterSeconds?: number;
      causes?: StatusCause[];
    };
  };
  const { causes, retryAfterSeconds, ...rest } = status.details ?? {};
  return new KubeApiError({
    status: status.code || httpStatus,
    reason: status.reason ?? "",
    message: `Cannot ${context}: ${status.message || `HTTP status ${httpStatus}`}`,
    details: { ...rest, causes: causes ?? [] },
    ...(retryAfterSeconds ? { retryAfterMs: retryAfterSeconds * 1000 } : {}),
  });
}
