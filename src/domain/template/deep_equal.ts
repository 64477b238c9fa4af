/** Go's reflect.DeepEqual: types must be the same too, int and int64 included. */
import { type Budget, checkValueDepth } from "./errors.ts";
import { Version } from "./semver.ts";
import {
  Complex,
  entriesOf,
  floatOf,
  type GoValue,
  intOf,
  isNil,
  itemsOf,
  typeName,
} from "./value.ts";

export function deepEqual(a: GoValue, b: GoValue, budget: Budget, depth = 0): boolean {
  checkValueDepth(depth);
  budget.steps(1);
  const empty = (value: GoValue) => value === undefined || value === null;
  if (empty(a) || empty(b)) return empty(a) && empty(b);
  if (typeof a === "string" || typeof a === "boolean") return a === b;
  const type = typeName(a);
  if (type !== typeName(b)) return false;
  const items = itemsOf(a);
  if (items !== undefined) {
    const others = itemsOf(b) ?? [];
    if (isNil(a) !== isNil(b) || items.length !== others.length) return false;
    return a === b || items.every((item, i) => deepEqual(item, others[i], budget, depth + 1));
  }
  const entries = entriesOf(a);
  if (entries !== undefined) {
    const others = entriesOf(b) ?? {};
    const keys = Object.keys(entries);
    if (isNil(a) !== isNil(b) || keys.length !== Object.keys(others).length) return false;
    return a === b ||
      keys.every((key) =>
        Object.hasOwn(others, key) && deepEqual(entries[key], others[key], budget, depth + 1)
      );
  }
  if (a instanceof Version && b instanceof Version) {
    return a.original === b.original && a.toString() === b.toString();
  }
  if (a instanceof Complex && b instanceof Complex) return a.real === b.real && a.imag === b.imag;
  return type === "float64" ? floatOf(a) === floatOf(b) : intOf(a) === intOf(b);
}
