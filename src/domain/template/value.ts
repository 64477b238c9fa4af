/**
 * The values templates work on. JSON data is used as it is (nothing is converted or copied): strings,
 * booleans, null, arrays, objects; a `number` is int64 when it is whole and fits, else float64; an
 * int64 beyond 2^53 is a `bigint`. What JSON cannot say has a class below.
 *
 * `undefined` is Go's zero reflect.Value (a missing key), `null` a nil inside an interface (a JSON
 * null, a nil element): templates treat them differently.
 */
import { MAX_INT64, MIN_INT64 } from "./number_text.ts";

export type GoValue =
  | undefined
  | null
  | boolean
  | string
  | number
  | bigint
  | GoList
  | GoMap
  | Boxed;
export type GoList = readonly GoValue[];
export interface GoMap {
  readonly [key: string]: GoValue;
}
/** What `set` and `merge` write to: without a prototype, so that no key is special. */
export type MutableMap = { [key: string]: GoValue };

export type Kind =
  | "invalid"
  | "interface"
  | "bool"
  | "string"
  | "int"
  | "int64"
  | "uint8"
  | "uint64"
  | "float64"
  | "complex128"
  | "slice"
  | "map"
  | "ptr"
  | "struct";

/** A value that JSON has no word for. */
export abstract class Boxed {
  abstract readonly kind: Kind;
  abstract readonly typeName: string;
}

/** A float64 that is whole, NaN or infinite; others are plain numbers. */
export class Float extends Boxed {
  readonly kind = "float64";
  readonly typeName = "float64";
  constructor(readonly value: number) {
    super();
  }
}

/** An integer of a type other than int64. */
export class Int extends Boxed {
  readonly typeName: string;
  constructor(readonly kind: "int" | "uint8" | "uint64", readonly value: number | bigint) {
    super();
    this.typeName = kind;
  }
}

export class Complex extends Boxed {
  readonly kind = "complex128";
  readonly typeName = "complex128";
  constructor(readonly real: number, readonly imag: number) {
    super();
  }
}

const ELEMENTS = { any: "interface {}", string: "string", int: "int", uint8: "uint8" } as const;
export type ElementType = keyof typeof ELEMENTS;

/** A slice that a plain array cannot stand for: typed elements, nil, or a part of a longer array. */
export class Slice extends Boxed {
  readonly kind = "slice";
  readonly typeName: string;
  readonly length: number;

  constructor(
    readonly element: ElementType,
    readonly base: GoValue[],
    readonly span: { from: number; to: number; cap: number } = {
      from: 0,
      to: base.length,
      cap: base.length,
    },
    readonly isNil = false,
  ) {
    super();
    this.typeName = `[]${ELEMENTS[element]}`;
    this.length = span.to - span.from;
  }

  get items(): GoList {
    const { from, to } = this.span;
    return from === 0 && to === this.base.length ? this.base : this.base.slice(from, to);
  }
}

/** A map other than a usable map[string]interface {}. */
export class TypedMap extends Boxed {
  readonly kind = "map";
  readonly typeName: string;
  constructor(
    readonly element: "any" | "string",
    readonly entries: GoMap,
    readonly isNil: boolean,
  ) {
    super();
    this.typeName = `map[string]${ELEMENTS[element]}`;
  }
}

export const NIL_LIST = new Slice("any", [], undefined, true);
export const NIL_STRINGS = new Slice("string", [], undefined, true);
export const NIL_MAP = new TypedMap("any", {}, true);

export function int(value: number | bigint): Int {
  return new Int("int", narrow(value));
}

/** A number where it is exact, else a bigint. */
export function narrow(value: number | bigint): number | bigint {
  if (typeof value === "number") return value;
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

/** An int64 of any integer, wrapped around as Go's arithmetic does. */
export function int64(value: bigint): number | bigint {
  return narrow(value > MAX_INT64 || value < MIN_INT64 ? BigInt.asIntN(64, value) : value);
}

export function float(value: number): number | Float {
  return Number.isFinite(value) && !Number.isInteger(value) ? value : new Float(value);
}

export function strings(items: string[]): Slice {
  return new Slice("string", items);
}

export function newMap(): MutableMap {
  return Object.create(null);
}

/** Whole numbers from JSON.parse beyond int64 can only have been floats. */
function isInt64(value: number): boolean {
  return Number.isInteger(value) && value < 9223372036854775808 && value >= -9223372036854775808;
}

export function kindOf(value: GoValue): Kind {
  switch (typeof value) {
    case "string":
      return "string";
    case "number":
      return isInt64(value) ? "int64" : "float64";
    case "boolean":
      return "bool";
    case "bigint":
      return "int64";
    case "undefined":
      return "invalid";
    default:
      if (value === null) return "interface";
      if (Array.isArray(value)) return "slice";
      return value instanceof Boxed ? value.kind : "map";
  }
}

/** The type's name as Go prints it; "<nil>" for no value. */
export function typeName(value: GoValue): string {
  if (value === undefined) return "<nil>";
  if (value === null) return "interface {}";
  if (value instanceof Boxed) return value.typeName;
  const kind = kindOf(value);
  if (kind === "slice") return "[]interface {}";
  return kind === "map" ? "map[string]interface {}" : kind;
}

/** The type's name of what an interface holds: "<nil>" for nil. */
export function dynamicType(value: GoValue): string {
  return value === null ? "<nil>" : typeName(value);
}

export function isPlainMap(value: GoValue): value is GoMap {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Boxed);
}

/** The elements of any list, undefined for anything else. */
export function itemsOf(value: GoValue): GoList | undefined {
  if (Array.isArray(value)) return value;
  return value instanceof Slice ? value.items : undefined;
}

/** The entries of any map, undefined for anything else. */
export function entriesOf(value: GoValue): GoMap | undefined {
  if (value instanceof TypedMap) return value.entries;
  return isPlainMap(value) ? value : undefined;
}

export function isIntKind(kind: Kind): boolean {
  return kind === "int64" || kind === "int";
}

export function isUintKind(kind: Kind): boolean {
  return kind === "uint8" || kind === "uint64";
}

/** The number of an integer of any type; 0 for anything else. */
export function intOf(value: GoValue): number | bigint {
  if (typeof value === "number") return Object.is(value, -0) ? 0 : value;
  if (typeof value === "bigint") return value;
  return value instanceof Int ? value.value : 0;
}

/** The number of a float64; 0 for anything else. */
export function floatOf(value: GoValue): number {
  if (typeof value === "number") return value;
  return value instanceof Float ? value.value : 0;
}

export function isNil(value: GoValue): boolean {
  if (value === undefined || value === null) return true;
  return (value instanceof Slice || value instanceof TypedMap) && value.isNil;
}

/** Go's truth: not the zero value of its type. */
export function isTrue(value: GoValue): boolean {
  switch (typeof value) {
    case "boolean":
      return value;
    case "string":
      return value !== "";
    case "number":
      return value !== 0;
    case "bigint":
      return value !== 0n;
    case "undefined":
      return false;
    default:
      return value !== null && isTrueObject(value);
  }
}

function isTrueObject(value: GoList | GoMap | Boxed): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Float) return value.value !== 0;
  if (value instanceof Int) return Number(value.value) !== 0;
  if (value instanceof Complex) return value.real !== 0 || value.imag !== 0;
  if (value instanceof Slice) return value.length > 0;
  if (value instanceof TypedMap) return !isEmptyMap(value.entries);
  return value instanceof Boxed || !isEmptyMap(value as GoMap);
}

export function isEmptyMap(map: GoMap): boolean {
  for (const key in map) if (Object.hasOwn(map, key)) return false;
  return true;
}
