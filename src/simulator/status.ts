/**
 * Refusals in the words of kube-apiserver: each builder gives a {@link StatusError}, whose `status` is
 * the `metav1.Status` that goes over the wire.
 */
import type { StatusCause } from "../runtime/ports/errors.ts";
import type { PatchError } from "./patch/patch_error.ts";

/** What a message needs to know of a type. */
export interface TypeName {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

export type FieldCause = Required<StatusCause>;

interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export interface Status {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: { readonly continue?: string };
  readonly status: "Failure" | "Success";
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code?: number;
}

export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly status: Status;
  /** The body is this text instead of the Status: paths that no API serves. */
  readonly plainText: string | undefined;
  /** What the request had warned of before it was refused. */
  warnings: readonly string[] = [];

  constructor(status: Status, plainText?: string) {
    super(status.message);
    this.status = status;
    this.plainText = plainText;
  }

  get code(): number {
    return this.status.code ?? 500;
  }
}

interface Failure {
  code: number;
  reason?: string;
  message: string;
  details?: StatusDetails;
  continueToken?: string;
}

export function failure({ code, reason, message, details, continueToken }: Failure): StatusError {
  return new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: continueToken === undefined ? {} : { continue: continueToken },
    status: "Failure",
    message,
    ...(reason === undefined ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    code,
  });
}

export function success(type: TypeName, name: string, uid: string): Status {
  const details = { name, ...groupOf(type), kind: type.plural, uid };
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
}

function groupOf(type: TypeName): { group?: string } {
  return type.group === "" ? {} : { group: type.group };
}

function detailsOf(type: TypeName, name: string, kind = type.plural): StatusDetails {
  return { ...(name === "" ? {} : { name }), ...groupOf(type), kind };
}

function qualified(type: TypeName, what: string): string {
  return type.group === "" ? what : `${what}.${type.group}`;
}

/** 404 of a path that no API group serves: plain text, not a Status. */
export function pathNotFound(): StatusError {
  const message = "404 page not found\n";
  return new StatusError(failure({ code: 404, reason: "NotFound", message }).status, message);
}

export function resourceNotFound(): StatusError {
  const message = "the server could not find the requested resource";
  return failure({ code: 404, reason: "NotFound", message, details: {} });
}

export function notFound(type: TypeName, name: string): StatusError {
  const message = `${qualified(type, type.plural)} "${name}" not found`;
  return failure({ code: 404, reason: "NotFound", message, details: detailsOf(type, name) });
}

export function alreadyExists(type: TypeName, name: string, ending = false): StatusError {
  const prefix = ending ? "object is being deleted: " : "";
  const message = `${prefix}${qualified(type, type.plural)} "${name}" already exists`;
  return failure({ code: 409, reason: "AlreadyExists", message, details: detailsOf(type, name) });
}

const MODIFIED =
  "the object has been modified; please apply your changes to the latest version and try again";

export function conflict(type: TypeName, name: string, why = MODIFIED): StatusError {
  return conflictOn(type, type.plural, name, why);
}

/** A precondition of a deletion did not hold; such messages name the kind. */
export function preconditionFailed(type: TypeName, name: string, why: string): StatusError {
  return conflictOn(type, type.kind, name, why);
}

function conflictOn(type: TypeName, what: string, name: string, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${qualified(type, what)} "${name}": ${why}`;
  return failure({ code: 409, reason: "Conflict", message, details: detailsOf(type, name, what) });
}

/** 422 with one cause an error. `what` is the kind, or the plural where the server words it so. */
export function invalid(
  type: TypeName,
  name: string,
  causes: readonly FieldCause[],
  what = type.kind,
): StatusError {
  const texts = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const list = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  const message = `${qualified(type, what)} "${name}" is invalid: ${list}`;
  const details = { ...detailsOf(type, name, what), causes };
  return failure({ code: 422, reason: "Invalid", message, details });
}

export function invalidOptions(kind: string, causes: readonly FieldCause[]): StatusError {
  return invalid({ group: "meta.k8s.io", plural: "", kind }, "", causes);
}

export function badRequest(message: string): StatusError {
  return failure({ code: 400, reason: "BadRequest", message });
}

export function internalError(message: string): StatusError {
  return failure({ code: 500, message });
}

export function methodNotAllowed(): StatusError {
  const message = "the server does not allow this method on the requested resource";
  return failure({ code: 405, reason: "MethodNotAllowed", message, details: {} });
}

export function unsupportedMediaType(accepted?: readonly string[]): StatusError {
  if (accepted === undefined) {
    const message = "415: Unsupported Media Type";
    return failure({ code: 415, reason: "UnsupportedMediaType", message, details: {} });
  }
  const message =
    "the body of the request was in an unknown format - accepted media types include: " +
    accepted.join(", ");
  return failure({ code: 415, reason: "UnsupportedMediaType", message });
}

export function tooLarge(limitBytes: number): StatusError {
  const message = `Request entity too large: limit is ${limitBytes}`;
  return failure({ code: 413, reason: "RequestEntityTooLarge", message });
}

export function namespaceTerminating(type: TypeName, name: string, namespace: string): StatusError {
  const why =
    `unable to create new content in namespace ${namespace} because it is being terminated`;
  const message = `${qualified(type, type.plural)} "${name}" is forbidden: ${why}`;
  const causes = [{
    reason: "NamespaceTerminating",
    message: `namespace ${namespace} is being terminated`,
    field: "metadata.namespace",
  }];
  const details = { ...detailsOf(type, name), causes };
  return failure({ code: 403, reason: "Forbidden", message, details });
}

export function forbidden(type: TypeName, name: string, why: string): StatusError {
  const message = `${qualified(type, type.plural)} "${name}" is forbidden: ${why}`;
  return failure({ code: 403, reason: "Forbidden", message, details: detailsOf(type, name) });
}

export function versionTooLarge(asked: number, current: number): StatusError {
  const message = `Timeout: Too large resource version: ${asked}, current: ${current}`;
  const causes = [{
    reason: "ResourceVersionTooLarge",
    message: "Too large resource version",
  }];
  return failure({
    code: 504,
    reason: "Timeout",
    message,
    details: { causes, retryAfterSeconds: 1 },
  });
}

export function expired(message: string, continueToken?: string): StatusError {
  return failure({
    code: 410,
    reason: "Expired",
    message,
    ...(continueToken === undefined ? {} : { continueToken }),
  });
}

export function fromPatchError(error: PatchError): StatusError {
  const causes = error.causes.length === 0 ? {} : { causes: error.causes };
  const bare = error.code === 422 && error.causes.length === 0;
  return failure({
    code: error.code,
    message: error.message,
    ...(error.reason === "" ? {} : { reason: error.reason }),
    ...(bare || error.causes.length > 0 ? { details: causes } : {}),
  });
}

/** `Invalid value: <value>: <why>` and its relatives, as `field.Error` words them. */
export function fieldInvalid(field: string, value: unknown, why: string): FieldCause {
  const text = `Invalid value: ${JSON.stringify(value)}: ${why}`;
  return { reason: "FieldValueInvalid", message: text, field };
}

export function fieldRequired(field: string, why = ""): FieldCause {
  const message = why === "" ? "Required value" : `Required value: ${why}`;
  return { reason: "FieldValueRequired", message, field };
}

export function fieldForbidden(field: string, why: string): FieldCause {
  return { reason: "FieldValueForbidden", message: `Forbidden: ${why}`, field };
}

export function fieldTooLong(field: string, limitBytes: number): FieldCause {
  const message = `Too long: may not be more than ${limitBytes} bytes`;
  return { reason: "FieldValueTooLong", message, field };
}

export function fieldUnsupported(
  field: string,
  value: unknown,
  supported: readonly string[],
): FieldCause {
  const list = supported.map((item) => JSON.stringify(item)).join(", ");
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
  return { reason: "FieldValueNotSupported", message, field };
}
