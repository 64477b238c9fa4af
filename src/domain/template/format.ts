/** One formatted operand: flags, padding, and the verbs for each basic type. Go's fmt/format.go. */
import { type FloatVerb, formatFloat } from "./float_format.ts";
import { canBackquote, hex, quote, quoteRune, quoteToAscii } from "./quote.ts";
import { isPrint } from "./unicode.ts";
import { runeCount, toBytes } from "./utf8.ts";

/** What stands between % and the verb. */
export class Flags {
  minus = false;
  plus = false;
  sharp = false;
  space = false;
  zero = false;
  /** %+v and %#v: the flags mean something else then. */
  plusV = false;
  sharpV = false;
  width: number | undefined;
  precision: number | undefined;
}

export function pad(flags: Flags, text: string): string {
  if (flags.width === undefined || flags.width === 0) return text;
  const missing = flags.width - runeCount(text);
  if (missing <= 0) return text;
  if (flags.minus) return text + " ".repeat(missing);
  return (flags.zero ? "0" : " ").repeat(missing) + text;
}

function padBlank(flags: Flags, text: string): string {
  const { zero } = flags;
  flags.zero = false;
  const padded = pad(flags, text);
  flags.zero = zero;
  return padded;
}

const BASES: Readonly<Record<string, number>> = { b: 2, o: 8, O: 8, x: 16, X: 16, d: 10, v: 10 };

/** Undefined when integers do not know the verb. */
export function formatInt(
  flags: Flags,
  value: number | bigint,
  { verb, signed }: { verb: string; signed: boolean },
): string | undefined {
  if (verb === "c") return pad(flags, runeOf(value));
  if (verb === "q") return pad(flags, quoteRune(runeOf(value), flags.plus));
  if (verb === "U") return padBlank(flags, unicodePoint(flags, value));
  const base = BASES[verb];
  if (base === undefined) return undefined;
  if (verb === "v" && flags.sharpV && !signed) {
    return radix({ ...flags, sharp: true }, value, { base: 16, verb });
  }
  return radix(flags, value, { base, verb });
}

function radix(flags: Flags, value: number | bigint, { base, verb }: {
  base: number;
  verb: string;
}): string {
  const negative = value < 0;
  let digits = (negative ? -value : value).toString(base);
  if (verb === "X") digits = digits.toUpperCase();
  let least = 0;
  if (flags.precision !== undefined) {
    least = flags.precision;
    if (least === 0 && digits === "0") return " ".repeat(flags.width ?? 0);
  } else if (flags.zero && !flags.minus && flags.width !== undefined) {
    least = flags.width - (negative || flags.plus || flags.space ? 1 : 0);
  }
  digits = digits.padStart(least, "0");
  if (flags.sharp) {
    if (base === 2) digits = `0b${digits}`;
    else if (base === 8 && !digits.startsWith("0")) digits = `0${digits}`;
    else if (base === 16) digits = (verb === "X" ? "0X" : "0x") + digits;
  }
  if (verb === "O") digits = `0o${digits}`;
  const sign = negative ? "-" : flags.plus ? "+" : flags.space ? " " : "";
  return padBlank(flags, sign + digits);
}

function runeOf(value: number | bigint): string {
  const code = Number(value);
  const fine = code >= 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return fine ? String.fromCodePoint(code) : "\ufffd";
}

function unicodePoint(flags: Flags, value: number | bigint): string {
  const code = value < 0 ? BigInt.asUintN(64, BigInt(value)) : value;
  const least = Math.max(flags.precision ?? 4, 4);
  const text = `U+${code.toString(16).toUpperCase().padStart(least, "0")}`;
  if (!flags.sharp || code > 0x10ffff) return text;
  const char = runeOf(code);
  return char !== "\ufffd" && isPrint(char) ? `${text} '${char}'` : text;
}

/** Undefined when strings do not know the verb. */
export function formatString(flags: Flags, value: string, verb: string): string | undefined {
  switch (verb) {
    case "v":
      return flags.sharpV ? quoted(flags, value) : pad(flags, truncated(flags, value));
    case "s":
      return pad(flags, truncated(flags, value));
    case "q":
      return quoted(flags, value);
    case "x":
    case "X":
      return hexString(flags, value, verb);
  }
  return undefined;
}

/** The precision of strings counts characters. */
function truncated(flags: Flags, value: string): string {
  const most = flags.precision;
  if (most === undefined || value.length <= most) return value;
  let end = 0;
  for (let count = 0; count < most && end < value.length; count++) {
    end += (value.codePointAt(end) ?? 0) > 0xffff ? 2 : 1;
  }
  return value.slice(0, end);
}

function quoted(flags: Flags, value: string): string {
  const text = truncated(flags, value);
  if (flags.sharp && canBackquote(text)) return pad(flags, `\`${text}\``);
  return pad(flags, flags.plus ? quoteToAscii(text) : quote(text));
}

function hexString(flags: Flags, value: string, verb: string): string {
  const all = toBytes(value);
  const bytes = flags.precision === undefined ? all : all.subarray(0, flags.precision);
  if (bytes.length === 0) return pad(flags, "");
  const prefix = flags.sharp ? "0x" : "";
  const digits = Array.from(bytes, (byte) => hex(byte, 2));
  const text = flags.space ? prefix + digits.join(` ${prefix}`) : prefix + digits.join("");
  return pad(flags, verb === "X" ? text.toUpperCase() : text);
}

const DEFAULT_PRECISION: Readonly<Record<string, number>> = {
  v: -1,
  b: -1,
  g: -1,
  G: -1,
  x: -1,
  X: -1,
  f: 6,
  F: 6,
  e: 6,
  E: 6,
};

/** Undefined when floats do not know the verb. */
export function formatFloat64(flags: Flags, value: number, verb: string): string | undefined {
  const usual = DEFAULT_PRECISION[verb];
  if (usual === undefined) return undefined;
  const format = (verb === "v" ? "g" : verb === "F" ? "f" : verb) as FloatVerb;
  const precision = flags.precision ?? usual;
  let text = formatFloat(value, format, precision);
  if (!/^[-+]/.test(text)) text = `+${text}`;
  if (flags.space && text.startsWith("+") && !flags.plus) text = ` ${text.slice(1)}`;
  if (!Number.isFinite(value)) {
    const bare = Number.isNaN(value) && !flags.space && !flags.plus;
    return padBlank(flags, bare ? text.slice(1) : text);
  }
  if (flags.sharp && format !== "b") text = sharpFloat(text, format, precision);
  if (flags.plus || !text.startsWith("+")) {
    const missing = (flags.width ?? 0) - text.length;
    if (flags.zero && !flags.minus && missing > 0) {
      return text.charAt(0) + "0".repeat(missing) + text.slice(1);
    }
    return pad(flags, text);
  }
  return pad(flags, text.slice(1));
}

/** %#g and its kind: always a decimal point, and zeros up to the precision. */
function sharpFloat(text: string, verb: FloatVerb, precision: number): string {
  const counts = verb === "g" || verb === "G" || verb === "x";
  let digits = counts ? (precision === -1 ? 6 : precision) : 0;
  const isHex = verb === "x" || verb === "X";
  const split = text.search(isHex ? /[pP]/ : /[eE]/);
  const head = split < 0 ? text : text.slice(0, split);
  const tail = split < 0 ? "" : text.slice(split);
  let seen = false;
  for (const char of head.slice(1)) {
    if (char === ".") continue;
    if (char !== "0") seen = true;
    if (seen) digits--;
  }
  const point = head.includes(".") ? "" : ".";
  if (point !== "" && head.length === 2 && head[1] === "0") digits--;
  return head + point + "0".repeat(Math.max(digits, 0)) + tail;
}
