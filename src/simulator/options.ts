/**
 * Query parameters and bodies that steer verbs: ListOptions, write options, DeleteOptions. Parsed and
 * refused as kube-apiserver does.
 */
import type { JsonValue } from "../runtime/ports/rest.ts";
import { at, type KubeObject } from "./objects.ts";
import { flagOf } from "./request.ts";
import { checkFields, parseFieldSelector, parseLabelSelector, SelectorError } from "./selectors.ts";
import {
  badRequest,
  type FieldCause,
  fieldForbidden,
  fieldInvalid,
  fieldUnsupported,
  internalError,
  invalidOptions,
} from "./status.ts";
import type { ServedType } from "./types.ts";

export interface ListOptions {
  /** "" when not given. */
  readonly resourceVersion: string;
  /** `resourceVersion` as a number; 0 when it is "" or "0". */
  readonly revision: number;
  readonly match: "" | "Exact" | "NotOlderThan";
  /** 0: no limit. */
  readonly limit: number;
  readonly continueToken: string;
  readonly timeoutSeconds: number | undefined;
  readonly bookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
  readonly selects: (object: KubeObject) => boolean;
  readonly hasSelector: boolean;
  /** `fieldSelector` asks for this one name. */
  readonly onlyName: string | undefined;
}

/** @throws {StatusError} */
export function parseListOptions(
  query: URLSearchParams,
  type: ServedType,
  verb: "get" | "list" | "watch",
): ListOptions {
  const resourceVersion = query.get("resourceVersion") ?? "";
  const match = query.get("resourceVersionMatch") ?? "";
  const sendInitialEvents = flagOf(query, "sendInitialEvents");
  const limit = integer(query, "limit");
  const timeoutSeconds = integer(query, "timeoutSeconds");
  const cause = verb === "watch"
    ? watchCause(match, sendInitialEvents)
    : listCause(match, resourceVersion, sendInitialEvents);
  if (cause !== undefined) throw invalidOptions("ListOptions", [cause]);
  return {
    resourceVersion,
    revision: revisionOf(resourceVersion, verb),
    match: match as ListOptions["match"],
    limit: Math.max(0, limit ?? 0),
    continueToken: query.get("continue") ?? "",
    timeoutSeconds: timeoutSeconds === undefined || timeoutSeconds <= 0
      ? undefined
      : timeoutSeconds,
    bookmarks: flagOf(query, "allowWatchBookmarks") ?? false,
    sendInitialEvents,
    ...selection(query, type),
  };
}

function selection(
  query: URLSearchParams,
  type: ServedType,
): Pick<ListOptions, "selects" | "hasSelector" | "onlyName"> {
  const labelText = query.get("labelSelector") ?? "";
  const fieldText = query.get("fieldSelector") ?? "";
  if (labelText === "" && fieldText === "") {
    return { selects: () => true, hasSelector: false, onlyName: undefined };
  }
  try {
    const labels = parseLabelSelector(labelText);
    const fields = parseFieldSelector(fieldText);
    checkFields(fields, type, type.custom?.selectableFields.map((path) => path.replace(/^\./, "")));
    const named = fields.requirements.find(({ field, equal }) =>
      equal && field === "metadata.name"
    );
    const paths = new Map(fields.requirements.map(({ field }) => [field, field.split(".")]));
    const selects = (object: KubeObject) =>
      labels(object.metadata.labels) &&
      fields.matches((field) => {
        const value = at(object, ...paths.get(field) ?? [field]);
        return value === undefined || value === null ? undefined : String(value);
      });
    return { selects, hasSelector: true, onlyName: named?.value };
  } catch (error) {
    if (error instanceof SelectorError) throw badRequest(error.message);
    throw error;
  }
}

function integer(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  if (value === null || value === "") return undefined;
  if (!/^[+-]?\d+$/.test(value)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  }
  return Number(value);
}

function revisionOf(resourceVersion: string, verb: "get" | "list" | "watch"): number {
  if (resourceVersion === "") return 0;
  if (/^\d+$/.test(resourceVersion)) return Number(resourceVersion);
  const syntax = `strconv.ParseUint: parsing ${JSON.stringify(resourceVersion)}: invalid syntax`;
  const why = `resourceVersion: Invalid value: ${JSON.stringify(resourceVersion)}: ${syntax}`;
  throw verb === "list" ? badRequest(`invalid resource version: ${why}`) : internalError(why);
}

const MATCHES = ["Exact", "NotOlderThan", ""];

function listCause(
  match: string,
  resourceVersion: string,
  sendInitialEvents: boolean | undefined,
): FieldCause | undefined {
  if (sendInitialEvents !== undefined) {
    return fieldForbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
  }
  const field = "resourceVersionMatch";
  if (match === "") return undefined;
  if (resourceVersion === "") {
    const why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
    return fieldForbidden(field, why);
  }
  if (!MATCHES.includes(match)) return fieldUnsupported(field, match, MATCHES);
  if (match === "Exact" && resourceVersion === "0") {
    const why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"';
    return fieldForbidden(field, why);
  }
  return undefined;
}

function watchCause(match: string, sendInitialEvents: boolean | undefined): FieldCause | undefined {
  const field = "resourceVersionMatch";
  if (sendInitialEvents === undefined && match !== "") {
    const why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
    return fieldForbidden(field, why);
  }
  if (sendInitialEvents !== undefined && match !== "NotOlderThan") {
    const why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
    return fieldForbidden(field, why);
  }
  return undefined;
}

export interface WriteOptions {
  readonly dryRun: boolean;
  readonly validation: "Ignore" | "Warn" | "Strict";
}

const VALIDATIONS = ["", "Ignore", "Strict", "Warn"];

/** `kind` is CreateOptions, UpdateOptions or PatchOptions. @throws {StatusError} */
export function parseWriteOptions(query: URLSearchParams, kind: string): WriteOptions {
  const dryRun = query.getAll("dryRun").filter((value) => value !== "");
  const validation = query.get("fieldValidation") ?? "";
  const causes = dryRunCauses(dryRun);
  if (!VALIDATIONS.includes(validation)) {
    causes.push(fieldUnsupported("fieldValidation", validation, VALIDATIONS));
  }
  if (causes.length > 0) throw invalidOptions(kind, causes);
  return {
    dryRun: dryRun.length > 0,
    validation: validation === "" ? "Warn" : validation as WriteOptions["validation"],
  };
}

function dryRunCauses(values: readonly string[]): FieldCause[] {
  return values.some((value) => value !== "All")
    ? [fieldUnsupported("dryRun", values, ["All"])]
    : [];
}

export interface DeleteOptions {
  readonly dryRun: boolean;
  readonly gracePeriodSeconds: number | undefined;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly propagation: "Background" | "Foreground" | "Orphan" | undefined;
}

const POLICIES = ["Foreground", "Background", "Orphan"];

/** The body decides where there is one, else the query. @throws {StatusError} */
export function parseDeleteOptions(query: URLSearchParams, body: JsonValue): DeleteOptions {
  const given = (name: string): JsonValue => body === undefined ? query.get(name) : at(body, name);
  const listed = body === undefined ? query.getAll("dryRun") : at(body, "dryRun");
  const dryRun = Array.isArray(listed) ? listed.map(String).filter((value) => value !== "") : [];
  const causes = dryRunCauses(dryRun);
  const policy = given("propagationPolicy");
  const orphan = given("orphanDependents");
  if (policy && orphan !== undefined && orphan !== null) {
    const why = "orphanDependents and deletionPropagation cannot be both set";
    causes.push(fieldInvalid("propagationPolicy", policy, why));
  } else if (policy && !POLICIES.includes(String(policy))) {
    causes.push(fieldUnsupported("propagationPolicy", policy, [...POLICIES, "nil"]));
  }
  if (causes.length > 0) throw invalidOptions("DeleteOptions", causes);
  const grace = given("gracePeriodSeconds");
  const orphanAsked = orphan === true || orphan === "true";
  return {
    dryRun: dryRun.length > 0,
    gracePeriodSeconds: grace === undefined || grace === null ? undefined : Number(grace),
    uid: textOr(at(body, "preconditions", "uid")),
    resourceVersion: textOr(at(body, "preconditions", "resourceVersion")),
    propagation: policy
      ? String(policy) as DeleteOptions["propagation"]
      : orphanAsked
      ? "Orphan"
      : undefined,
  };
}

function textOr(value: JsonValue): string | undefined {
  return typeof value === "string" ? value : undefined;
}
