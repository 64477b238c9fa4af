/** Reads the format of Go's fmt.Sprintf: flags, width, precision, operand and verb of each directive. */
import { Flags } from "./format.ts";
import { type GoValue, intOf, isIntKind, isUintKind, kindOf } from "./value.ts";

/** Text to write first (plain text, complaints), then the operand by its verb, if there is one. */
export type Directive =
  | {
    readonly before: string;
    readonly flags: Flags;
    readonly operand: GoValue;
    readonly verb: string;
  }
  | { readonly before: string; readonly flags: Flags };

/** Go's limit for widths and precisions. */
const NUMBER_MAX = 1_000_000;

export class DirectiveReader {
  readonly #format: string;
  readonly #values: readonly GoValue[];
  #at = 0;
  #used = 0;
  #reordered = false;
  /** Of the current directive. */
  #flags = new Flags();
  #before = "";
  #goodIndex = true;
  #indexed = false;

  constructor(format: string, values: readonly GoValue[]) {
    this.#format = format;
    this.#values = values;
  }

  /** Operands that no directive took, which Go complains of when they were taken in their order. */
  get unused(): readonly GoValue[] {
    return this.#reordered ? [] : this.#values.slice(this.#used);
  }

  next(): Directive | undefined {
    if (this.#at >= this.#format.length) return undefined;
    const percent = this.#format.indexOf("%", this.#at);
    const end = percent < 0 ? this.#format.length : percent;
    this.#before = this.#format.slice(this.#at, end);
    this.#flags = new Flags();
    this.#goodIndex = true;
    this.#indexed = false;
    this.#at = end + 1;
    return percent < 0 ? this.#plain() : this.#directive();
  }

  #plain(complaint = ""): Directive {
    return { before: this.#before + complaint, flags: this.#flags };
  }

  #directive(): Directive {
    this.#readFlags();
    const simple = this.#format.charAt(this.#at);
    if (simple >= "a" && simple <= "z" && this.#used < this.#values.length) {
      this.#at++;
      return this.#operand(simple);
    }
    this.#index();
    this.#width();
    if (this.#at + 1 < this.#format.length && this.#format[this.#at] === ".") this.#precision();
    if (!this.#indexed) this.#index();
    if (this.#at >= this.#format.length) return this.#plain("%!(NOVERB)");
    const verb = String.fromCodePoint(this.#format.codePointAt(this.#at) ?? 0);
    this.#at += verb.length;
    if (verb === "%") return this.#plain("%");
    if (!this.#goodIndex) return this.#plain(`%!${verb}(BADINDEX)`);
    if (this.#used >= this.#values.length) return this.#plain(`%!${verb}(MISSING)`);
    return this.#operand(verb);
  }

  #operand(verb: string): Directive {
    const flags = this.#flags;
    if (verb === "v" || verb === "w") {
      flags.sharpV = flags.sharp;
      flags.plusV = flags.plus;
      flags.sharp = flags.plus = false;
    }
    return { before: this.#before, flags, operand: this.#values[this.#used++], verb };
  }

  #readFlags(): void {
    for (; this.#at < this.#format.length; this.#at++) {
      const name = FLAGS.get(this.#format.charAt(this.#at));
      if (name === undefined) return;
      this.#flags[name] = true;
    }
  }

  /** `[n]`: the operand to use next. */
  #index(): void {
    const from = this.#at;
    this.#indexed = false;
    if (this.#format[from] !== "[") return;
    this.#reordered = true;
    const close = this.#format.length - from < 3 ? -1 : this.#format.indexOf("]", from + 1);
    if (close < 0) {
      this.#goodIndex = false;
      this.#at++;
      return;
    }
    this.#at++;
    const number = this.#number(close);
    this.#indexed = number !== undefined && this.#at === close;
    this.#at = close + 1;
    const fits = number !== undefined && number >= 1 && number <= this.#values.length;
    if (this.#indexed && fits) this.#used = number - 1;
    else this.#goodIndex = false;
  }

  #width(): void {
    if (this.#format[this.#at] !== "*") {
      this.#flags.width = this.#number(this.#format.length);
      if (this.#indexed && this.#flags.width !== undefined) this.#goodIndex = false;
      return;
    }
    this.#at++;
    const width = this.#numberOperand();
    if (width === undefined) this.#before += "%!(BADWIDTH)";
    else {
      this.#flags.width = Math.abs(width);
      if (width < 0) {
        this.#flags.minus = true;
        this.#flags.zero = false;
      }
    }
    this.#indexed = false;
  }

  #precision(): void {
    this.#at++;
    if (this.#indexed) this.#goodIndex = false;
    this.#index();
    if (this.#format[this.#at] !== "*") {
      this.#flags.precision = this.#number(this.#format.length) ?? 0;
      return;
    }
    this.#at++;
    const precision = this.#numberOperand();
    if (precision === undefined || precision < 0) this.#before += "%!(BADPREC)";
    else this.#flags.precision = precision;
    this.#indexed = false;
  }

  /** Digits up to `end`; a number too large takes all of the rest with it. */
  #number(end: number): number | undefined {
    let number: number | undefined;
    for (; this.#at < end; this.#at++) {
      const digit = this.#format.charCodeAt(this.#at) - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      if ((number ?? 0) > NUMBER_MAX) {
        this.#at = end;
        return undefined;
      }
      number = (number ?? 0) * 10 + digit;
    }
    return number;
  }

  /** The next operand as a width or precision. */
  #numberOperand(): number | undefined {
    if (this.#used >= this.#values.length) return undefined;
    const value = this.#values[this.#used++];
    const kind = kindOf(value);
    if (!isIntKind(kind) && !isUintKind(kind)) return undefined;
    const number = Number(intOf(value));
    return Math.abs(number) > NUMBER_MAX ? undefined : number;
  }
}

const FLAGS = new Map<string, "sharp" | "zero" | "plus" | "minus" | "space">([
  ["#", "sharp"],
  ["0", "zero"],
  ["+", "plus"],
  ["-", "minus"],
  [" ", "space"],
]);
