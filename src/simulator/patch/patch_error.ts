/**
 * What a patch that cannot be carried out is answered with. One error for all kinds of patches; the
 * fields are those of the `metav1.Status` the server would send, `code` being the HTTP status.
 */

export type PatchErrorCode = 400 | 413 | 422 | 500;

export class PatchError extends Error {
  override readonly name = "PatchError";
  readonly code: PatchErrorCode;
  /** `metav1.Status.reason`; empty for a plain 500. */
  readonly reason: string;
  /** `details.causes`, when the server sends any. */
  readonly causes: readonly { reason: string; message: string; field: string }[];

  constructor(
    code: PatchErrorCode,
    message: string,
    causes: readonly { reason: string; message: string; field: string }[] = [],
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.reason = REASONS[code];
    this.causes = causes;
  }
}

const REASONS: Record<PatchErrorCode, string> = {
  400: "BadRequest",
  413: "RequestEntityTooLarge",
  422: "Invalid",
  500: "",
};

/**
 * A JSON patch that does not fit the document. The real server hides the reason behind one sentence;
 * it is kept here as `cause` for whoever debugs a test.
 */
export function patchRejected(reason: string): PatchError {
  return new PatchError(
    422,
    "the server rejected our request due to an error in our request",
    [],
    new Error(reason),
  );
}

/** The Go name of a JSON value's kind, as decoding errors spell it. */
export function goKind(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (value === null || value === undefined) return "null";
  return typeof value === "boolean" ? "bool" : typeof value;
}
