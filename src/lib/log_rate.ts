/**
 * A bounded rate for lines that trouble repeats: an API server that is down for ten minutes is
 * worth a line every now and then, not one per retry.
 *
 * Guarantees: the first line of a kind passes at once; further ones of the same kind pass once per
 * interval, and the next to pass carries `suppressed`, the number of those that did not. A kind is a
 * level, a message and the values of the fields named in `by`. At most {@link KINDS_MAX} kinds are
 * remembered, the latest.
 */
import type { Clock } from "./clock.ts";
import type { LogFields, Logger, LogLevel } from "./log.ts";

export const KINDS_MAX = 1_000;

export interface RateLimitOptions {
  readonly clock: Clock;
  /** Least time between two lines of one kind. */
  readonly intervalMs: number;
  /** Fields that make lines of one message different kinds. */
  readonly by?: readonly string[];
}

interface Kind {
  nextAt: number;
  suppressed: number;
}

/** A view of `log` that drops what comes too fast. Loggers made from it by `with` share its memory. */
export function rateLimited(log: Logger, options: RateLimitOptions): Logger {
  return limited(log, {}, options, new Map());
}

function limited(
  log: Logger,
  bound: LogFields,
  options: RateLimitOptions,
  kinds: Map<string, Kind>,
): Logger {
  const emit = (level: LogLevel, message: string, fields: LogFields = {}) => {
    const all = { ...bound, ...fields };
    const id = [level, message, ...(options.by ?? []).map((name) => String(all[name]))].join("\0");
    const now = options.clock.monotonic();
    const kind = kinds.get(id) ?? { nextAt: now, suppressed: 0 };
    kinds.delete(id);
    kinds.set(id, kind);
    if (kinds.size > KINDS_MAX) kinds.delete(kinds.keys().next().value as string);
    if (now < kind.nextAt) {
      kind.suppressed++;
      return;
    }
    const { suppressed } = kind;
    kind.nextAt = now + options.intervalMs;
    kind.suppressed = 0;
    log[level](message, suppressed > 0 ? { ...fields, suppressed } : fields);
  };
  return {
    debug: (message, fields) => emit("debug", message, fields),
    info: (message, fields) => emit("info", message, fields),
    warning: (message, fields) => emit("warning", message, fields),
    error: (message, fields) => emit("error", message, fields),
    with: (fields) => limited(log.with(fields), { ...bound, ...fields }, options, kinds),
  };
}
