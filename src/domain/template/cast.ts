/** How sprig's arithmetic reads its operands: anything becomes a number, what cannot is 0. */
import { MIN_INT64, parseFloat64, parseInt64 } from "./number_text.ts";
import { floatOf, type GoValue, int64, intOf, kindOf } from "./value.ts";

export function toInt64(value: GoValue): number | bigint {
  switch (kindOf(value)) {
    case "int":
    case "int64":
    case "uint8":
      return intOf(value);
    case "uint64":
      return int64(BigInt(intOf(value)));
    case "float64":
      return truncate(floatOf(value));
    case "bool":
      return value === true ? 1 : 0;
    case "string": {
      const whole = parseInt64(withoutZeroDecimals(value as string), 0);
      return typeof whole === "bigint" ? int64(whole) : 0;
    }
    default:
      return 0;
  }
}

/** Go's conversion on amd64: what does not fit is the smallest integer. */
function truncate(value: number): number | bigint {
  const whole = Math.trunc(value) + 0;
  if (Number.isSafeInteger(whole)) return whole;
  const fits = whole < 9223372036854775808 && whole >= -9223372036854775808;
  return fits ? int64(BigInt(whole)) : MIN_INT64;
}

function withoutZeroDecimals(text: string): string {
  return text.replace(/\.0+$/, "");
}

export function toFloat64(value: GoValue): number {
  switch (kindOf(value)) {
    case "int":
    case "int64":
    case "uint8":
    case "uint64":
      return Number(intOf(value));
    case "float64":
      return floatOf(value);
    case "bool":
      return value === true ? 1 : 0;
    case "string": {
      const number = parseFloat64(value as string);
      return typeof number === "number" ? number : 0;
    }
    default:
      return 0;
  }
}

/** `operate` on numbers while everything is exact, on bigints with Go's overflow otherwise. */
export function arithmetic(
  a: number | bigint,
  b: number | bigint,
  operate: { exact: (a: number, b: number) => number; wide: (a: bigint, b: bigint) => bigint },
): number | bigint {
  if (typeof a === "number" && typeof b === "number") {
    const result = operate.exact(a, b);
    if (Number.isSafeInteger(result)) return result + 0;
  }
  return int64(operate.wide(BigInt(a), BigInt(b)));
}

export const ADD = {
  exact: (a: number, b: number) => a + b,
  wide: (a: bigint, b: bigint) => a + b,
};
export const SUB = {
  exact: (a: number, b: number) => a - b,
  wide: (a: bigint, b: bigint) => a - b,
};
export const MUL = {
  exact: (a: number, b: number) => a * b,
  wide: (a: bigint, b: bigint) => a * b,
};
/** Not for b = 0. */
export const DIV = {
  exact: (a: number, b: number) => (a - a % b) / b,
  wide: (a: bigint, b: bigint) => a / b,
};
export const MOD = {
  exact: (a: number, b: number) => a % b,
  wide: (a: bigint, b: bigint) => a % b,
};
