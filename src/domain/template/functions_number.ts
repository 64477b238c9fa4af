/** sprig's arithmetic and conversions. */
import { ADD, arithmetic, DIV, MOD, MUL, SUB, toFloat64, toInt64 } from "./cast.ts";
import { type Budget, CallError } from "./errors.ts";
import { define, type FunctionDef } from "./function.ts";
import { MAX_INT64, MIN_INT64, parseInt64 } from "./number_text.ts";
import { float, type GoValue, int, int64, Slice } from "./value.ts";

export const NUMBER_FUNCTIONS: Readonly<Record<string, FunctionDef>> = {
  int: define("any", ([value]) => int(toInt64(value))),
  int64: define("any", ([value]) => toInt64(value)),
  float64: define("any", ([value]) => float(toFloat64(value))),
  atoi: define("string", ([text]) => int(atoi(text))),
  add: define(
    "any...",
    (values) =>
      values.reduce<number | bigint>((sum, value) => arithmetic(sum, toInt64(value), ADD), 0),
  ),
  add1: define("any", ([value]) => arithmetic(toInt64(value), 1, ADD)),
  sub: define("any any", ([a, b]) => arithmetic(toInt64(a), toInt64(b), SUB)),
  mul: define("any any...", ([first, ...values]) =>
    values.reduce<number | bigint>(
      (product, value) => arithmetic(product, toInt64(value), MUL),
      toInt64(first),
    )),
  div: define("any any", ([a, b]) => divide(a, b, DIV)),
  mod: define("any any", ([a, b]) => divide(a, b, MOD)),
  max: define("any any...", (values) => extreme(values, (a, b) => a > b)),
  min: define("any any...", (values) => extreme(values, (a, b) => a < b)),
  floor: define("any", ([value]) => float(Math.floor(toFloat64(value)))),
  ceil: define("any", ([value]) => float(Math.ceil(toFloat64(value)))),
  round: define("any int float64...", (values) => {
    const [value, places, on] = values as [GoValue, number, number | undefined];
    return float(round(toFloat64(value), places, on ?? 0.5));
  }),
  until: define(
    "int",
    ([count], { budget }) => intList(steps({ from: 0, to: count, by: count < 0 ? -1 : 1 }, budget)),
  ),
  untilStep: define(
    "int int int",
    ([from, to, by], { budget }) => intList(steps({ from, to, by }, budget)),
  ),
  seq: define("int...", (params, { budget }) => steps(sequence(params), budget).join(" ")),
};

function divide(a: GoValue, b: GoValue, operation: typeof DIV): number | bigint {
  const divisor = toInt64(b);
  if (Number(divisor) === 0) throw new CallError("runtime error: integer divide by zero");
  return arithmetic(toInt64(a), divisor, operation);
}

function extreme(
  values: readonly GoValue[],
  isBetter: (a: number | bigint, b: number | bigint) => boolean,
): number | bigint {
  return values.map(toInt64).reduce((best, value) => isBetter(value, best) ? value : best);
}

/** What is out of range becomes the nearest that is not; what is no number is 0. */
function atoi(text: string): number | bigint {
  const value = parseInt64(text, 10);
  if (typeof value === "bigint") return int64(value);
  if (value === "syntax") return 0;
  return text.startsWith("-") ? MIN_INT64 : MAX_INT64;
}

/** Halves go up for positive numbers; the remainder of negative ones is never above `on`. */
function round(value: number, places: number, on: number): number {
  const power = places >= 0 && places <= 308 ? Number(`1e${places}`) : 10 ** places;
  const digits = power * value;
  const rest = digits - Math.trunc(digits);
  return (rest >= on ? Math.ceil(digits) : Math.floor(digits)) / power;
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly by: number;
}

/** `to` is not part of it; empty when `by` leads away from it. */
function steps({ from, to, by }: Range, budget: Budget): number[] {
  const numbers: number[] = [];
  if (to < from ? by >= 0 : by <= 0) return numbers;
  budget.memory(Math.ceil(Math.abs(to - from) / Math.abs(by)) * 8);
  for (let i = from; by > 0 ? i < to : i > to; i += by) numbers.push(i);
  return numbers;
}

function sequence(params: readonly number[]): Range {
  const [first = 0, second = 0, third = 0] = params;
  if (params.length === 1) {
    const by = first < 1 ? -1 : 1;
    return { from: 1, to: first + by, by };
  }
  if (params.length === 2) {
    const by = second < first ? -1 : 1;
    return { from: first, to: second + by, by };
  }
  const nothing = { from: 0, to: 0, by: 1 };
  if (params.length !== 3 || (third < first && second > 0)) return nothing;
  return { from: first, to: third + (third < first ? -1 : 1), by: second };
}

function intList(numbers: number[]): Slice {
  return new Slice("int", numbers.map((number) => int(number)));
}
