/** Go's strconv.ParseInt, ParseUint and ParseFloat. */

export type NumberFault = "syntax" | "range";

export const MAX_INT64 = 9223372036854775807n;
export const MIN_INT64 = -9223372036854775808n;
export const MAX_UINT64 = 18446744073709551615n;

const DIGITS: Readonly<Record<number, RegExp>> = {
  2: /^[01_]*$/,
  8: /^[0-7_]*$/,
  10: /^[0-9_]+$/,
  16: /^[0-9a-fA-F_]+$/,
};
const PREFIX: Readonly<Record<number, string>> = { 2: "0b", 8: "0o", 10: "", 16: "0x" };
/** Longer digit strings are out of range whatever they say; converting them would only cost time. */
const DIGITS_MAX = 400;

/** Base 0 takes the base from the prefix and allows `_` between digits; 10 does neither. */
export function parseUint(text: string, base: 0 | 10): bigint | NumberFault {
  let digits = text;
  let radix = 10;
  if (base === 0 && text.startsWith("0")) {
    const letter = text.length >= 3 ? text.charAt(1).toLowerCase() : "";
    radix = letter === "b" ? 2 : letter === "o" ? 8 : letter === "x" ? 16 : 8;
    digits = letter === "b" || letter === "o" || letter === "x" ? text.slice(2) : text.slice(1);
    if (text === "0") return 0n;
  }
  if (digits === "") return "syntax";
  if (DIGITS[radix]?.test(digits) !== true) {
    // What overflows before it goes wrong is out of range, as Go reads from left to right.
    const good = /^[0-9]*/.exec(digits)?.[0] ?? "";
    return radix === 10 && parseUint(good, 10) === "range" ? "range" : "syntax";
  }
  if (digits.includes("_")) {
    if (base !== 0 || !underscoresAreFine(text)) return "syntax";
    digits = digits.replaceAll("_", "");
  }
  digits = digits.replace(/^0+(?=.)/, "");
  if (digits.length > DIGITS_MAX) return "range";
  const value = BigInt(`${PREFIX[radix]}${digits === "" ? "0" : digits}`);
  return value > MAX_UINT64 ? "range" : value;
}

export function parseInt64(text: string, base: 0 | 10): bigint | NumberFault {
  const negative = text.startsWith("-");
  const unsigned = negative || text.startsWith("+") ? text.slice(1) : text;
  const value = parseUint(unsigned, base);
  if (typeof value === "string") return value;
  const signed = negative ? -value : value;
  return signed > MAX_INT64 || signed < MIN_INT64 ? "range" : signed;
}

/** `_` stands between digits, or between the base prefix and a digit. */
function underscoresAreFine(text: string): boolean {
  let rest = text.replace(/^[+-]/, "");
  let before = "";
  const prefix = /^0[bBoOxX]/.test(rest);
  const digit = /^0[xX]/.test(rest) ? /[0-9a-fA-F]/ : /[0-9]/;
  if (prefix) {
    rest = rest.slice(2);
    before = "0";
  }
  for (const char of rest) {
    if (digit.test(char)) before = "0";
    else if (char === "_") {
      if (before !== "0") return false;
      before = "_";
    } else {
      if (before === "_") return false;
      before = "!";
    }
  }
  return before !== "_";
}

const DECIMAL = /^[+-]?([0-9_]*)(?:\.([0-9_]*))?(?:[eE][+-]?[0-9][0-9_]*)?$/;
const HEX = /^([+-]?)0[xX]([0-9a-fA-F_]*)(?:\.([0-9a-fA-F_]*))?[pP]([+-]?[0-9][0-9_]*)$/;
const SPECIAL = /^([+-]?)(inf|infinity|nan)$/i;

export function parseFloat64(text: string): number | NumberFault {
  const special = SPECIAL.exec(text);
  if (special !== null) {
    if (special[2]?.toLowerCase() === "nan") return special[1] === "" ? NaN : "syntax";
    return special[1] === "-" ? -Infinity : Infinity;
  }
  if (text.includes("_") && !underscoresAreFine(text)) return "syntax";
  const hex = HEX.exec(text);
  const value = hex !== null ? hexFloat(hex) : decimalFloat(text);
  return typeof value === "number" && !Number.isFinite(value) ? "range" : value;
}

function decimalFloat(text: string): number | NumberFault {
  const parts = DECIMAL.exec(text);
  if (parts === null || !/[0-9]/.test(`${parts[1]}${parts[2] ?? ""}`)) return "syntax";
  return Number(text.replaceAll("_", ""));
}

function hexFloat(parts: RegExpExecArray): number | NumberFault {
  const whole = (parts[2] ?? "").replaceAll("_", "");
  const fraction = (parts[3] ?? "").replaceAll("_", "");
  const digits = whole + fraction;
  if (digits === "") return "syntax";
  let mantissa = BigInt(`0x${digits}`);
  let exponent = Number((parts[4] ?? "").replaceAll("_", "")) - 4 * fraction.length;
  const negative = parts[1] === "-";
  if (mantissa === 0n) return negative ? -0 : 0;
  if (exponent > 100_000) return "range";
  // Bits below the smallest float: dropped here, with one sticky bit so that rounding stays right.
  const lost = Math.min(-1100 - exponent, digits.length * 4);
  if (lost > 0) {
    const dropped = BigInt.asUintN(lost, mantissa);
    mantissa = (mantissa >> BigInt(lost)) | (dropped === 0n ? 0n : 1n);
    exponent += lost;
  }
  const value = exponent >= 0
    ? Number(mantissa << BigInt(Math.min(exponent, 2000)))
    : Number(mantissa) * 2 ** Math.max(exponent, -1074) * 2 ** Math.min(0, exponent + 1074);
  return negative ? -value : value;
}
