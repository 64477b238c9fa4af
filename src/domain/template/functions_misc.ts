/** sprig's defaults, encodings, hashes, patterns, versions, URLs and type tests. */
import { createHash } from "node:crypto";
import { type Budget, CallError } from "./errors.ts";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import { deepEqual } from "./deep_equal.ts";
import { define, type FunctionDef } from "./function.ts";
import { isEmpty } from "./functions_list.ts";
import { decodeJson, encodeJson, JsonSyntaxError, UnencodableError } from "./json.ts";
import { findAll, matches, replaceAll, split } from "./regex.ts";
import { parseConstraints, parseVersion, satisfies } from "./semver.ts";
import { parseUrl } from "./url.ts";
import { toBytes } from "./utf8.ts";
import { dynamicType, type GoValue, kindOf, NIL_STRINGS, strings } from "./value.ts";

export const MISC_FUNCTIONS: Readonly<Record<string, FunctionDef>> = {
  default: define(
    "any any...",
    ([fallback, ...given]) => given.length === 0 || isEmpty(given[0]) ? fallback ?? null : given[0],
    "any",
  ),
  empty: define("any", ([value]) => isEmpty(value)),
  coalesce: define("any...", (values) => values.find((value) => !isEmpty(value)) ?? null, "any"),
  ternary: define("any any bool", ([yes, no, holds]) => (holds ? yes : no) ?? null, "any"),
  fail: define("string", ([message]) => {
    throw new CallError(message);
  }),
  toJson: define("any", ([value], { budget }) => toJson(value, budget, "")),
  toPrettyJson: define("any", ([value], { budget }) => toJson(value, budget, "  ")),
  fromJson: define("string", ([text], { budget }) => fromJson(text, budget), "any"),
  b64enc: define("string", ([text], { budget }) => {
    budget.steps(text.length / 4);
    return encodeBase64(text);
  }),
  b64dec: define("string", ([text], { budget }) => {
    budget.steps(text.length / 4);
    return decodeBase64(text);
  }),
  sha256sum: define("string", ([text]) => digest("sha256", text)),
  sha1sum: define("string", ([text]) => digest("sha1", text)),
  adler32sum: define("string", ([text]) => adler32(text)),
  regexMatch: define("string string", ([pattern, text], { budget, regexes }) => {
    try {
      return matches(regexes.compile(pattern, budget), text, budget);
    } catch (error) {
      if (error instanceof CallError) return false;
      throw error;
    }
  }),
  regexFind: define("string string", ([pattern, text], { budget, regexes }) => {
    const [match] = findAll(regexes.compile(pattern, budget), text, 1, budget);
    return match === undefined ? "" : text.slice(match[0], match[1]);
  }),
  regexFindAll: define("string string int", ([pattern, text, most], { budget, regexes }) => {
    const found = findAll(regexes.compile(pattern, budget), text, most, budget);
    if (found.length === 0) return NIL_STRINGS;
    return strings(found.map((match) => text.slice(match[0], match[1])));
  }),
  regexReplaceAll: define("string string string", ([pattern, text, replacement], context) => {
    const { budget, regexes } = context;
    const regex = regexes.compile(pattern, budget);
    return replaceAll(regex, text, { replacement, isLiteral: false, budget });
  }),
  regexReplaceAllLiteral: define(
    "string string string",
    ([pattern, text, replacement], context) => {
      const { budget, regexes } = context;
      const regex = regexes.compile(pattern, budget);
      return replaceAll(regex, text, { replacement, isLiteral: true, budget });
    },
  ),
  regexSplit: define("string string int", ([pattern, text, most], { budget, regexes }) => {
    const regex = regexes.compile(pattern, budget);
    return most === 0 ? NIL_STRINGS : strings(split(regex, text, most, budget));
  }),
  semver: define("string", ([text]) => parseVersion(text)),
  semverCompare: define("string string", ([constraint, version]) => {
    const groups = parseConstraints(constraint);
    return satisfies(parseVersion(version), groups);
  }),
  urlParse: define("string", ([text]) => parseUrl(text)),
  kindOf: define("any", ([value]) => kindName(value)),
  kindIs: define("string any", ([kind, value]) => kind === kindName(value)),
  typeOf: define("any", ([value]) => dynamicType(value)),
  deepEqual: define("any any", ([a, b], { budget }) => deepEqual(a, b, budget)),
};

function kindName(value: GoValue): string {
  return value === null ? "invalid" : kindOf(value);
}

/** Empty for what JSON has no word for, as sprig ignores the error. */
function toJson(value: GoValue, budget: Budget, indent: string): string {
  try {
    return encodeJson(value, budget, indent);
  } catch (error) {
    if (error instanceof UnencodableError) return "";
    throw error;
  }
}

/** nil for what is no JSON. */
function fromJson(text: string, budget: Budget): GoValue {
  try {
    return decodeJson(text, "floats", budget);
  } catch (error) {
    if (error instanceof JsonSyntaxError) return null;
    throw error;
  }
}

function digest(algorithm: "sha256" | "sha1", text: string): string {
  return createHash(algorithm).update(toBytes(text)).digest("hex");
}

/** As a decimal number, which is what sprig prints. */
function adler32(text: string): string {
  let a = 1;
  let b = 0;
  for (const byte of toBytes(text)) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return String(b * 65536 + a);
}
