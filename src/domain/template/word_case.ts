/** Changes of a text's case by words, with the rules of the library that sprig uses (xstrings). */
import { isLetter, isNumber, isPunct, isSpace, isUpper, toLower, toUpper } from "./unicode.ts";

function isConnector(char: string): boolean {
  return char === "-" || char === "_" || isSpace(char);
}

function isAlphabet(char: string): boolean {
  if (!isLetter(char)) return false;
  const code = char.codePointAt(0) ?? 0;
  return !WIDE_SCRIPTS.some(([from, to]) => code >= from && code <= to);
}

/** Letters of scripts without words: CJK. */
const WIDE_SCRIPTS: readonly (readonly [number, number])[] = [
  [0x3400, 0x4d85],
  [0x4e00, 0x9fcc],
  [0x20000, 0x2b81d],
];

/** `some_words` becomes `SomeWords`. */
export function camelCase(text: string): string {
  const chars = [...text];
  let out = "";
  let at = 0;
  while (at < chars.length && isConnector(chars[at] ?? "")) out += chars[at++];
  const first = chars[at++];
  // The library's oddity: of connectors alone, the last comes twice.
  if (first === undefined) return out + (chars.at(-1) ?? "");
  let wasUpper = isUpper(first);
  let current = toUpper(first);
  for (; at < chars.length; at++) {
    const before = current;
    current = chars[at] ?? "";
    if (isConnector(before) && isConnector(current)) {
      out += before;
    } else if (isConnector(before)) {
      wasUpper = isUpper(current);
      current = toUpper(current);
    } else {
      if (wasUpper) {
        if (isUpper(current)) current = toLower(current);
        else wasUpper = false;
      }
      out += before;
    }
  }
  return out + current;
}

type WordKind = "none" | "number" | "upper" | "alphabet" | "connector" | "punct" | "other";

interface Word {
  readonly kind: WordKind;
  readonly chars: readonly string[];
}

/** The next word of `chars` from `at` on. */
function nextWord(chars: readonly string[], at: number): Word {
  const first = chars[at];
  if (first === undefined) return { kind: "none", chars: [] };
  const run = (kind: WordKind, holds: (char: string) => boolean): Word => {
    let end = at + 1;
    while (end < chars.length && holds(chars[end] ?? "")) end++;
    return { kind, chars: chars.slice(at, end) };
  };
  if (isConnector(first)) return run("connector", isConnector);
  if (isPunct(first)) return run("punct", isPunct);
  if (isUpper(first)) return upperWord(chars, at, run);
  const isLower = (char: string) => isAlphabet(char) && !isUpper(char);
  if (isAlphabet(first)) return run("alphabet", isLower);
  if (isNumber(first)) return run("number", isNumber);
  return run(
    "other",
    (char) => !isConnector(char) && !isAlphabet(char) && !isNumber(char) && !isPunct(char),
  );
}

function upperWord(
  chars: readonly string[],
  at: number,
  run: (kind: WordKind, holds: (char: string) => boolean) => Word,
): Word {
  const second = chars[at + 1] ?? "";
  if (isUpper(second)) {
    const word = run("upper", isUpper);
    // "HTTPStatus" is "HTTP" and "Status": the last capital belongs to what follows.
    const next = chars[at + word.chars.length];
    if (next === undefined || !isAlphabet(next)) return word;
    return { kind: "upper", chars: word.chars.slice(0, -1) };
  }
  return run("upper", (char) => isAlphabet(char) && !isUpper(char));
}

/** `FirstName` becomes `first_name`, with "_" or "-". */
export function separatedCase(text: string, connector: string): string {
  return new Separator(text, connector).run();
}

class Separator {
  readonly #chars: readonly string[];
  readonly #connector: string;
  #at = 0;
  #out = "";

  constructor(text: string, connector: string) {
    this.#chars = [...text];
    this.#connector = connector;
  }

  #next(): Word {
    const word = nextWord(this.#chars, this.#at);
    this.#at += word.chars.length;
    return word;
  }

  #write(word: Word): void {
    if (word.kind !== "upper" && word.kind !== "connector") this.#out += word.chars.join("");
    else {for (const char of word.chars) {
        this.#out += isConnector(char) ? this.#connector : toLower(char);
      }}
  }

  run(): string {
    let word = this.#next();
    while (this.#at < this.#chars.length) {
      if (word.kind !== "connector") this.#write(word);
      const previous = word;
      word = this.#next();
      if (previous.kind === "number") word = this.#afterNumber(word);
      else if (previous.kind === "connector") this.#write(previous);
      else if (previous.kind !== "punct") word = this.#afterWord(word);
    }
    this.#write(word);
    return this.#out;
  }

  /** What follows a number without a gap belongs to its word. */
  #afterNumber(word: Word): Word {
    while (word.kind === "alphabet" || word.kind === "number") {
      this.#write(word);
      word = this.#next();
    }
    if (word.kind !== "none") this.#gapBefore(word);
    return word;
  }

  #gapBefore(word: Word): void {
    if (word.kind !== "connector" && word.kind !== "punct") this.#out += this.#connector;
  }

  #afterWord(word: Word): Word {
    if (word.kind !== "number") {
      this.#gapBefore(word);
      return word;
    }
    if (this.#at >= this.#chars.length) return word;
    const number = word;
    const next = this.#next();
    // A number before a capital is part of the word before it: "Bld4Floor" is "bld4_floor".
    if (next.kind !== "alphabet") {
      this.#write(number);
      this.#gapBefore(next);
      return next;
    }
    this.#out += this.#connector;
    this.#write(number);
    return this.#afterNumber(next);
  }
}
