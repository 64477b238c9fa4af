/**
 * The JSONPath of CRD printer columns and selectable fields: fields, `['quoted']`, indexes, `[*]` and
 * filters `[?(@.a.b=="text")]`. Anything else is a {@link SyntaxError}. Absent places give nothing.
 */
import type { JsonValue } from "../runtime/ports/rest.ts";
import { isObject } from "./schema.ts";

type Step = (value: JsonValue) => JsonValue[];
export type JsonPath = (value: JsonValue) => JsonValue[];

const TOKEN =
  /\.([A-Za-z0-9_$/-]+)|\.?\['((?:\\.|[^'\\])*)'\]|\.?\["((?:\\.|[^"\\])*)"\]|\[(-?\d+)\]|(\[\*\]|\.\*)|\[\?\(\s*@((?:\.[A-Za-z0-9_-]+)+)\s*(==|!=)\s*(?:"([^"]*)"|'([^']*)'|(-?\d+|true|false))\s*\)\]/y;

/** @throws {SyntaxError} for what the header does not list. */
export function compileJsonPath(path: string): JsonPath {
  const text = path.startsWith(".") || path.startsWith("[") ? path : `.${path}`;
  const steps: Step[] = [];
  for (let at = 0; at < text.length;) {
    // Set each time: a filter compiles its own path with the same expression.
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) throw new SyntaxError(`Cannot read JSONPath "${path}": at ${text.slice(at)}`);
    at += match[0].length;
    steps.push(stepOf(match));
  }
  return (value) => steps.reduce<JsonValue[]>((found, step) => found.flatMap(step), [value]);
}

function stepOf(match: RegExpExecArray): Step {
  const [, name, single, double, index, star, filterPath, operator, ...literals] = match;
  const key = name ?? (single ?? double)?.replaceAll(/\\(.)/g, "$1");
  if (key !== undefined) return (value) => present(isObject(value) ? value[key] : undefined);
  if (index !== undefined) {
    return (value) => present(Array.isArray(value) ? value.at(Number(index)) : undefined);
  }
  if (star !== undefined) {
    return (value) =>
      Array.isArray(value) ? value : isObject(value) ? Object.values(value).flatMap(present) : [];
  }
  const wanted = literals.find((literal) => literal !== undefined) ?? "";
  const inner = compileJsonPath(filterPath ?? "");
  return (value) =>
    Array.isArray(value)
      ? value.filter((item) => {
        const [found] = inner(item);
        return found !== undefined && (String(found) === wanted) === (operator === "==");
      })
      : [];
}

function present(value: JsonValue): JsonValue[] {
  return value === undefined ? [] : [value];
}
