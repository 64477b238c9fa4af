/**
 * Log lines as text: klog's form and JSON. Pure.
 *
 * Guarantees: one event is one line, whatever its values hold; a value whose name or look says
 * secret is replaced; a value longer than {@link VALUE_CHARACTERS_MAX} is cut, and says so. Neither
 * cycles nor throwing getters make it fail.
 */
import { InvariantError } from "./assert.ts";
import type { LogFields, LogLevel } from "./log.ts";

export type LogFormat = "text" | "json";

export interface LogEvent {
  /** Milliseconds since the epoch; fractions become microseconds. */
  readonly timeMs: number;
  readonly level: LogLevel;
  /** Name of the component. */
  readonly logger: string;
  readonly message: string;
  /** In order of appearance; `undefined` values are left out. */
  readonly fields: LogFields;
}

export const VALUE_CHARACTERS_MAX = 8_192;
const NESTING_MAX = 6;
const CAUSES_MAX = 8;
const REDACTED = "[redacted]";

/** `I1123 16:31:57.364416       1 controller] "Message" err="..." pod="ns/name"`, time in UTC. */
export function klogLine(event: LogEvent, pid: number): string {
  const date = new Date(event.timeMs);
  const two = (value: number) => String(value).padStart(2, "0");
  const micros = String(Math.floor((event.timeMs % 1000) * 1000)).padStart(6, "0");
  const letter = event.level === "debug" ? "D" : event.level[0]?.toUpperCase();
  const day = two(date.getUTCMonth() + 1) + two(date.getUTCDate());
  const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(two).join(":");
  let line = `${letter}${day} ${time}.${micros} ${String(pid).padStart(7)} ${event.logger}] ` +
    JSON.stringify(event.message);
  for (const [name, value] of renderFields(event)) {
    line += ` ${name}=${JSON.stringify(value)}`;
  }
  return oneLine(line);
}

/** One JSON object: `ts`, `level`, `logger`, `msg`, then the fields. */
export function jsonLine(event: LogEvent): string {
  const object: Record<string, unknown> = {
    ts: new Date(event.timeMs).toISOString(),
    level: event.level,
    logger: event.logger,
    msg: event.message,
  };
  for (const [name, value] of renderFields(event)) {
    object[Object.hasOwn(object, name) ? `${name}_` : name] = value;
  }
  return oneLine(JSON.stringify(object));
}

/** The error, then what caused it, as far as the message does not already say so. */
export function errorText(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  for (let depth = 0; current !== undefined && depth < CAUSES_MAX; depth++) {
    const text = current instanceof Error ? describeError(current) : String(current);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ");
}

function describeError(error: Error): string {
  const text = error.message || error.name;
  if (!(error instanceof AggregateError) || error.errors.length === 0) return text;
  const inner = error.errors.slice(0, CAUSES_MAX).map(errorText).join("; ");
  return error.message ? `${text} (${inner})` : inner;
}

function renderFields(event: LogEvent): [string, unknown][] {
  const rendered: [string, unknown][] = [];
  for (const [name, value] of Object.entries(event.fields)) {
    if (value === undefined) continue;
    const pair: [string, unknown] = [fieldName(name), render(name, value, 0)];
    if (name === "err") rendered.unshift(pair);
    else rendered.push(pair);
    if (event.level === "error" && isBug(value)) rendered.push(["stack", cut(value.stack ?? "")]);
  }
  return rendered;
}

/** Errors of this program itself are of no use without the place they come from. */
function isBug(value: unknown): value is Error {
  return value instanceof InvariantError || value instanceof TypeError ||
    value instanceof ReferenceError || value instanceof RangeError;
}

function render(name: string, value: unknown, depth: number): unknown {
  if (value === null || typeof value === "boolean") return value;
  if (isSecret(name, value)) return REDACTED;
  if (typeof value === "string") return cut(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (value instanceof Error) return cut(errorText(value));
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? "invalid date" : value.toISOString();
  }
  if (typeof value !== "object") return cut(String(value));
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth >= NESTING_MAX) return "[deeper]";
  try {
    if (Array.isArray(value)) return value.map((item) => render(name, item, depth + 1));
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    return Object.fromEntries(
      entries.map(([key, item]) => [String(key), render(String(key), item, depth + 1)]),
    );
  } catch (error) {
    return `[unreadable: ${errorText(error)}]`;
  }
}

const SECRET_NAME =
  /(token|passwords?|passphrase|secrets?|authorization|credentials?|(private|client|api|access)[-_]?key([-_]?data)?)$/i;

function isSecret(name: string, value: unknown): boolean {
  if (SECRET_NAME.test(name)) return typeof value !== "number";
  // `key` is also what a work queue calls an object: names of objects pass, anything else does not.
  return name.toLowerCase() === "key" && typeof value === "string" &&
    (!/^([a-z0-9.-]{1,63}\/)?[a-z0-9.-]{1,253}$/.test(value) || /^[0-9a-f]{16,}$/.test(value));
}

/** Secrets by look: bearer and basic credentials, JWTs, PEM keys, passwords in URLs. */
export function redact(text: string): string {
  return text
    .replace(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*-----|$)/g, REDACTED)
    .replace(/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${REDACTED}`)
    .replace(/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g, REDACTED)
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@:]*:[^\s/@]*@/gi, `$1${REDACTED}@`);
}

function cut(text: string): string {
  const clean = redact(text);
  if (clean.length <= VALUE_CHARACTERS_MAX) return clean;
  const rest = clean.length - VALUE_CHARACTERS_MAX;
  return `${clean.slice(0, VALUE_CHARACTERS_MAX)}... (${rest} more characters)`;
}

/** JSON leaves these as they are inside strings; some readers break lines at them. */
function oneLine(text: string): string {
  return text.replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function fieldName(name: string): string {
  return name.replace(/[\s="\\]/g, "_") || "_";
}
