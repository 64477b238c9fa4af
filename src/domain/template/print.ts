/** Go's fmt.Sprint, Sprintln and Sprintf over template values. */
import { type Budget, checkValueDepth } from "./errors.ts";
import { Flags, formatFloat64, formatInt, formatString, pad } from "./format.ts";
import { Version } from "./semver.ts";
import { joined, sortStrings } from "./utf8.ts";
import {
  Boxed,
  Complex,
  entriesOf,
  floatOf,
  type GoList,
  type GoMap,
  type GoValue,
  intOf,
  isIntKind,
  isNil,
  isUintKind,
  itemsOf,
  kindOf,
  typeName,
} from "./value.ts";

/** fmt.Sprint: a blank between two operands when neither is a string. */
export function sprint(values: readonly GoValue[], budget: Budget): string {
  const [only] = values;
  if (values.length === 1 && typeof only === "string") return only;
  return joined(new Printer(budget).print(values));
}

export function sprintln(values: readonly GoValue[], budget: Budget): string {
  return joined(new Printer(budget).println(values));
}

export function sprintf(format: string, values: readonly GoValue[], budget: Budget): string {
  return joined(new Printer(budget).printf(format, values));
}

/** Go's limit for widths and precisions. */
const NUMBER_MAX = 1_000_000;

class Printer {
  #out = "";
  readonly #budget: Budget;
  #flags = new Flags();
  #reordered = false;
  #goodIndex = true;
  #erroring = false;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  print(values: readonly GoValue[]): string {
    let wasString = false;
    values.forEach((value, i) => {
      const isString = typeof value === "string";
      if (i > 0 && !isString && !wasString) this.#out += " ";
      this.#argument(value, "v");
      wasString = isString;
    });
    return this.#out;
  }

  println(values: readonly GoValue[]): string {
    values.forEach((value, i) => {
      if (i > 0) this.#out += " ";
      this.#argument(value, "v");
    });
    return `${this.#out}\n`;
  }

  printf(format: string, values: readonly GoValue[]): string {
    let used = 0;
    let at = 0;
    while (at < format.length) {
      this.#goodIndex = true;
      const percent = format.indexOf("%", at);
      if (percent < 0) {
        this.#write(format.slice(at));
        break;
      }
      this.#write(format.slice(at, percent));
      [at, used] = this.#directive(format, percent + 1, { values, used });
    }
    if (!this.#reordered && used < values.length) this.#extra(values.slice(used));
    return this.#out;
  }

  #write(text: string): void {
    this.#budget.memory(text.length);
    this.#out += text;
  }

  #extra(values: readonly GoValue[]): void {
    this.#flags = new Flags();
    this.#write("%!(EXTRA ");
    values.forEach((value, i) => {
      if (i > 0) this.#write(", ");
      if (value === null || value === undefined) this.#write("<nil>");
      else {
        this.#write(`${typeName(value)}=`);
        this.#argument(value, "v");
      }
    });
    this.#write(")");
  }

  /** What follows a %; returns where the format goes on and how many operands are used. */
  #directive(
    format: string,
    from: number,
    { values, used }: { values: readonly GoValue[]; used: number },
  ): [number, number] {
    this.#flags = new Flags();
    let at = this.#readFlags(format, from);
    const simple = format.charAt(at);
    if (simple >= "a" && simple <= "z" && used < values.length) {
      this.#operand(values[used], simple);
      return [at + 1, used + 1];
    }
    let indexed: boolean;
    [used, at, indexed] = this.#index(format, at, { values, used });
    [used, at, indexed] = this.#width(format, at, { values, used, indexed });
    if (at + 1 < format.length && format[at] === ".") {
      [used, at, indexed] = this.#precision(format, at + 1, { values, used, indexed });
    }
    if (!indexed) [used, at, indexed] = this.#index(format, at, { values, used });
    if (at >= format.length) {
      this.#write("%!(NOVERB)");
      return [at, used];
    }
    const verb = String.fromCodePoint(format.codePointAt(at) ?? 0);
    at += verb.length;
    if (verb === "%") this.#write("%");
    else if (!this.#goodIndex) this.#write(`%!${verb}(BADINDEX)`);
    else if (used >= values.length) this.#write(`%!${verb}(MISSING)`);
    else this.#operand(values[used++], verb);
    return [at, used];
  }

  #operand(value: GoValue, verb: string): void {
    if (verb === "v" || verb === "w") {
      this.#flags.sharpV = this.#flags.sharp;
      this.#flags.plusV = this.#flags.plus;
      this.#flags.sharp = this.#flags.plus = false;
    }
    this.#argument(value, verb);
  }

  #readFlags(format: string, at: number): number {
    for (; at < format.length; at++) {
      switch (format[at]) {
        case "#":
          this.#flags.sharp = true;
          break;
        case "0":
          this.#flags.zero = true;
          break;
        case "+":
          this.#flags.plus = true;
          break;
        case "-":
          this.#flags.minus = true;
          break;
        case " ":
          this.#flags.space = true;
          break;
        default:
          return at;
      }
    }
    return at;
  }

  /** `[n]`: the operand to use next. */
  #index(
    format: string,
    at: number,
    { values, used }: { values: readonly GoValue[]; used: number },
  ): [number, number, boolean] {
    if (format[at] !== "[") return [used, at, false];
    this.#reordered = true;
    const close = format.length - at < 3 ? -1 : format.indexOf("]", at + 1);
    if (close < 0) {
      this.#goodIndex = false;
      return [used, at + 1, false];
    }
    const [number, next] = readNumber(format, at + 1, close);
    const good = number !== undefined && next === close;
    if (good && number >= 1 && number <= values.length) return [number - 1, close + 1, true];
    this.#goodIndex = false;
    return [used, close + 1, good];
  }

  #width(format: string, at: number, { values, used, indexed }: {
    values: readonly GoValue[];
    used: number;
    indexed: boolean;
  }): [number, number, boolean] {
    if (format[at] !== "*") {
      const [width, next] = readNumber(format, at, format.length);
      this.#flags.width = width;
      if (indexed && width !== undefined) this.#goodIndex = false;
      return [used, next, indexed];
    }
    let width = numberOf(values, used);
    if (width === undefined) this.#write("%!(BADWIDTH)");
    else if (width < 0) {
      width = -width;
      this.#flags.minus = true;
      this.#flags.zero = false;
    }
    this.#flags.width = width;
    return [used < values.length ? used + 1 : used, at + 1, false];
  }

  #precision(format: string, at: number, { values, used, indexed }: {
    values: readonly GoValue[];
    used: number;
    indexed: boolean;
  }): [number, number, boolean] {
    if (indexed) this.#goodIndex = false;
    [used, at, indexed] = this.#index(format, at, { values, used });
    if (format[at] !== "*") {
      const [precision, next] = readNumber(format, at, format.length);
      this.#flags.precision = precision ?? 0;
      return [used, next, indexed];
    }
    const precision = numberOf(values, used);
    if (precision === undefined || precision < 0) this.#write("%!(BADPREC)");
    else this.#flags.precision = precision;
    return [used < values.length ? used + 1 : used, at + 1, false];
  }

  #argument(value: GoValue, verb: string): void {
    if (typeof value === "string" && verb === "v" && this.#flags.width === undefined) {
      if (this.#flags.precision === undefined && !this.#flags.sharpV) return this.#write(value);
    }
    if (value === null || value === undefined) {
      if (verb === "v" || verb === "T") this.#write(pad(this.#flags, "<nil>"));
      else this.#write(`%!${verb}(<nil>)`);
    } else if (verb === "T") this.#write(formatString(this.#flags, typeName(value), "s") ?? "");
    else this.#value(value, verb, 0);
  }

  #value(value: GoValue, verb: string, depth: number): void {
    checkValueDepth(depth);
    const { width = 0, precision = 0 } = this.#flags;
    this.#budget.steps(1);
    this.#budget.memory(width + precision);
    const basic = this.#basic(value, verb);
    if (basic !== undefined) return this.#write(basic);
    // %w is for errors alone, of which there are none.
    if (verb === "w") return this.#badVerb(value, verb);
    if (value === null) return this.#write(this.#flags.sharpV ? "interface {}(nil)" : "<nil>");
    const items = itemsOf(value);
    // %p would print an address: never the same twice.
    if (items !== undefined && verb !== "p") return this.#list(items, { value, verb, depth });
    const entries = entriesOf(value);
    if (entries !== undefined && verb !== "p") return this.#map(entries, { value, verb, depth });
    if (value instanceof Version && verb !== "p") return this.#version(value, verb, depth);
    this.#badVerb(value, verb);
  }

  #basic(value: GoValue, verb: string): string | undefined {
    const flags = this.#flags;
    if (typeof value === "string") return formatString(flags, value, verb);
    if (typeof value === "boolean") {
      return verb === "v" || verb === "t" ? pad(flags, String(value)) : undefined;
    }
    if (value instanceof Version) {
      const plain = !this.#erroring && !flags.sharpV && "vsxXq".includes(verb);
      return plain ? formatString(flags, value.toString(), verb) : undefined;
    }
    if (value instanceof Complex) {
      const { plus } = flags;
      const real = formatFloat64(flags, value.real, verb);
      flags.plus = true;
      const imag = formatFloat64(flags, value.imag, verb);
      flags.plus = plus;
      return real === undefined || imag === undefined ? undefined : `(${real}${imag}i)`;
    }
    if (typeof value !== "number" && typeof value !== "bigint" && !(value instanceof Boxed)) {
      return undefined;
    }
    const kind = kindOf(value);
    if (kind === "float64") return formatFloat64(flags, floatOf(value), verb);
    if (isIntKind(kind)) return formatInt(flags, intOf(value), { verb, signed: true });
    if (isUintKind(kind)) return formatInt(flags, intOf(value), { verb, signed: false });
    return undefined;
  }

  #badVerb(value: GoValue, verb: string): void {
    this.#write(`%!${verb}(${typeName(value)}=`);
    this.#erroring = true;
    this.#value(value, "v", 0);
    this.#erroring = false;
    this.#write(")");
  }

  #list(
    items: GoList,
    { value, verb, depth }: { value: GoValue; verb: string; depth: number },
  ): void {
    const { sharpV } = this.#flags;
    if (sharpV && isNil(value)) return this.#write(`${typeName(value)}(nil)`);
    this.#write(sharpV ? `${typeName(value)}{` : "[");
    items.forEach((item, i) => {
      if (i > 0) this.#write(sharpV ? ", " : " ");
      this.#value(item ?? null, verb, depth + 1);
    });
    this.#write(sharpV ? "}" : "]");
  }

  #map(
    entries: GoMap,
    { value, verb, depth }: { value: GoValue; verb: string; depth: number },
  ): void {
    const { sharpV } = this.#flags;
    if (sharpV && isNil(value)) return this.#write(`${typeName(value)}(nil)`);
    this.#write(sharpV ? `${typeName(value)}{` : "map[");
    sortStrings(Object.keys(entries)).forEach((key, i) => {
      if (i > 0) this.#write(sharpV ? ", " : " ");
      this.#value(key, verb, depth + 1);
      this.#write(":");
      this.#value(entries[key] ?? null, verb, depth + 1);
    });
    this.#write(sharpV ? "}" : "]");
  }

  /** Verbs that do not ask for its text see the struct. */
  #version(version: Version, verb: string, depth: number): void {
    const { sharpV, plusV } = this.#flags;
    const pointer = version.isPointer && depth === 0 ? "&" : "";
    this.#write(pointer + (sharpV ? "semver.Version{" : "{"));
    Object.entries(version.fields()).forEach(([name, field], i) => {
      if (i > 0) this.#write(sharpV ? ", " : " ");
      if (sharpV || plusV) this.#write(`${name}:`);
      this.#value(field, verb, depth + 1);
    });
    this.#write("}");
  }
}

function readNumber(format: string, from: number, end: number): [number | undefined, number] {
  let number: number | undefined;
  let at = from;
  for (; at < end; at++) {
    const digit = format.charCodeAt(at) - 0x30;
    if (!(digit >= 0 && digit <= 9)) break;
    if ((number ?? 0) > NUMBER_MAX) return [undefined, end];
    number = (number ?? 0) * 10 + digit;
  }
  return [number, at];
}

function numberOf(values: readonly GoValue[], at: number): number | undefined {
  const value = values[at];
  const kind = kindOf(value);
  if (!isIntKind(kind) && !isUintKind(kind)) return undefined;
  const number = Number(intOf(value));
  return Math.abs(number) > NUMBER_MAX ? undefined : number;
}
