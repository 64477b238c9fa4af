/**
 * Strategic merge patch: a merge patch that knows which lists are merged by a key.
 *
 * Guarantees: apimachinery's rules for `$patch` (replace, delete), `$retainKeys`,
 * `$deleteFromPrimitiveList/<field>` and `$setElementOrder/<field>`; the input is never changed.
 * Which lists merge is given by hints; a list without one is replaced. Custom resources have no
 * strategic merge: the server answers 415 for them, which is the caller's to say.
 */
import type { JsonObject, JsonValue } from "../../runtime/ports/rest.ts";
import { requireObject } from "./merge_patch.ts";
import { jsonEqual } from "./json_patch.ts";
import { PatchError } from "./patch_error.ts";

/**
 * Merged lists by dotted path from the root, list items not counted: `spec.containers.ports`.
 * The value is the merge key; "" merges a list of primitives as a set.
 */
export type StrategicHints = Readonly<Record<string, string>>;

const METADATA_HINTS: StrategicHints = {
  "metadata.ownerReferences": "uid",
  "metadata.finalizers": "",
};

const CONTAINER_HINTS: StrategicHints = {
  "env": "name",
  "ports": "containerPort",
  "volumeMounts": "mountPath",
  "volumeDevices": "devicePath",
};

const POD_HINTS: StrategicHints = {
  ...METADATA_HINTS,
  "spec.containers": "name",
  "spec.initContainers": "name",
  "spec.ephemeralContainers": "name",
  ...Object.fromEntries(
    ["containers", "initContainers", "ephemeralContainers"].flatMap((list) =>
      Object.entries(CONTAINER_HINTS).map(([field, key]) => [`spec.${list}.${field}`, key])
    ),
  ),
  "spec.volumes": "name",
  "spec.imagePullSecrets": "name",
  "spec.hostAliases": "ip",
  "spec.topologySpreadConstraints": "topologyKey",
  "spec.resourceClaims": "name",
  "status.conditions": "type",
  "status.podIPs": "ip",
  "status.hostIPs": "ip",
};

const HINTS_BY_KIND: Readonly<Record<string, StrategicHints>> = {
  Pod: POD_HINTS,
  Namespace: { ...METADATA_HINTS, "status.conditions": "type" },
  Node: {
    ...METADATA_HINTS,
    "spec.podCIDRs": "",
    "status.conditions": "type",
    "status.addresses": "type",
  },
  ServiceAccount: { ...METADATA_HINTS, "secrets": "name" },
};

/** The hints of a built-in kind. */
export function strategicHints(kind: string): StrategicHints {
  return HINTS_BY_KIND[kind] ?? METADATA_HINTS;
}

const DELETE_PREFIX = "$deleteFromPrimitiveList/";
const ORDER_PREFIX = "$setElementOrder/";

/** @throws {PatchError} 400 when `patch` is no object, 500 when a directive is unknown or out of place. */
export function applyStrategicMergePatch(
  doc: JsonValue,
  patch: JsonValue,
  hints: StrategicHints,
): JsonValue {
  const target = isObject(doc) ? doc : {};
  return mergeMap(structuredClone(target), structuredClone(requireObject(patch)), "", hints);
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function broken(reason: string): PatchError {
  return new PatchError(500, reason);
}

function mergeMap(
  target: JsonObject,
  patch: JsonObject,
  path: string,
  hints: StrategicHints,
): JsonObject {
  const directive = patch.$patch;
  if (directive !== undefined) {
    const { $patch: _, ...rest } = patch;
    if (directive === "replace") return rest;
    if (directive === "delete") return {};
    throw broken(`unknown patch type: ${String(directive)} in map: ${goMap(patch)}`);
  }
  retainKeys(target, patch);
  for (const [key, order] of Object.entries(patch)) {
    if (!key.startsWith(ORDER_PREFIX)) continue;
    const field = key.slice(ORDER_PREFIX.length);
    checkOrder(patch[field], order, hints[path === "" ? field : `${path}.${field}`]);
  }
  const result = new Map(Object.entries(target));
  for (const [key, value] of Object.entries(patch)) {
    if (!key.startsWith(DELETE_PREFIX)) continue;
    const field = key.slice(DELETE_PREFIX.length);
    const list = result.get(field);
    if (Array.isArray(list) && Array.isArray(value)) {
      result.set(field, list.filter((item) => !value.some((gone) => jsonEqual(gone, item))));
    }
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key === "$patch" || key === "$retainKeys" || value === undefined) continue;
    if (key.startsWith(ORDER_PREFIX) || key.startsWith(DELETE_PREFIX)) continue;
    if (value === null) {
      result.delete(key);
      continue;
    }
    const at = path === "" ? key : `${path}.${key}`;
    result.set(key, mergeValue(result.get(key), value, { at, hints }));
  }
  for (const [key, order] of Object.entries(patch)) {
    if (!key.startsWith(ORDER_PREFIX) || !Array.isArray(order)) continue;
    const field = key.slice(ORDER_PREFIX.length);
    const list = result.get(field);
    const mergeKey = hints[path === "" ? field : `${path}.${field}`];
    if (!Array.isArray(list) || mergeKey === undefined) continue;
    const given = patch[field];
    if (list.length === 0 && !(Array.isArray(given) && given.length > 0)) {
      throw broken("no elements in any of the given slices");
    }
    const old = target[field];
    const before = Array.isArray(old) ? old : [];
    result.set(field, inServerOrder(list, order, { before, mergeKey }));
  }
  return Object.fromEntries(result);
}

function mergeValue(
  current: JsonValue,
  value: JsonValue,
  { at, hints }: { at: string; hints: StrategicHints },
): JsonValue {
  if (isObject(value)) {
    if (isObject(current)) return mergeMap(current, value, at, hints);
    // With nothing to merge with, a map that carries an order is dropped, whatever the order is.
    return value.$patch === undefined ? mergeMap({}, value, at, hints) : {};
  }
  if (!Array.isArray(value)) return value;
  const key = hints[at];
  if (key === undefined || current === undefined) return stripDirectives(value, at, hints);
  const list = Array.isArray(current) ? current : [];
  if (key === "") {
    const added = value.filter((item, index) =>
      !list.some((known) => jsonEqual(known, item)) &&
      value.findIndex((other) => jsonEqual(other, item)) === index
    );
    return inServerOrder([...list, ...added], value, { before: list, mergeKey: "" });
  }
  return mergeKeyedList(list, value, { at, hints, key });
}

/** A list that is taken whole may still carry items that are orders, not data. */
function stripDirectives(
  value: readonly JsonValue[],
  at: string,
  hints: StrategicHints,
): JsonValue[] {
  const isOrder = (item: JsonValue) =>
    isObject(item) && (item.$patch === "replace" || item.$patch === "delete");
  return value.filter((item) => !isOrder(item))
    .map((item) => isObject(item) ? mergeMap({}, item, at, hints) : item);
}

function mergeKeyedList(
  current: readonly JsonValue[],
  patch: readonly JsonValue[],
  { at, hints, key }: { at: string; hints: StrategicHints; key: string },
): JsonValue[] {
  const replaces = patch.some((item) => isObject(item) && item.$patch === "replace");
  const gone = patch.filter((item) => isObject(item) && item.$patch === "delete");
  const result = replaces
    ? []
    : current.filter((known) =>
      !isObject(known) || !gone.some((item) => isObject(item) && jsonEqual(item[key], known[key]))
    );
  const sameKey = (value: JsonValue) => (item: JsonValue) =>
    isObject(item) && jsonEqual(item[key], value);
  for (const item of patch) {
    if (!isObject(item)) throw broken(`expected a map in the list at ${at}`);
    if (item.$patch === "replace" && Object.keys(item).length === 1) continue;
    const id = item[key];
    if (id === undefined || id === null) {
      throw broken(`map: ${goMap(item)} does not contain declared merge key: ${key}`);
    }
    if (item.$patch === "delete") continue;
    const index = result.findIndex(sameKey(id));
    const known = result[index];
    const merged = mergeMap(isObject(known) ? known : {}, item, at, hints);
    if (index < 0) result.push(merged);
    else result[index] = merged;
  }
  return inServerOrder(result, patch, { before: current, mergeKey: key });
}

/**
 * The merged list in the API server's order: items that the patch names come in the patch's order, the
 * others in that of the list before; where the two meet, what the list did not have comes first.
 */
function inServerOrder(
  merged: readonly JsonValue[],
  order: readonly JsonValue[],
  { before, mergeKey }: { before: readonly JsonValue[]; mergeKey: string },
): JsonValue[] {
  const id = (item: JsonValue) => mergeKey !== "" && isObject(item) ? item[mergeKey] : item;
  const rankIn = (list: readonly JsonValue[]) => (item: JsonValue) =>
    list.findIndex((other) => jsonEqual(id(other), id(item)));
  const [inPatch, inList] = [rankIn(order), rankIn(before)];
  const named = merged.filter((item) => inPatch(item) >= 0)
    .sort((a, b) => inPatch(a) - inPatch(b));
  const others = merged.filter((item) => inPatch(item) < 0);
  const result: JsonValue[] = [];
  for (const item of named) {
    const rank = inList(item);
    while (rank >= 0 && others.length > 0 && inList(others[0]) < rank) result.push(others.shift());
    result.push(item);
  }
  return [...result, ...others];
}

/** What a patch puts into a list must come in the order that it asks for. @throws {PatchError} */
function checkOrder(list: JsonValue, order: JsonValue, mergeKey: string | undefined): void {
  if (mergeKey === undefined || list === undefined) return;
  if (!Array.isArray(list) || !Array.isArray(order)) {
    const wrong = Array.isArray(list) ? order : list;
    throw broken(`expected a []interface {}, but received a ${goMap(wrong)}`);
  }
  const id = (item: JsonValue) => mergeKey !== "" && isObject(item) ? item[mergeKey] : item;
  const items = list.filter((item) => !isObject(item) || item.$patch === undefined);
  let next = 0;
  for (const wanted of order) if (jsonEqual(id(wanted), id(items[next]))) next++;
  if (next < items.length) {
    throw broken(
      `The order in patch list:\n${goMap(items)}\n doesn't match $setElementOrder list:\n${
        goMap(order)
      }\n`,
    );
  }
}

/**
 * `$retainKeys` clears every field of the target that it does not list.
 * @throws {PatchError} 400 when the patch sets a field that is not listed
 */
function retainKeys(target: JsonObject, patch: JsonObject): void {
  const retained = patch.$retainKeys;
  if (!Array.isArray(retained)) return;
  const set = Object.keys(patch).filter((key) => !key.startsWith("$") && patch[key] !== null);
  if (set.some((key) => !retained.includes(key))) {
    throw new PatchError(400, "invalid patch format of retainKeys");
  }
  for (const key of Object.keys(target)) if (!retained.includes(key)) delete target[key];
}

/** Go's `%v` of a map. */
function goMap(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(goMap).join(" ")}]`;
  if (isObject(value)) {
    return `map[${
      Object.keys(value).sort().map((key) => `${key}:${goMap(value[key])}`).join(" ")
    }]`;
  }
  return value === null || value === undefined ? "<nil>" : String(value);
}
