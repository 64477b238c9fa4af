/**
 * Log lines about a trouble that repeats: the first at once, then whenever its kind changes, else at
 * most one a minute, with the number of times in between. The end of a trouble that was logged is
 * logged too. So a peer that is down for hours costs one line a minute.
 */
import type { Clock } from "../lib/clock.ts";
import type { LogFields, Logger } from "../lib/log.ts";

export const TROUBLE_REPEAT_MS = 60_000;

export interface TroubleMessages {
  readonly trouble: string;
  readonly recovery: string;
}

export class TroubleLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #messages: TroubleMessages;
  #kind: string | undefined;
  #loggedAt = -Infinity;
  #unlogged = 0;
  /** When the trouble began that has been logged and not ended; undefined without one. */
  #since: number | undefined;

  constructor(log: Logger, clock: Clock, messages: TroubleMessages) {
    this.#log = log;
    this.#clock = clock;
    this.#messages = messages;
  }

  /** `expected`: part of normal life, logged as information. */
  trouble(kind: string, fields: LogFields, expected = false): void {
    const now = this.#clock.monotonic();
    if (kind === this.#kind && now - this.#loggedAt < TROUBLE_REPEAT_MS) {
      this.#unlogged++;
      return;
    }
    const repeats = kind === this.#kind && this.#unlogged > 0 ? { repeats: this.#unlogged } : {};
    const line = { reason: kind, ...fields, ...repeats };
    if (expected) this.#log.info(this.#messages.trouble, line);
    else this.#log.warning(this.#messages.trouble, line);
    this.#kind = kind;
    this.#loggedAt = now;
    this.#unlogged = 0;
    this.#since ??= now;
  }

  recovered(): void {
    if (this.#since === undefined) return;
    const seconds = Math.round((this.#clock.monotonic() - this.#since) / 1000);
    this.#log.info(this.#messages.recovery, { afterSeconds: seconds });
    this.#since = undefined;
  }
}
