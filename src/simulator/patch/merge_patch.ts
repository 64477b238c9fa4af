/**
 * JSON Merge Patch (RFC 7386). The input is never changed and never aliased by the result.
 */
import type { JsonObject, JsonValue } from "../../runtime/ports/rest.ts";
import { goKind, PatchError } from "./patch_error.ts";

/** @throws {PatchError} 400 when `patch` is no object: the server patches objects only. */
export function applyMergePatch(doc: JsonValue, patch: JsonValue): JsonValue {
  return merge(doc, requireObject(patch));
}

/** The patch as an object. @throws {PatchError} 400, worded as Go's decoder does. */
export function requireObject(patch: JsonValue): JsonObject {
  if (isObject(patch)) return patch;
  throw new PatchError(
    400,
    `error decoding patch: json: cannot unmarshal ${
      goKind(patch)
    } into Go value of type map[string]interface {}`,
  );
}

function merge(target: JsonValue, patch: JsonValue): JsonValue {
  if (!isObject(patch)) return structuredClone(patch);
  const merged = new Map<string, JsonValue>(
    isObject(target) ? Object.entries(structuredClone(target)) : [],
  );
  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    if (value === null) merged.delete(key);
    else merged.set(key, merge(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
