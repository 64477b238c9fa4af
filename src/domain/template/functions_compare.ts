/** eq, ne, lt, le, gt, ge: Go's rules, by which an int is never a float. */
import { type Budget, CallError } from "./errors.ts";
import { define, type FunctionDef } from "./function.ts";
import { sprintf } from "./print.ts";
import { compareStrings } from "./utf8.ts";
import {
  Complex,
  floatOf,
  type GoValue,
  intOf,
  isNil,
  type Kind,
  kindOf,
  typeName,
} from "./value.ts";
import { Version } from "./semver.ts";

export const COMPARISONS: Readonly<Record<string, FunctionDef>> = {
  eq: define("value value...", ([first, ...others], { budget }) => eq(first, others, budget)),
  ne: define("value value", ([a, b], { budget }) => !eq(a, [b], budget)),
  lt: define("value value", ([a, b]) => lt(a, b)),
  le: define("value value", ([a, b], { budget }) => le(a, b, budget)),
  gt: define("value value", ([a, b], { budget }) => !le(a, b, budget)),
  ge: define("value value", ([a, b]) => !lt(a, b)),
};

type Basic = "bool" | "complex" | "int" | "float" | "string" | "uint" | undefined;

const BASIC: Readonly<Partial<Record<Kind, Basic>>> = {
  bool: "bool",
  int: "int",
  int64: "int",
  uint8: "uint",
  uint64: "uint",
  float64: "float",
  complex128: "complex",
  string: "string",
};

function basicKind(value: GoValue): Basic {
  return BASIC[kindOf(value)];
}

function isIntegral(kind: Basic): boolean {
  return kind === "int" || kind === "uint";
}

function incompatible(a: GoValue, b: GoValue): CallError {
  return new CallError(
    `incompatible types for comparison: ${typeName(a)} and ${typeName(b)}`,
  );
}

/** Whether the first equals one of the others. */
function eq(first: GoValue, others: readonly GoValue[], budget: Budget): boolean {
  const a = first ?? undefined;
  if (others.length === 0) throw new CallError("missing argument for comparison");
  const kind = basicKind(a);
  for (const other of others) if (equal(a, kind, other ?? undefined, budget)) return true;
  return false;
}

function equal(a: GoValue, kind: Basic, b: GoValue, budget: Budget): boolean {
  const otherKind = basicKind(b);
  if (kind !== otherKind) {
    if (isIntegral(kind) && isIntegral(otherKind)) return sameInt(a, b);
    if (a !== undefined && b !== undefined) throw incompatible(a, b);
    return false;
  }
  switch (kind) {
    case "bool":
    case "string":
      return a === b;
    case "int":
    case "uint":
      return sameInt(a, b);
    case "float":
      return floatOf(a) === floatOf(b);
    case "complex":
      return a instanceof Complex && b instanceof Complex && a.real === b.real && a.imag === b.imag;
  }
  return sameReference(a, b, budget);
}

/** What has no order and no value of its own: nil, lists, maps, versions. */
function sameReference(a: GoValue, b: GoValue, budget: Budget): boolean {
  const shown = (value: GoValue) => sprintf("%s", [value], budget);
  if (kindOf(a) !== kindOf(b) && a !== undefined && b !== undefined) {
    const types = `${shown(a)}: ${typeName(a)}, ${typeName(b)}: ${sprintf("%v", [b], budget)}`;
    throw new CallError(`non-comparable types ${types}`);
  }
  if (isNil(a) || isNil(b)) return isNil(a) === isNil(b);
  if (b instanceof Version && a instanceof Version) {
    return b.isPointer ? a === b : a.original === b.original && a.toString() === b.toString();
  }
  throw new CallError(`non-comparable type ${shown(b)}: ${typeName(b)}`);
}

function sameInt(a: GoValue, b: GoValue): boolean {
  const x = intOf(a);
  const y = intOf(b);
  return x === y || (typeof x !== typeof y && BigInt(x) === BigInt(y));
}

function lt(first: GoValue, second: GoValue): boolean {
  const a = first ?? undefined;
  const b = second ?? undefined;
  const kind = basicKind(a);
  const otherKind = basicKind(b);
  if (kind === undefined || otherKind === undefined) {
    throw new CallError("invalid type for comparison");
  }
  if (isIntegral(kind) && isIntegral(otherKind)) return intOf(a) < intOf(b);
  if (kind !== otherKind) throw incompatible(a, b);
  if (kind === "float") return floatOf(a) < floatOf(b);
  if (kind === "string") return compareStrings(a as string, b as string) < 0;
  throw new CallError("invalid type for comparison");
}

function le(a: GoValue, b: GoValue, budget: Budget): boolean {
  return lt(a, b) || eq(a, [b], budget);
}
