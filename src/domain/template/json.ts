/** JSON as Go's encoding/json reads and writes it. */
import { type Budget, checkValueDepth } from "./errors.ts";
import { parseInt64 } from "./number_text.ts";
import { Version } from "./semver.ts";
import { isLoneByte } from "./unicode.ts";
import { fromOutside, sortStrings } from "./utf8.ts";
import {
  entriesOf,
  Float,
  float,
  floatOf,
  type GoValue,
  intOf,
  isNil,
  itemsOf,
  kindOf,
  type MutableMap,
  narrow,
  newMap,
} from "./value.ts";

/** Thrown for what JSON cannot say (NaN, complex): Go's encoder fails then. */
export class UnencodableError extends Error {}

/** Compact, keys in order, `<`, `>` and `&` escaped. */
export function encodeJson(value: GoValue, budget: Budget, indent = ""): string {
  return new Encoder(budget, indent).value(value, 0);
}

class Encoder {
  readonly #budget: Budget;
  readonly #indent: string;

  constructor(budget: Budget, indent: string) {
    this.#budget = budget;
    this.#indent = indent;
  }

  value(value: GoValue, depth: number): string {
    checkValueDepth(depth);
    this.#budget.steps(1);
    this.#budget.memory(8);
    if (typeof value === "string") return this.#string(value);
    if (typeof value === "boolean") return String(value);
    if (isNil(value)) return "null";
    const items = itemsOf(value);
    if (items !== undefined) {
      return this.#join("[]", items.map((item) => this.value(item, depth + 1)), depth);
    }
    const entries = entriesOf(value);
    if (entries !== undefined) {
      const colon = this.#indent === "" ? ":" : ": ";
      const fields = sortStrings(Object.keys(entries)).map((key) =>
        this.#string(key) + colon + this.value(entries[key], depth + 1)
      );
      return this.#join("{}", fields, depth);
    }
    if (value instanceof Version) return this.#string(value.toString());
    const kind = kindOf(value);
    if (kind === "complex128") throw new UnencodableError();
    if (kind !== "float64") return String(intOf(value));
    const number = floatOf(value);
    if (!Number.isFinite(number)) throw new UnencodableError();
    return Object.is(number, -0) ? "-0" : String(number);
  }

  #join(brackets: string, parts: string[], depth: number): string {
    const open = brackets.charAt(0);
    const close = brackets.charAt(1);
    if (this.#indent === "" || parts.length === 0) return open + parts.join(",") + close;
    const outer = `\n${this.#indent.repeat(depth)}`;
    const inner = outer + this.#indent;
    this.#budget.memory(inner.length * parts.length);
    return open + inner + parts.join(`,${inner}`) + outer + close;
  }

  #string(text: string): string {
    this.#budget.memory(text.length);
    // JSON.stringify escapes the same control characters in the same way.
    return (text.isWellFormed() ? JSON.stringify(text) : escapeLoneBytes(text))
      .replace(
        /[<>&\u2028\u2029]/g,
        (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
      );
  }
}

function escapeLoneBytes(text: string): string {
  let out = "";
  for (const char of text) out += isLoneByte(char) ? "\\ufffd" : JSON.stringify(char).slice(1, -1);
  return `"${out}"`;
}

/** Thrown for text that is not JSON. */
export class JsonSyntaxError extends Error {}

/**
 * Reads JSON without losing what JavaScript's parser loses: in "data" whole numbers are int64 (up to
 * 64 bits) and others float64, 2.0 included; in "floats" all are float64, as Go's decoder has it.
 */
export function decodeJson(text: string, numbers: "data" | "floats", budget?: Budget): GoValue {
  return new Decoder(text, numbers, budget).document();
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const BLANK = /[ \t\r\n]*/y;
const WORDS: readonly [string, GoValue][] = [["null", null], ["true", true], ["false", false]];

class Decoder {
  readonly #text: string;
  readonly #numbers: "data" | "floats";
  readonly #budget: Budget | undefined;
  #at = 0;

  constructor(text: string, numbers: "data" | "floats", budget: Budget | undefined) {
    this.#text = text;
    this.#numbers = numbers;
    this.#budget = budget;
  }

  document(): GoValue {
    const value = this.#value(0);
    this.#blank();
    if (this.#at < this.#text.length) throw this.#fault();
    return value;
  }

  #fault(): JsonSyntaxError {
    return new JsonSyntaxError(`Cannot read JSON: syntax error at character ${this.#at + 1}`);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #blank(): void {
    this.#match(BLANK);
  }

  #take(mark: string): boolean {
    if (!this.#text.startsWith(mark, this.#at)) return false;
    this.#at += mark.length;
    return true;
  }

  #value(depth: number): GoValue {
    checkValueDepth(depth);
    this.#budget?.steps(1);
    this.#budget?.memory(8);
    this.#blank();
    const char = this.#text[this.#at];
    if (char === "{") return this.#object(depth);
    if (char === "[") return this.#array(depth);
    if (char === '"') return this.#string();
    for (const [word, value] of WORDS) if (this.#take(word)) return value;
    const number = this.#match(NUMBER);
    if (number === undefined) throw this.#fault();
    return this.#number(number);
  }

  #number(text: string): GoValue {
    if (this.#numbers === "data" && !/[.eE]/.test(text)) {
      const whole = parseInt64(text, 10);
      if (typeof whole === "bigint") return narrow(whole);
    }
    const value = Number(text);
    // Go's decoder leaves what does not fit a float out, as null.
    if (!Number.isFinite(value)) return null;
    return Object.is(value, -0) ? new Float(-0) : float(value);
  }

  #string(): string {
    const from = this.#at;
    if (this.#text[from] !== '"') throw this.#fault();
    let end = from + 1;
    let escaped = false;
    for (; this.#text[end] !== '"'; end++) {
      const code = this.#text.charCodeAt(end);
      if (!(code >= 0x20)) throw this.#fault();
      if (code === 0x5c) {
        escaped = true;
        end++;
      }
    }
    this.#at = end + 1;
    this.#budget?.memory(end - from);
    if (!escaped) return fromOutside(this.#text.slice(from + 1, end));
    try {
      return fromOutside(JSON.parse(this.#text.slice(from, end + 1)));
    } catch {
      throw this.#fault();
    }
  }

  #array(depth: number): GoValue {
    this.#at++;
    const items: GoValue[] = [];
    this.#blank();
    if (this.#take("]")) return items;
    for (;;) {
      items.push(this.#value(depth + 1));
      this.#blank();
      if (this.#take("]")) return items;
      if (!this.#take(",")) throw this.#fault();
    }
  }

  #object(depth: number): GoValue {
    this.#at++;
    const map: MutableMap = newMap();
    this.#blank();
    if (this.#take("}")) return map;
    for (;;) {
      this.#blank();
      const key = this.#string();
      this.#blank();
      if (!this.#take(":")) throw this.#fault();
      map[key] = this.#value(depth + 1);
      this.#blank();
      if (this.#take("}")) return map;
      if (!this.#take(",")) throw this.#fault();
    }
  }
}
