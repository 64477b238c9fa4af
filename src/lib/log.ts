/**
 * Structured logging: a message (a constant sentence) and key=value fields.
 *
 * Object references are fields such as `pod: "ns/name"`; an error goes under `err`. Never log a
 * secret: tokens, certificates' keys, request or response bodies.
 */

export type LogLevel = "debug" | "info" | "warning" | "error";
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to each line. */
  with(fields: LogFields): Logger;
}

/** Drops every line; for tests and for callers who pass no logger. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warning() {},
  error() {},
  with() {
    return silentLogger;
  },
};
