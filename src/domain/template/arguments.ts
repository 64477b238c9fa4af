/** Which values a function's parameters take. */
import { CallError } from "./errors.ts";
import type { Param } from "./function.ts";
import { nodeText, type NumberNode, type Operand } from "./node.ts";
import { Version } from "./semver.ts";
import {
  Complex,
  float,
  floatOf,
  type GoValue,
  int,
  intOf,
  isPlainMap,
  kindOf,
  NIL_MAP,
  Slice,
  typeName,
} from "./value.ts";

/** No value came through the pipe. */
export const MISSING = Symbol("no argument from the pipe");
export type Maybe = GoValue | typeof MISSING;

const NAMES: Readonly<Record<Param, string>> = {
  value: "reflect.Value",
  any: "interface {}",
  string: "string",
  int: "int",
  float64: "float64",
  bool: "bool",
  map: "map[string]interface {}",
  version: "*semver.Version",
};

export function validated(
  at: { fail(message: string): never },
  value: GoValue,
  param: Param,
): GoValue {
  switch (param) {
    case "any":
    case "value":
      return value;
    case "string":
      if (typeof value === "string") return value;
      break;
    case "bool":
      if (typeof value === "boolean") return value;
      break;
    case "int":
      if (kindOf(value) === "int") return Number(intOf(value));
      break;
    case "float64":
      if (kindOf(value) === "float64") return floatOf(value);
      break;
    case "map":
      if (isPlainMap(value)) return value;
      if (value === undefined || value === NIL_MAP) return undefined;
      break;
    case "version":
      if (value === undefined || (value instanceof Version && value.isPointer)) return value;
  }
  if (value === undefined) at.fail(`invalid value; expected ${NAMES[param]}`);
  at.fail(`wrong type for value; expected ${NAMES[param]}; got ${typeName(value)}`);
}

/** A literal, or nil, as an argument of a parameter with a type. */
export function argumentOf(
  node: Operand,
  param: Exclude<Param, "any" | "value">,
): { value: GoValue } | { fault: string } {
  if (node.type === "nil") {
    if (param === "map" || param === "version") return { value: undefined };
    return { fault: `cannot assign nil to ${NAMES[param]}` };
  }
  switch (param) {
    case "string":
      return node.type === "string" ? { value: node.text } : expected("string", node);
    case "bool":
      return node.type === "bool" ? { value: node.value } : expected("bool", node);
    case "int":
      if (node.type === "number" && node.int !== undefined) return { value: Number(node.int) };
      return expected("integer", node);
    case "float64":
      if (node.type === "number" && node.float !== undefined) return { value: node.float };
      return expected("float", node);
    default:
      return { fault: `can't handle ${nodeText(node)} for arg of type ${NAMES[param]}` };
  }
}

function expected(what: string, node: Operand): { fault: string } {
  return { fault: `expected ${what}; found ${nodeText(node)}` };
}

/** A number where nothing says what type it should have: its spelling does. Undefined: no int fits. */
export function numberConstant(node: NumberNode): GoValue {
  if (node.complex !== undefined) return new Complex(node.complex.real, node.complex.imag);
  const isHexInt = /^0[xX]./.test(node.text) && !/[pP]/.test(node.text);
  const looksFloat = !isHexInt && !node.text.startsWith("'") && /[.eEpP]/.test(node.text);
  if (node.float !== undefined && looksFloat) return float(node.float);
  return node.int === undefined ? undefined : int(node.int);
}

/** What a function may have to read of an argument. */
export function readingCost(value: GoValue): number {
  if (typeof value === "string") return value.length / 32;
  return Array.isArray(value) || value instanceof Slice ? value.length / 16 : 1;
}

/** Functions are no values, so that "call" never gets one. */
export function notCallable(value: GoValue, node: Operand | undefined): CallError {
  if (value === undefined || value === null) return new CallError("call of nil");
  const piped = typeof value === "string" ? value : `<${typeName(value)} Value>`;
  const name = node === undefined ? piped : nodeText(node);
  return new CallError(`non-function ${name} of type ${typeName(value)}`);
}
