/**
 * sprig's functions on maps. `set` and `merge` change the map they are given: the evaluator copies
 * the data first when a template uses them (see MUTATING), so that callers never see it.
 */
import { type Budget, CallError, checkValueDepth } from "./errors.ts";
import { define, type FunctionDef, textOf } from "./function.ts";
import { Version } from "./semver.ts";
import { sortStrings } from "./utf8.ts";
import {
  Complex,
  dynamicType,
  entriesOf,
  type GoMap,
  type GoValue,
  isPlainMap,
  isTrue,
  itemsOf,
  type MutableMap,
  newMap,
  NIL_MAP,
  strings,
} from "./value.ts";

export const MUTATING: ReadonlySet<string> = new Set(["set", "merge"]);

export const MAP_FUNCTIONS: Readonly<Record<string, FunctionDef>> = {
  dict: define("any...", (values, { budget }) => {
    const map = newMap();
    for (let i = 0; i < values.length; i += 2) {
      map[textOf(values[i], budget)] = i + 1 < values.length ? values[i + 1] ?? null : "";
    }
    return map;
  }),
  get: define("map string", ([map, key]) => has(map, key) ? map[key] ?? null : "", "any"),
  set: define("map string any", ([map, key, value]) => {
    if (map === undefined) throw new CallError("assignment to entry in nil map");
    (map as MutableMap)[key] = value ?? null;
    return map;
  }),
  hasKey: define("map string", ([map, key]) => has(map, key)),
  keys: define("map...", (maps, { budget }) => strings(maps.flatMap((map) => keysOf(map, budget)))),
  values: define(
    "map",
    ([map], { budget }) => keysOf(map, budget).map((key) => map?.[key] ?? null),
  ),
  pick: define("map string...", ([first, ...rest]) => {
    const map = first as unknown as GoMap | undefined;
    const picked = newMap();
    for (const key of rest) if (has(map, key)) picked[key] = map[key] ?? null;
    return picked;
  }),
  omit: define("map string...", ([first, ...rest], { budget }) => {
    const map = first as unknown as GoMap | undefined;
    const kept = newMap();
    const omitted = new Set(rest);
    for (const key of keysOf(map, budget)) if (!omitted.has(key)) kept[key] = map?.[key] ?? null;
    return kept;
  }),
  pluck: define("string map...", ([first, ...maps]) => {
    const key = first as unknown as string;
    return maps.flatMap((map) => has(map, key) ? [map[key] ?? null] : []);
  }),
  dig: define("any...", (values) => dig(values), "any"),
  merge: define("map map...", ([first, ...sources], { budget }) => {
    let target = first as MutableMap | undefined;
    for (const source of sources) {
      if (target === undefined && source !== undefined) target = newMap();
      if (target === undefined || source === undefined) continue;
      if (!mergeInto(target, source, budget, 0)) return "";
    }
    return target ?? NIL_MAP;
  }, "any"),
};

function has(map: GoMap | undefined, key: string): map is GoMap {
  return map !== undefined && Object.hasOwn(map, key) && map[key] !== undefined;
}

/** In order, where Go's would be in none. */
function keysOf(map: GoMap | undefined, budget: Budget): string[] {
  if (map === undefined) return [];
  const keys = sortStrings(Object.keys(map));
  budget.memory(keys.length * 8);
  budget.steps(keys.length * 2);
  return keys;
}

function dig(values: readonly GoValue[]): GoValue {
  if (values.length < 3) throw new CallError("dig needs at least three arguments");
  let map = mapOf(values.at(-1));
  const keys = values.slice(0, -2);
  keys.forEach((key) => {
    if (typeof key !== "string") throw conversion(key, "string");
  });
  for (const [i, key] of (keys as string[]).entries()) {
    if (!Object.hasOwn(map, key)) return values.at(-2) ?? null;
    const step = map[key];
    if (i === keys.length - 1) return step ?? null;
    map = mapOf(step);
  }
  return null;
}

function mapOf(value: GoValue): GoMap {
  if (isPlainMap(value)) return value;
  if (value === NIL_MAP) return {};
  throw conversion(value, "map[string]interface {}");
}

function conversion(value: GoValue, wanted: string): CallError {
  const type = value === undefined || value === null ? "nil" : dynamicType(value);
  return new CallError(`interface conversion: interface {} is ${type}, not ${wanted}`);
}

/** mergo's Merge: fills what is missing or empty. False for what it refuses. */
function mergeInto(target: MutableMap, source: GoMap, budget: Budget, depth: number): boolean {
  checkValueDepth(depth);
  for (const key of keysOf(source, budget)) {
    const value = source[key] ?? null;
    if (value === null) continue;
    const known = Object.hasOwn(target, key) ? target[key] : undefined;
    const entries = entriesOf(value);
    if (entries !== undefined && known instanceof Version) return false;
    if (entries !== undefined && isPlainMap(known) && isPlainMap(value)) {
      if (!mergeInto(known as MutableMap, value, budget, depth + 1)) return false;
    }
    if (known !== undefined && !isEmptyForMerge(known)) continue;
    target[key] = value;
  }
  return true;
}

function isEmptyForMerge(value: GoValue): boolean {
  return !(value instanceof Complex) && !isTrue(value);
}

/** A copy of JSON data that may be written to. */
export function copyData(value: GoValue, budget: Budget, depth = 0): GoValue {
  checkValueDepth(depth);
  const items = itemsOf(value);
  if (Array.isArray(value) && items !== undefined) {
    budget.memory(items.length * 8);
    return items.map((item) => copyData(item, budget, depth + 1));
  }
  if (!isPlainMap(value)) return value;
  const copy = newMap();
  budget.memory(8);
  for (const key of Object.keys(value)) copy[key] = copyData(value[key], budget, depth + 1);
  return copy;
}
