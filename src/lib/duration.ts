/**
 * Durations in Go's syntax (`time.ParseDuration`): `300ms`, `1m30s`, `-1.5h`, `0`.
 *
 * Accepts exactly what Go accepts, which is also what CEL's `duration()` accepts. Milliseconds are
 * numbers with fractions: `1us` is 0.001. Go's range (about 292 years) applies.
 */

export type ParsedDuration = { readonly ms: number } | { readonly error: string };

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  "µs": 1e-3,
  "μs": 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
/** 2^63 nanoseconds, the end of Go's `time.Duration`. */
const RANGE_MS = 2 ** 63 / 1e6;

/** Milliseconds, or what is wrong with `text` as the end of "… must be a duration: …". */
export function parseGoDuration(text: string): ParsedDuration {
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = /^[-+]/.test(text) ? text.slice(1) : text;
  if (rest === "0") return { ms: 0 };
  if (rest === "") return { error: `${quote(text)} is no duration such as 30s or 1m30s` };
  let total = 0;
  while (rest !== "") {
    const part = /^(\d+\.?\d*|\.\d+)([^\d.]*)/.exec(rest);
    if (part === null) return { error: `${quote(text)} is no duration such as 30s or 1m30s` };
    const [whole, amount, unit] = part as unknown as [string, string, string];
    if (unit === "") {
      return { error: `${quote(text)} lacks a unit after ${amount} (ns, us, ms, s, m, h)` };
    }
    const factor = Object.hasOwn(UNIT_MS, unit) ? UNIT_MS[unit] : undefined;
    if (factor === undefined) {
      return { error: `${quote(text)} has the unknown unit ${quote(unit)} (ns, us, ms, s, m, h)` };
    }
    total += Number(amount) * factor;
    rest = rest.slice(whole.length);
  }
  if (total >= RANGE_MS) return { error: `${quote(text)} is out of range` };
  return { ms: sign * total };
}

/** As Go prints a `time.Duration`: `1m30s`, `1h0m0s`, `1.5s`, `500ms`, `0s`. */
export function formatGoDuration(ms: number): string {
  if (ms === 0) return "0s";
  const sign = ms < 0 ? "-" : "";
  const size = Math.abs(ms);
  if (size < 1e-3) return `${sign}${trim(size * 1e6)}ns`;
  if (size < 1) return `${sign}${trim(size * 1e3)}µs`;
  if (size < 1000) return `${sign}${trim(size)}ms`;
  const hours = Math.floor(size / 3_600_000);
  const minutes = Math.floor((size % 3_600_000) / 60_000);
  const seconds = `${trim((size % 60_000) / 1000)}s`;
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`;
}

/** At most nine decimals (nanoseconds of a second), no trailing zeros. */
function trim(value: number): string {
  return String(Number(value.toFixed(9)));
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
}
