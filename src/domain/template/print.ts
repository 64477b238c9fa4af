/** Go's fmt.Sprint, Sprintln and Sprintf over template values. */
import { DirectiveReader } from "./directive.ts";
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

class Printer {
  #out = "";
  readonly #budget: Budget;
  #flags = new Flags();
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
    const reader = new DirectiveReader(format, values);
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      this.#write(next.before);
      this.#flags = next.flags;
      if ("operand" in next) this.#argument(next.operand, next.verb);
    }
    const extra = reader.unused;
    if (extra.length > 0) this.#extra(extra);
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
