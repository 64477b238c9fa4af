/** Numeric constants: which kinds of number a literal is. */
import type { NumberNode } from "./node.ts";
import { MAX_INT64, MIN_INT64, parseFloat64, parseInt64, parseUint } from "./number_text.ts";
import { quote, SyntaxFault, unquoteChar } from "./quote.ts";
import type { TokenType } from "./lexer.ts";

type Parts = Pick<NumberNode, "int" | "isUint" | "float" | "complex">;

/** Throws SyntaxFault with Go's message. */
export function numberNode(pos: number, text: string, type: TokenType): NumberNode {
  return { type: "number", pos, text, ...numberParts(text, type) };
}

function numberParts(text: string, type: TokenType): Parts {
  if (type === "charConstant") return charParts(text);
  if (type === "complex") return complexParts(complexPair(text));
  if (text.endsWith("i")) {
    const imag = parseFloat64(text.slice(0, -1));
    if (typeof imag === "number") return complexParts({ real: 0, imag });
  }
  const unsigned = parseUint(text, 0);
  const signed = parseInt64(text, 0);
  const isUint = typeof unsigned === "bigint" || signed === 0n;
  const whole = typeof signed === "bigint" ? signed : undefined;
  if (whole !== undefined || typeof unsigned === "bigint") {
    const float = Number(whole ?? unsigned);
    return { int: whole, isUint, float, complex: undefined };
  }
  const float = parseFloat64(text);
  if (typeof float !== "number") throw new SyntaxFault(`illegal number syntax: ${quote(text)}`);
  // What reads as a float but looks like an integer is an integer too large for one.
  if (!/[.eEpP]/.test(text)) throw new SyntaxFault(`integer overflow: ${quote(text)}`);
  return { int: wholeOf(float), isUint: false, float, complex: undefined };
}

/** The integer that a float is, if it is one. */
function wholeOf(float: number): bigint | undefined {
  if (!Number.isInteger(float)) return undefined;
  const whole = BigInt(float);
  return whole > MAX_INT64 || whole < MIN_INT64 ? undefined : whole;
}

function charParts(text: string): Parts {
  const [char, next] = unquoteChar(text, 1, "'");
  if (text.slice(next) !== "'") {
    throw new SyntaxFault(`malformed character constant: ${text}`);
  }
  const code = char.codePointAt(0) ?? 0;
  // '\xff' is the number 255: not a byte of text here.
  const value = char.length === 1 && code >= 0xdc80 && code <= 0xdcff ? code - 0xdc00 : code;
  return { int: BigInt(value), isUint: true, float: value, complex: undefined };
}

function complexParts(complex: { real: number; imag: number }): Parts {
  const float = complex.imag === 0 ? complex.real : undefined;
  const whole = float === undefined ? undefined : wholeOf(float);
  return { int: whole, isUint: false, float, complex };
}

const REAL =
  /^[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|[0-9_]*(?:\.[0-9_]*)?(?:[eEpP][+-]?[0-9_]*)?)/;

function complexPair(text: string): { real: number; imag: number } {
  const first = REAL.exec(text)?.[0] ?? "";
  const sign = text.charAt(first.length);
  const second = REAL.exec(text.slice(first.length + 1))?.[0] ?? "";
  const end = text.charAt(first.length + 1 + second.length);
  // Go's scanner takes an i without digits for the beginning of "inf".
  if ((sign !== "+" && sign !== "-") || second === "" || end !== "i") {
    throw new SyntaxFault("syntax error scanning complex number");
  }
  return { real: scanFloat(first), imag: scanFloat(sign + second) };
}

/** Go's scanner also reads a decimal mantissa with a binary exponent: 3p2 is 12. */
function scanFloat(text: string): number {
  const split = /[xX]/.test(text) ? -1 : text.indexOf("p");
  const mantissa = parseFloat64(split < 0 ? text : text.slice(0, split));
  if (typeof mantissa === "string") throw scanFault("ParseFloat", text, mantissa);
  if (split < 0) return mantissa;
  const exponent = parseInt64(text.slice(split + 1), 10);
  if (typeof exponent === "string") throw scanFault("Atoi", text, exponent);
  return mantissa * 2 ** Number(exponent);
}

function scanFault(name: string, text: string, fault: "syntax" | "range"): SyntaxFault {
  const reason = fault === "syntax" ? "invalid syntax" : "value out of range";
  return new SyntaxFault(`strconv.${name}: parsing ${quote(text)}: ${reason}`);
}
