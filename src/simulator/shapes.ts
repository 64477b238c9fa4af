/**
 * What kube-apiserver's decoder does to a built-in object: drops fields that its type does not have,
 * refuses values of the wrong JSON type in Go's words, and leaves out what Go's `omitempty` leaves out
 * (so that "no change" means here what it means there).
 *
 * Shapes are complete for metadata and small types; `raw` parts (a Pod's spec and status) are kept as
 * they come, without nulls.
 */
import type { JsonValue } from "../runtime/ports/rest.ts";
import { isRecord, setMember } from "./objects.ts";

export type Shape =
  | { readonly kind: "raw" }
  | {
    readonly kind: "scalar";
    readonly json: "string" | "boolean" | "number";
    readonly go: string;
    readonly keepZero: boolean;
  }
  | { readonly kind: "time"; readonly micro: boolean; readonly keepNull: boolean }
  | { readonly kind: "bytes" }
  | { readonly kind: "map"; readonly values: Shape; readonly go: string }
  | { readonly kind: "list"; readonly items: Shape; readonly go: string }
  | {
    readonly kind: "struct";
    readonly go: string;
    readonly fields: Readonly<Record<string, Shape>>;
    /** Kept when empty. */
    readonly always: boolean;
    /** Fields that are not listed are kept as they come. */
    readonly open: boolean;
  };

export const raw: Shape = { kind: "raw" };

export function scalar(
  json: "string" | "boolean" | "number",
  options: { go?: string; keepZero?: boolean } = {},
): Shape {
  const go = options.go ?? { string: "string", boolean: "bool", number: "int32" }[json];
  return { kind: "scalar", json, go, keepZero: options.keepZero ?? false };
}

export const text = scalar("string");
/** Strings, numbers and booleans behind a Go pointer: a zero value is a value. */
export const textPointer = scalar("string", { keepZero: true });
export const numberPointer = scalar("number", { keepZero: true });
export const flagPointer = scalar("boolean", { keepZero: true });
export const time: Shape = { kind: "time", micro: false, keepNull: false };
export const microTime: Shape = { kind: "time", micro: true, keepNull: false };
export const nullableTime: Shape = { kind: "time", micro: false, keepNull: true };
export const nullableMicroTime: Shape = { kind: "time", micro: true, keepNull: true };
export const bytes: Shape = { kind: "bytes" };

export function map(values: Shape, go: string): Shape {
  return { kind: "map", values, go };
}

export function list(items: Shape, go: string): Shape {
  return { kind: "list", items, go };
}

export function struct(go: string, fields: Record<string, Shape>, always = false): Shape {
  return { kind: "struct", go, fields, always, open: false };
}

/** A struct of which only some fields are listed: the others are kept as they come. */
export function openStruct(go: string, fields: Record<string, Shape>, always = false): Shape {
  return { kind: "struct", go, fields, always, open: true };
}

export const stringMap = map(text, "map[string]string");

export const META_SHAPE = struct("v1.ObjectMeta", {
  name: text,
  generateName: text,
  namespace: text,
  selfLink: text,
  uid: scalar("string", { go: "types.UID" }),
  resourceVersion: text,
  generation: scalar("number", { go: "int64" }),
  creationTimestamp: time,
  deletionTimestamp: time,
  deletionGracePeriodSeconds: scalar("number", { go: "int64", keepZero: true }),
  labels: stringMap,
  annotations: stringMap,
  ownerReferences: list(
    struct("v1.OwnerReference", {
      apiVersion: textPointer,
      kind: textPointer,
      name: textPointer,
      uid: scalar("string", { go: "types.UID", keepZero: true }),
      controller: flagPointer,
      blockOwnerDeletion: flagPointer,
    }),
    "[]v1.OwnerReference",
  ),
  finalizers: list(textPointer, "[]string"),
  managedFields: raw,
}, true);

/** A value that its type cannot hold; the message is Go's. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

interface Position {
  readonly path: string;
  /** Path without indices and innermost struct: what Go's messages name. */
  readonly goPath: string;
  readonly owner: string;
  readonly unknown: string[];
}

/** The decoded value, a fresh copy; unknown fields' paths go to `unknown`. @throws {DecodeError} */
export function decode(
  shape: Shape,
  value: JsonValue,
  root: { go: string; unknown: string[] },
): JsonValue {
  return decodeNode(shape, value, { path: "", goPath: "", owner: root.go, unknown: root.unknown });
}

/** What Go has where a list's item is null. */
function zeroOf(shape: Shape): JsonValue {
  return shape.kind === "scalar" ? { string: "", number: 0, boolean: false }[shape.json] : {};
}

function decodeNode(shape: Shape, value: JsonValue, at: Position): JsonValue {
  if (value === null || value === undefined) return absentValue(shape);
  switch (shape.kind) {
    case "raw":
      return withoutNulls(value);
    case "scalar":
      if (jsonType(value) !== shape.json) throw mismatch(value, shape.go, at);
      return shape.keepZero || (value !== "" && value !== 0 && value !== false) ? value : undefined;
    case "time":
      return decodeTime(shape.micro, value, at);
    case "bytes":
      return decodeBytes(value, at);
    case "map":
      return decodeMap(shape, value, at);
    case "list": {
      if (!Array.isArray(value)) throw mismatch(value, shape.go, at);
      if (value.length === 0) return undefined;
      return value.map((item, index) =>
        decodeNode(shape.items, item, { ...at, path: `${at.path}[${index}]` }) ??
          zeroOf(shape.items)
      );
    }
    case "struct":
      return decodeStruct(shape, value, at);
  }
}

/** What stands for a value that was not given. */
function absentValue(shape: Shape): JsonValue {
  if (shape.kind === "struct" && shape.always) return {};
  return shape.kind === "time" && shape.keepNull ? null : undefined;
}

function decodeMap(shape: Shape & { kind: "map" }, value: JsonValue, at: Position): JsonValue {
  if (!isRecord(value)) throw mismatch(value, shape.go, at);
  const entries: [string, JsonValue][] = [];
  for (const [key, item] of Object.entries(value)) {
    // A null of a map of strings is the zero value, and stays.
    const decoded = decodeNode(shape.values, item, { ...at, path: `${at.path}.${key}` });
    entries.push([key, decoded ?? (shape.values.kind === "raw" ? null : "")]);
  }
  if (entries.length === 0) return undefined;
  // Go's maps have no order; its encoder sorts.
  entries.sort(([a], [b]) => a < b ? -1 : 1);
  return Object.fromEntries(entries);
}

function decodeStruct(
  shape: Shape & { kind: "struct" },
  value: JsonValue,
  at: Position,
): JsonValue {
  if (!isRecord(value)) throw mismatch(value, shape.go, at);
  const owner = shape.go.slice(shape.go.lastIndexOf(".") + 1);
  const found = new Map<string, JsonValue>();
  for (const key in value) {
    const field = Object.hasOwn(shape.fields, key)
      ? shape.fields[key]
      : shape.open
      ? raw
      : undefined;
    const path = at.path === "" ? key : `${at.path}.${key}`;
    if (field === undefined) {
      at.unknown.push(path);
      continue;
    }
    const goPath = at.goPath === "" ? key : `${at.goPath}.${key}`;
    const item = decodeNode(field, value[key], { path, goPath, owner, unknown: at.unknown });
    if (item !== undefined) found.set(key, item);
  }
  // In the order of the type's fields, as Go's encoder writes them.
  const decoded: Record<string, JsonValue> = {};
  for (const key in shape.fields) {
    const item = found.get(key) ?? absentValue(shape.fields[key] as Shape);
    if (item !== undefined) decoded[key] = item;
    found.delete(key);
  }
  for (const [key, item] of found) setMember(decoded, key, item);
  return Object.keys(decoded).length === 0 && !shape.always && at.path !== "" ? undefined : decoded;
}

function decodeTime(micro: boolean, value: JsonValue, at: Position): JsonValue {
  if (typeof value !== "string") throw mismatch(value, "string", at);
  const layout = micro ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00";
  const parts = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(value);
  if (parts === null || Number.isNaN(Date.parse(value))) {
    const cannot = `cannot parse ${JSON.stringify(value)} as "2006"`;
    throw new DecodeError(`parsing time ${JSON.stringify(value)} as "${layout}": ${cannot}`);
  }
  const [, , fraction = "", zone = ""] = parts;
  if (micro && fraction.length !== 7) {
    const cannot = `cannot parse ${JSON.stringify(fraction + zone)} as ".000000"`;
    throw new DecodeError(`parsing time ${JSON.stringify(value)} as "${layout}": ${cannot}`);
  }
  const utc = new Date(value).toISOString().slice(0, 19);
  return micro ? `${utc}${fraction}Z` : `${utc}Z`;
}

function decodeBytes(value: JsonValue, at: Position): JsonValue {
  if (typeof value !== "string") throw mismatch(value, "[]uint8", at);
  const wrong = /[^A-Za-z0-9+/=]/.exec(value);
  const bad = wrong !== null ? wrong.index : value.length % 4 === 0 ? -1 : value.length;
  if (bad >= 0) throw new DecodeError(`illegal base64 data at input byte ${bad}`);
  return value;
}

function withoutNulls(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item) ?? null);
  if (!isRecord(value)) return value ?? undefined;
  const copy: Record<string, JsonValue> = {};
  for (const key in value) {
    const item = withoutNulls(value[key]);
    if (item !== undefined) setMember(copy, key, item);
  }
  return copy;
}

function jsonType(value: JsonValue): string {
  return Array.isArray(value) ? "array" : typeof value;
}

function mismatch(value: JsonValue, go: string, at: Position): DecodeError {
  const type = jsonType(value);
  const found = type === "boolean" ? "bool" : type;
  const field = at.goPath === "" ? "value" : `struct field ${at.owner}.${at.goPath}`;
  return new DecodeError(`json: cannot unmarshal ${found} into Go ${field} of type ${go}`);
}
