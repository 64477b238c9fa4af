/**
 * The {@link Logger} of production: LogTape below, standard error as the default target.
 *
 * LogTape's configuration belongs to the process: the last logger made here decides format, level
 * and target for all. Lines are written at once and whole, so that none is lost at exit; a target
 * that fails (a closed pipe) loses lines, never the program. The field `logger` of `with` names the
 * component and is not printed as a field.
 */
import {
  configureSync,
  getLogger,
  type Logger as TapeLogger,
  type LogRecord,
} from "@logtape/logtape";
import type { Clock } from "./clock.ts";
import type { LogFields, Logger, LogLevel } from "./log.ts";
import { jsonLine, klogLine, type LogFormat } from "./log_format.ts";

export interface LoggerOptions {
  readonly format: LogFormat;
  /** Lines below it are dropped. */
  readonly level: LogLevel;
  readonly clock: Clock;
  /** Component named on each line until `with({ logger })` says otherwise. */
  readonly name: string;
  /** Printed in the text form; default: this process. */
  readonly pid?: number;
  /** Receives one line with its line feed. Default: standard error. */
  readonly write?: (line: string) => void;
}

const ROOT = "podconfigmap-controller";

export function createLogger(options: LoggerOptions): Logger {
  const write = options.write ?? writeToStandardError;
  const pid = options.pid ?? Deno.pid;
  const sink = (record: LogRecord) => {
    const event = {
      timeMs: options.clock.now(),
      level: record.level as LogLevel,
      logger: record.category.at(-1) ?? options.name,
      message: String(record.rawMessage),
      fields: record.properties,
    };
    write((options.format === "json" ? jsonLine(event) : klogLine(event, pid)) + "\n");
  };
  configureSync({
    reset: true,
    sinks: { target: sink },
    loggers: [
      { category: [ROOT], sinks: ["target"], lowestLevel: options.level },
      { category: ["logtape", "meta"], sinks: ["target"], lowestLevel: "warning" },
    ],
  });
  return new TapeBackedLogger(options.name, {});
}

class TapeBackedLogger implements Logger {
  readonly #name: string;
  readonly #fields: LogFields;
  readonly #tape: TapeLogger;

  constructor(name: string, fields: LogFields) {
    this.#name = name;
    this.#fields = fields;
    this.#tape = getLogger([ROOT, name]);
  }

  debug(message: string, fields?: LogFields): void {
    this.#emit("debug", message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#emit("info", message, fields);
  }

  warning(message: string, fields?: LogFields): void {
    this.#emit("warning", message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#emit("error", message, fields);
  }

  with(fields: LogFields): Logger {
    const { logger, ...rest } = fields;
    const name = typeof logger === "string" && logger !== "" ? logger : this.#name;
    return new TapeBackedLogger(name, { ...this.#fields, ...rest });
  }

  #emit(level: LogLevel, message: string, fields: LogFields | undefined): void {
    if (!this.#tape.isEnabledFor(level)) return;
    this.#tape[level](message, { ...this.#fields, ...fields });
  }
}

const encoder = new TextEncoder();

function writeToStandardError(line: string): void {
  const bytes = encoder.encode(line);
  try {
    for (let written = 0; written < bytes.length;) {
      written += Deno.stderr.writeSync(bytes.subarray(written));
    }
  } catch {
    // Nobody reads any more; there is no place left to say so.
  }
}
