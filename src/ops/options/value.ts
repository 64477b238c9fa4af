/** Reads one option's value from its text. Pure; problems are sentences without the option's name. */
import { formatListenAddress, type ListenAddress, parseListenAddress } from "../../lib/address.ts";
import { formatGoDuration, parseGoDuration } from "../../lib/duration.ts";
import type { OptionDefinition } from "./definition.ts";

export type OptionValue = boolean | number | string | readonly string[] | ListenAddress | undefined;
export type ParsedValue = { readonly value: OptionValue } | { readonly problem: string };

/** Go's strconv.ParseBool. */
const TRUE = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const FALSE = new Set(["0", "f", "F", "FALSE", "false", "False"]);

/** The value, or what is wrong with `text`. The empty text is a value only of strings and lists. */
export function parseValue(option: OptionDefinition, text: string): ParsedValue {
  switch (option.type) {
    case "bool":
      if (TRUE.has(text)) return { value: true };
      if (FALSE.has(text)) return { value: false };
      return { problem: `${JSON.stringify(text)} is neither true nor false` };
    case "int":
      return parseInteger(option, text);
    case "duration":
      return parseDuration(option, text);
    case "enum":
      return parseEnum(option, text);
    case "address": {
      const parsed = parseListenAddress(text);
      return "error" in parsed ? { problem: parsed.error } : { value: parsed.address };
    }
    case "string":
      return text === "" ? { value: text } : checkFormat(option, [text]) ?? { value: text };
    case "list": {
      const items = [...new Set(text.split(",").map((item) => item.trim()).filter(Boolean))];
      return checkFormat(option, items) ?? { value: items };
    }
  }
}

/** The value as a user would write it, for logs and help. */
export function formatValue(option: OptionDefinition, value: OptionValue): string {
  if (option.type === "address") return formatListenAddress(value as ListenAddress | undefined);
  if (option.type === "duration") return formatGoDuration(value as number);
  return Array.isArray(value) ? value.join(",") : String(value);
}

/** The bounds in words, such as `1 to 64` or `1s to 1h0m0s`; empty when there are none. */
export function formatBounds(option: OptionDefinition): string {
  if (option.min === undefined || option.max === undefined) return "";
  return `${formatValue(option, option.min)} to ${formatValue(option, option.max)}`;
}

function parseInteger(option: OptionDefinition, text: string): ParsedValue {
  if (!/^[+-]?\d+$/.test(text)) return { problem: `${JSON.stringify(text)} is no whole number` };
  return checkBounds(option, Number(text), text);
}

function parseDuration(option: OptionDefinition, text: string): ParsedValue {
  const parsed = parseGoDuration(text);
  return "error" in parsed ? { problem: parsed.error } : checkBounds(option, parsed.ms, text);
}

function checkBounds(option: OptionDefinition, value: number, text: string): ParsedValue {
  const { min = -Infinity, max = Infinity } = option;
  if (value >= min && value <= max) return { value };
  return { problem: `${JSON.stringify(text)} is not in the range ${formatBounds(option)}` };
}

function parseEnum(option: OptionDefinition, text: string): ParsedValue {
  const values = option.values ?? {};
  const known = text.toLowerCase();
  if (Object.hasOwn(values, known)) return { value: values[known] };
  return { problem: `${JSON.stringify(text)} is none of ${Object.keys(values).join(", ")}` };
}

const PART = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

function checkFormat(
  option: OptionDefinition,
  items: readonly string[],
): { problem: string } | undefined {
  for (const item of items) {
    if (option.format === undefined) continue;
    if (option.format === "namespace/name") {
      const [namespace = "", name = "", ...more] = item.split("/");
      if (isLabel(namespace) && isSubdomain(name) && more.length === 0) continue;
      return { problem: `${JSON.stringify(item)} is not NAMESPACE/NAME of a Kubernetes object` };
    }
    const label = option.format === "dns-label";
    if (label ? isLabel(item) : isSubdomain(item)) continue;
    const what = label ? "namespace" : "object";
    return { problem: `${JSON.stringify(item)} is no name that a Kubernetes ${what} may have` };
  }
  return undefined;
}

const isLabel = (text: string) => text.length <= 63 && PART.test(text);
/** Only a namespace has the 63 characters of a DNS label: each part of an object's name may be longer. */
const isSubdomain = (text: string) =>
  text.length <= 253 && text.split(".").every((part) => PART.test(part));
