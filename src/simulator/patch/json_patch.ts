/**
 * JSON Patch (RFC 6902) as kube-apiserver applies it.
 *
 * Guarantees: the input is never changed and never aliased by the result; a patch applies whole or not
 * at all. It follows the server's library where that is laxer than the RFC: `replace` of an absent
 * object key adds it, `copy` from an absent key gives null, `test` of an absent key equals null, a
 * missing `value` is null. Checking what the patched object says (name, uid, resourceVersion) is the
 * caller's.
 */
import type { JsonObject, JsonValue } from "../../runtime/ports/rest.ts";
import { goKind, PatchError, patchRejected } from "./patch_error.ts";

/** Operations a single patch may hold, as in the server. */
const OPERATIONS_MAX = 10_000;

/** @throws {PatchError} 400 when `ops` is no list of operations, 413 when too many, 422 when one does not apply. */
export function applyJsonPatch(doc: JsonValue, ops: JsonValue): JsonValue {
  if (!Array.isArray(ops)) {
    throw new PatchError(
      400,
      `error decoding patch: json: cannot unmarshal ${
        goKind(ops)
      } into Go value of type []handlers.jsonPatchOp`,
    );
  }
  if (ops.length > OPERATIONS_MAX) {
    throw new PatchError(
      413,
      `The allowed maximum operations in a JSON patch is ${OPERATIONS_MAX}, got ${ops.length}`,
    );
  }
  let result = structuredClone(doc);
  for (const op of ops) result = applyOne(result, op);
  if (!isObject(result)) throw patchRejected("the result is no object");
  return result;
}

function applyOne(doc: JsonValue, op: JsonValue): JsonValue {
  if (!isObject(op)) {
    throw new PatchError(
      400,
      `error decoding patch: json: cannot unmarshal ${
        goKind(op)
      } into Go value of type handlers.jsonPatchOp`,
    );
  }
  const path = op.path;
  if (typeof path !== "string") throw patchRejected("operation without a path");
  const value = structuredClone(op.value ?? null);
  switch (op.op) {
    case "add":
      return add(doc, path, value);
    case "replace":
      return replace(doc, path, value);
    case "remove":
      remove(doc, path);
      return doc;
    case "move": {
      const moved = read(doc, fromOf(op));
      remove(doc, fromOf(op));
      return add(doc, path, moved);
    }
    case "copy":
      return add(doc, path, structuredClone(read(doc, fromOf(op))));
    case "test":
      if (!jsonEqual(path === "" ? doc : read(doc, path), value)) {
        throw patchRejected(`testing value ${path} failed`);
      }
      return doc;
    default:
      throw patchRejected(`unexpected kind: ${String(op.op)}`);
  }
}

function fromOf(op: JsonObject): string {
  if (typeof op.from !== "string") throw patchRejected(`${String(op.op)} without "from"`);
  return op.from;
}

/** The container a path ends in, and the last key. */
function locate(
  doc: JsonValue,
  path: string,
): { container: JsonObject | JsonValue[]; key: string } {
  const [, ...tokens] = path.split("/").map((token) =>
    token.replaceAll("~1", "/").replaceAll("~0", "~")
  );
  if (tokens.length === 0) throw patchRejected(`invalid path ${path}`);
  let at = doc;
  for (const token of tokens.slice(0, -1)) at = isContainer(at) ? child(at, token) : undefined;
  if (!isContainer(at)) throw patchRejected(`doc is missing path: ${path}`);
  return { container: at, key: tokens.at(-1) ?? "" };
}

function child(container: JsonObject | JsonValue[], key: string): JsonValue {
  if (Array.isArray(container)) return container[arrayIndex(key, container.length - 1)];
  return Object.hasOwn(container, key) ? container[key] : undefined;
}

/** @throws {PatchError} unless `key` is a decimal index between 0 and `max`. */
function arrayIndex(key: string, max: number): number {
  const index = /^(0|[1-9][0-9]{0,9})$/.test(key) ? Number(key) : -1;
  if (index < 0 || index > max) throw patchRejected(`invalid array index ${key}`);
  return index;
}

function read(doc: JsonValue, path: string): JsonValue {
  const { container, key } = locate(doc, path);
  return child(container, key) ?? null;
}

function add(doc: JsonValue, path: string, value: JsonValue): JsonValue {
  const { container, key } = locate(doc, path);
  if (Array.isArray(container)) {
    const index = key === "-" ? container.length : arrayIndex(key, container.length);
    container.splice(index, 0, value);
  } else setKey(container, key, value);
  return doc;
}

function replace(doc: JsonValue, path: string, value: JsonValue): JsonValue {
  if (path === "") return value;
  const { container, key } = locate(doc, path);
  if (Array.isArray(container)) container[arrayIndex(key, container.length - 1)] = value;
  else setKey(container, key, value);
  return doc;
}

function remove(doc: JsonValue, path: string): void {
  const { container, key } = locate(doc, path);
  if (Array.isArray(container)) container.splice(arrayIndex(key, container.length - 1), 1);
  else if (Object.hasOwn(container, key)) delete container[key];
  else throw patchRejected(`unable to remove nonexistent key: ${path}`);
}

/** `__proto__` is a legal key: defined, never assigned. */
function setKey(container: JsonObject, key: string, value: JsonValue): void {
  Object.defineProperty(container, key, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isContainer(value: JsonValue): value is JsonObject | JsonValue[] {
  return typeof value === "object" && value !== null;
}

/** Deep equality of JSON values; the order of keys does not matter, absent and undefined are the same. */
export function jsonEqual(a: JsonValue, b: JsonValue): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => jsonEqual(item, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const keys = (object: JsonObject) =>
    Object.keys(object).filter((key) => object[key] !== undefined);
  const keysOfA = keys(a);
  return keysOfA.length === keys(b).length &&
    keysOfA.every((key) => Object.hasOwn(b, key) && jsonEqual(a[key], b[key]));
}
