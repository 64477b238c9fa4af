/** sprig's functions on lists. They never change the list they are given, but for sortAlpha. */
import { type Budget, CallError } from "./errors.ts";
import { deepEqual } from "./deep_equal.ts";
import { define, type FunctionDef, textOf } from "./function.ts";
import { stringsOf } from "./functions_text.ts";
import { sortStrings } from "./utf8.ts";
import {
  type GoList,
  type GoValue,
  isTrue,
  itemsOf,
  kindOf,
  NIL_LIST,
  Slice,
  strings,
} from "./value.ts";

export const LIST_FUNCTIONS: Readonly<Record<string, FunctionDef>> = {
  list: define("any...", (values) => values.map(orNull)),
  first: define("any", ([list]) => itemsFor(list, "find first")[0] ?? null, "any"),
  last: define("any", ([list]) => itemsFor(list, "find last").at(-1) ?? null, "any"),
  rest: define("any", ([list]) => part(itemsFor(list, "find rest"), 1)),
  initial: define("any", ([list]) => part(itemsFor(list, "find initial"), 0, -1)),
  reverse: define("any", ([list]) => itemsFor(list, "find reverse").toReversed()),
  compact: define("any", ([list]) => itemsFor(list, "compact").filter((item) => !isEmpty(item))),
  uniq: define("any", ([list], { budget }) => {
    const kept: GoValue[] = [];
    for (const item of itemsFor(list, "find uniq")) {
      if (!isIn(kept, item, budget)) kept.push(item);
    }
    return kept;
  }),
  without: define(
    "any any...",
    ([list, ...omitted], { budget }) =>
      itemsFor(list, "find without").filter((item) => !isIn(omitted, item, budget)),
  ),
  has: define(
    "any any",
    ([item, list], { budget }) =>
      !isNothing(list) && isIn(itemsFor(list, "find has"), item, budget),
  ),
  append: define("any any", ([list, item]) => [...itemsFor(list, "push"), orNull(item)]),
  prepend: define("any any", ([list, item]) => [orNull(item), ...itemsFor(list, "prepend")]),
  concat: define("any...", (lists, { budget }) => concat(lists, budget), "any"),
  sortAlpha: define("any", ([list], { budget }) => sortAlpha(list, budget)),
};

function isNothing(value: GoValue): value is null | undefined {
  return value === null || value === undefined;
}

function orNull(value: GoValue): GoValue {
  return value === undefined ? null : value;
}

/** sprig's empty: what is nil or the zero value of its type. */
export function isEmpty(value: GoValue): boolean {
  return !isTrue(value);
}

function nilFault(): CallError {
  return new CallError("runtime error: invalid memory address or nil pointer dereference");
}

function itemsFor(list: GoValue, action: string): GoList {
  if (isNothing(list)) throw nilFault();
  const items = itemsOf(list);
  if (items === undefined) throw new CallError(`Cannot ${action} on type ${kindOf(list)}`);
  return items;
}

function part(items: GoList, from: number, to?: number): GoValue {
  return items.length === 0 ? NIL_LIST : items.slice(from, to);
}

function isIn(items: GoList, wanted: GoValue, budget: Budget): boolean {
  return items.some((item) => deepEqual(wanted, item, budget));
}

function concat(lists: readonly GoValue[], budget: Budget): GoValue {
  const all: GoValue[] = [];
  for (const list of lists) {
    if (isNothing(list)) throw nilFault();
    const items = itemsOf(list);
    if (items === undefined) throw new CallError(`Cannot concat type ${kindOf(list)} as list`);
    budget.memory(items.length * 8);
    for (const item of items) all.push(item);
  }
  return all.length === 0 ? NIL_LIST : all;
}

/** A []string is sorted where it is; of other lists the texts are. */
function sortAlpha(list: GoValue, budget: Budget): GoValue {
  const items = itemsOf(list);
  if (items === undefined) return strings([isNothing(list) ? "<nil>" : textOf(list, budget)]);
  budget.steps(items.length * 4);
  const sorted = sortStrings([...stringsOf(list, budget)]);
  if (!(list instanceof Slice) || list.element !== "string") return strings(sorted);
  sorted.forEach((text, i) => list.base[list.span.from + i] = text);
  return list;
}
