/** Go's strconv.FormatFloat for float64. */

/** Decimal digits without leading zeros (none for zero) and where the point stands among them. */
interface Decimal {
  digits: string;
  point: number;
}

export type FloatVerb = "b" | "e" | "E" | "f" | "g" | "G" | "x" | "X";

/** `precision` -1: the fewest digits that read back as the same number. */
export function formatFloat(value: number, verb: FloatVerb, precision: number): string {
  if (Number.isNaN(value)) return "NaN";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const size = Math.abs(value);
  if (size === Infinity) return sign === "-" ? "-Inf" : "+Inf";
  if (verb === "b") return sign + binary(size);
  if (verb === "x" || verb === "X") {
    const text = hexadecimal(size, precision);
    return sign + (verb === "X" ? text.toUpperCase() : text);
  }
  const decimal = precision < 0 ? shortest(size) : rounded(size, verb, precision);
  if (verb === "f") return sign + fixed(decimal, places(decimal, precision));
  if (verb === "e" || verb === "E") {
    const digits = precision < 0 ? Math.max(decimal.digits.length - 1, 0) : precision;
    return sign + scientific(decimal, digits, verb);
  }
  return sign + general(decimal, precision, verb);
}

function places(decimal: Decimal, precision: number): number {
  return precision < 0 ? Math.max(decimal.digits.length - decimal.point, 0) : precision;
}

function general(decimal: Decimal, precision: number, verb: FloatVerb): string {
  let limit = precision === 0 ? 1 : precision;
  if (limit > decimal.digits.length && decimal.digits.length >= decimal.point) {
    limit = decimal.digits.length;
  }
  if (precision < 0) limit = 6;
  const exponent = decimal.point - 1;
  if (exponent < -4 || exponent >= limit) {
    const digits = precision < 0 || precision > decimal.digits.length
      ? decimal.digits.length
      : precision === 0
      ? 1
      : precision;
    return scientific(decimal, Math.max(digits - 1, 0), verb === "g" ? "e" : "E");
  }
  return fixed(decimal, Math.max(decimal.digits.length - decimal.point, 0));
}

function fixed({ digits, point }: Decimal, count: number): string {
  const whole = point > 0 ? digits.slice(0, point).padEnd(point, "0") : "0";
  if (count <= 0) return whole;
  const fraction = point >= 0 ? digits.slice(point) : "0".repeat(Math.min(-point, count)) + digits;
  return `${whole}.${fraction.slice(0, count).padEnd(count, "0")}`;
}

function scientific({ digits, point }: Decimal, count: number, letter: string): string {
  const exponent = digits === "" ? 0 : point - 1;
  const head = digits === "" ? "0" : digits.charAt(0);
  const tail = count > 0 ? `.${digits.slice(1, 1 + count).padEnd(count, "0")}` : "";
  const power = String(Math.abs(exponent)).padStart(2, "0");
  return `${head}${tail}${letter}${exponent < 0 ? "-" : "+"}${power}`;
}

function shortest(value: number): Decimal {
  if (value === 0) return { digits: "", point: 0 };
  const [mantissa = "", exponent = "0"] = value.toExponential().split("e");
  return { digits: mantissa.replace(".", ""), point: Number(exponent) + 1 };
}

/** The exact value, rounded half to even to what `verb` and `precision` ask for. */
function rounded(value: number, verb: FloatVerb, precision: number): Decimal {
  const exact = exactly(value);
  const count = verb === "f"
    ? exact.point + precision
    : verb === "e" || verb === "E"
    ? precision + 1
    : Math.max(precision, 1);
  const cut = roundTo(exact, count);
  return { digits: cut.digits.replace(/0+$/, ""), point: cut.digits === "" ? 0 : cut.point };
}

function roundTo({ digits, point }: Decimal, count: number): Decimal {
  if (count < 0) return { digits: "", point: 0 };
  if (count >= digits.length) return { digits, point };
  const next = digits.charCodeAt(count) - 0x30;
  const half = next === 5 && /^0*$/.test(digits.slice(count + 1));
  const odd = count > 0 && (digits.charCodeAt(count - 1) & 1) === 1;
  const kept = digits.slice(0, count);
  if (next < 5 || (half && !odd)) return { digits: kept, point };
  const up = (BigInt(`0${kept}`) + 1n).toString();
  return up.length > count ? { digits: up, point: point + 1 } : { digits: up, point };
}

function exactly(value: number): Decimal {
  if (value === 0) return { digits: "", point: 0 };
  const { mantissa, exponent } = parts(value);
  if (exponent >= 0) {
    const digits = (mantissa << BigInt(exponent)).toString();
    return { digits, point: digits.length };
  }
  const digits = (mantissa * 5n ** BigInt(-exponent)).toString();
  return { digits, point: digits.length + exponent };
}

/** value = mantissa * 2 ** exponent, as the bits say. */
function parts(value: number): { mantissa: bigint; exponent: number } {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const word = bits.getBigUint64(0);
  const power = Number((word >> 52n) & 0x7ffn);
  const fraction = word & 0xfffffffffffffn;
  if (power === 0) return { mantissa: fraction, exponent: -1074 };
  return { mantissa: fraction | (1n << 52n), exponent: power - 1075 };
}

function binary(value: number): string {
  const { mantissa, exponent } = parts(value);
  return `${mantissa}p${exponent < 0 ? "-" : "+"}${Math.abs(exponent)}`;
}

function hexadecimal(value: number, precision: number): string {
  let { mantissa, exponent } = parts(value);
  exponent = mantissa === 0n ? 0 : exponent + 52;
  while (mantissa !== 0n && mantissa < 1n << 52n) {
    mantissa <<= 1n;
    exponent--;
  }
  // 52 bits behind the point are 13 digits.
  if (precision >= 0 && precision < 13) {
    const drop = BigInt(52 - precision * 4);
    const rest = BigInt.asUintN(Number(drop), mantissa);
    const half = 1n << (drop - 1n);
    mantissa >>= drop;
    if (rest > half || (rest === half && (mantissa & 1n) === 1n)) mantissa++;
    mantissa <<= drop;
    if (mantissa >= 1n << 53n) {
      mantissa >>= 1n;
      exponent++;
    }
  }
  const digits = mantissa.toString(16).padStart(14, "0");
  const fraction = precision < 0
    ? digits.slice(1).replace(/0+$/, "")
    : digits.slice(1).padEnd(precision, "0").slice(0, precision);
  const power = String(Math.abs(exponent)).padStart(2, "0");
  const tail = fraction === "" ? "" : `.${fraction}`;
  return `0x${digits.charAt(0)}${tail}p${exponent < 0 ? "-" : "+"}${power}`;
}
