/**
 * Request bodies to drafts: media types, JSON, kind and apiVersion, decoding by the type's shape or its
 * CustomResourceDefinition, unknown fields by `fieldValidation`. Refusals in the server's words.
 */
import { parse as parseYaml } from "yaml";
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";
import { eventToCore } from "./event_versions.ts";
import { cloneJson, isRecord } from "./objects.ts";
import { decodeProtobuf } from "./protobuf_body.ts";
import type { ApiRequest } from "./request.ts";
import { applyDefaults, prune } from "./schema.ts";
import { decode, DecodeError, META_SHAPE } from "./shapes.ts";
import {
  badRequest,
  failure,
  fieldInvalid,
  invalid,
  type StatusError,
  tooLarge,
  unsupportedMediaType,
} from "./status.ts";
import { type Draft, strategyOf } from "./strategies.ts";
import { apiVersionOf, type ServedType, type TypeRegistry } from "./types.ts";
import { byteLength } from "./validate_meta.ts";

const BODY_BYTES_MAX = 3 * 1024 * 1024;
const PROTOBUF = "application/vnd.kubernetes.protobuf";
const YAML = "application/yaml";
const BODY_TYPES = ["application/json", YAML, PROTOBUF];

/** `media/type` of a Content-Type, without parameters. */
export function mediaType(contentType: string | undefined): string {
  return (contentType ?? "application/json").split(";")[0]?.trim().toLowerCase() ?? "";
}

/** The body of a create or an update. @throws {StatusError} 400, 413, 415 */
export function readBody(request: ApiRequest, kind: string): JsonValue {
  const media = mediaType(request.contentType);
  if (media === PROTOBUF) {
    const decoded = decodeProtobuf(request.bodyBytes ?? new Uint8Array());
    if (decoded === undefined) throw unsupportedMediaType(BODY_TYPES);
    return decoded;
  }
  if (!BODY_TYPES.includes(media)) throw unsupportedMediaType(BODY_TYPES);
  const must = `the object provided is unrecognized (must be of type ${kind})`;
  const parsed = parseBody(request, (why, shown) => {
    const reason = `couldn't get version/kind; json parse error: ${why}`;
    return badRequest(`${must}: ${reason} (${shown})`);
  });
  if (isRecord(parsed)) return parsed;
  const found = Array.isArray(parsed) ? "array" : parsed === null ? "null" : typeof parsed;
  const go = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string ' +
    '"json:\\"kind,omitempty\\"" }';
  const why = `json: cannot unmarshal ${found} into Go value of type ${go}`;
  const shown = hex(JSON.stringify(parsed ?? null));
  throw badRequest(`${must}: couldn't get version/kind; json parse error: ${why} (${shown})`);
}

/** The body of a deletion: undefined when there is none. @throws {StatusError} */
export function readOptionalBody(request: ApiRequest): JsonValue {
  const empty = request.bodyJson === undefined && !request.bodyBytes?.length;
  return empty ? undefined : readBody(request, "DeleteOptions");
}

/** JSON of any body; `refuse` words what is wrong with it. */
export function parseBody(
  request: ApiRequest,
  refuse: (why: string, shown: string) => StatusError,
): JsonValue {
  if (request.bodyJson !== undefined) {
    if (isTooLarge(request.bodyJson)) throw tooLarge(BODY_BYTES_MAX);
    return request.bodyJson;
  }
  const bytes = request.bodyBytes ?? new Uint8Array();
  if (bytes.length > BODY_BYTES_MAX) throw tooLarge(BODY_BYTES_MAX);
  const text = new TextDecoder().decode(bytes);
  if (text === "") throw refuse("unexpected end of JSON input", "<empty>");
  try {
    // As Go reads it: YAML 1.1, where `on` is a boolean.
    return mediaType(request.contentType) === YAML
      ? parseYaml(text, { version: "1.1" })
      : JSON.parse(text);
  } catch {
    throw refuse(syntaxProblem(text), text.length > 1000 ? `${text.slice(0, 1000)} ...` : text);
  }
}

/** Encodes only what could be too large: one character takes at most six bytes of JSON. */
function isTooLarge(value: JsonValue): boolean {
  if (roughLength(value) < BODY_BYTES_MAX / 6) return false;
  return byteLength(JSON.stringify(value)) > BODY_BYTES_MAX;
}

function roughLength(value: JsonValue): number {
  if (typeof value === "string") return value.length + 3;
  if (typeof value !== "object" || value === null) return 8;
  let length = 2;
  if (Array.isArray(value)) { for (const item of value) length += roughLength(item); }
  else for (const key in value) length += key.length + 4 + roughLength(value[key]);
  return length;
}

/** Go's message for the commonest slip; a plain one for the rest. */
function syntaxProblem(text: string): string {
  const start = text.trimStart();
  const inObject = /^\{\s*([^"\s}])/.exec(start);
  if (inObject) {
    return `invalid character '${inObject[1]}' looking for beginning of object key string`;
  }
  if (/^[^[{"\-0-9tfn]/.test(start)) {
    return `invalid character '${start[0]}' looking for beginning of value`;
  }
  return "unexpected end of JSON input";
}

function hex(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export interface Decoded {
  readonly draft: Draft;
  /** Paths of the fields that were dropped. */
  readonly unknown: readonly string[];
}

/** `wrong` words a value that the type cannot hold: an update and a patch do it differently. */
export function decodeObject(
  type: ServedType,
  body: JsonObject,
  registry: TypeRegistry,
  wrong: (why: string) => StatusError,
): Decoded {
  return type.custom === undefined
    ? decodeBuiltIn(type, body, registry, wrong)
    : decodeCustom(type, body, wrong);
}

function decodeBuiltIn(
  type: ServedType,
  body: JsonObject,
  registry: TypeRegistry,
  wrong: (why: string) => StatusError,
): Decoded {
  const apiVersion = textOf(body["apiVersion"]) || apiVersionOf(type);
  const kind = textOf(body["kind"]) || type.kind;
  if (apiVersion !== apiVersionOf(type) || kind !== type.kind) {
    throw wrong(otherType(type, apiVersion, kind, registry));
  }
  const unknown: string[] = [];
  try {
    const { apiVersion: _version, kind: _kind, ...rest } = body;
    const fields = decode(strategyOf(type).shape(type), rest, { go: type.kind, unknown });
    const whole = { kind, apiVersion, metadata: {}, ...(fields as JsonObject) };
    const stored = type.storageApiVersion === apiVersion ? whole : { ...eventToCore(whole) };
    return { draft: finishMeta(stored), unknown };
  } catch (error) {
    if (error instanceof DecodeError) throw wrong(error.message);
    throw error;
  }
}

function otherType(
  type: ServedType,
  apiVersion: string,
  kind: string,
  registry: TypeRegistry,
): string {
  const version = apiVersion.split("/").at(-1);
  if (registry.byKind(apiVersion, kind) === undefined) {
    const scheme = 'in scheme "pkg/runtime/scheme.go:111"';
    return `no kind "${kind}" is registered for version "${apiVersion}" ${scheme}`;
  }
  const pkg = type.group === "" ? "core" : type.group.split(".")[0];
  return `converting (${version}.${kind}) to (${pkg}.${type.kind}): unknown conversion`;
}

/** What a create or an update answers to `why`: 400, naming what came and what was expected. */
export function cannotBeHandled(type: ServedType, body: JsonObject): (why: string) => StatusError {
  const kind = textOf(body["kind"]) || type.kind;
  const version = (textOf(body["apiVersion"]) || apiVersionOf(type)).split("/").at(-1);
  return (why) =>
    badRequest(`${kind} in version "${version}" cannot be handled as a ${type.kind}: ${why}`);
}

/** What a patch answers to `why`: 422 with the patched document. */
export function patchInvalid(document: JsonObject): (why: string) => StatusError {
  return (why) => {
    const cause = fieldInvalid("patch", JSON.stringify(document), why);
    const message = ` "" is invalid: patch: ${cause.message}`;
    return failure({ code: 422, reason: "Invalid", message, details: { causes: [cause] } });
  };
}

function decodeCustom(
  type: ServedType,
  body: JsonObject,
  wrong: (why: string) => StatusError,
): Decoded {
  const kind = textOf(body["kind"]);
  const apiVersion = textOf(body["apiVersion"]);
  const expected = apiVersionOf(type);
  const missing = kind === "" ? "Kind" : apiVersion === "" ? "apiVersion" : undefined;
  if (missing !== undefined) {
    const text = JSON.stringify(body);
    const why = `Object '${missing}' is missing in '${text}'`;
    const must = `the object provided is unrecognized (must be of type ${type.kind})`;
    throw badRequest(`${must}: ${why} (${text})`);
  }
  if (apiVersion !== expected) {
    const data = `the API version in the data (${apiVersion})`;
    throw badRequest(`${data} does not match the expected API version (${expected})`);
  }
  const name = isRecord(body["metadata"]) ? textOf(body["metadata"]["name"]) : "";
  if (kind !== type.kind) {
    const cause = fieldInvalid("kind", kind, `must be ${type.kind}`);
    throw invalid({ ...type, kind }, name, [cause]);
  }
  const unknown: string[] = [];
  let metadata: JsonValue;
  try {
    const meta = isRecord(body["metadata"]) ? body["metadata"] : {};
    metadata = decode(META_SHAPE, meta, { go: "ObjectMeta", unknown });
  } catch (error) {
    if (error instanceof DecodeError) throw wrong(error.message);
    throw error;
  }
  const named = unknown.map((path) => `metadata.${path}`);
  const { metadata: _metadata, kind: _kind, apiVersion: _version, ...rest } = body;
  const { fields, dropped } = shapeCustom(type, cloneJson(rest));
  const whole = { kind, apiVersion: type.storageApiVersion, metadata, ...fields };
  return { draft: finishMeta(whole), unknown: [...named, ...dropped] };
}

function shapeCustom(
  type: ServedType,
  fields: JsonObject,
): { fields: JsonObject; dropped: readonly string[] } {
  const schema = type.custom?.schema;
  if (schema === undefined) return { fields, dropped: [] };
  const pruned = type.custom?.preserveUnknown
    ? { value: fields, unknown: [] }
    : prune(schema, fields);
  return { fields: applyDefaults(schema, pruned.value) as JsonObject, dropped: pruned.unknown };
}

function finishMeta(whole: Record<string, unknown>): Draft {
  const draft = whole as Draft;
  const metadata = draft.metadata as unknown as Record<string, unknown>;
  delete metadata["managedFields"];
  delete metadata["selfLink"];
  metadata["name"] ??= "";
  metadata["uid"] ??= "";
  return draft;
}

function textOf(value: JsonValue): string {
  return typeof value === "string" ? value : "";
}
