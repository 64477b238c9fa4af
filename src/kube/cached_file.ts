/**
 * A file whose content may change under a running process: tokens, certificates.
 *
 * Read again when older than a minute, or when told to. A later read that fails leaves the last
 * content in use: a rotation may replace the file while we look.
 */
import type { Clock } from "../lib/clock.ts";
import { KubeConnectionError } from "../runtime/ports/errors.ts";

const AGE_MS_MAX = 60_000;

export interface CachedFileOptions {
  readonly path: string;
  /** What it is, for messages, such as `the token`. */
  readonly what: string;
  readonly clock: Clock;
  readonly read: (path: string) => Promise<string>;
}

export class CachedFile {
  readonly #options: CachedFileOptions;
  #content: string | undefined;
  #readAt = 0;
  #reading: Promise<boolean> | undefined;

  constructor(options: CachedFileOptions) {
    this.#options = options;
  }

  /** Rejects with a `KubeConnectionError` (`credentials`) when it could never be read, or is empty. */
  get(): Promise<string> | string {
    const age = this.#options.clock.monotonic() - this.#readAt;
    if (this.#content !== undefined && age < AGE_MS_MAX) return this.#content;
    return this.reload().then(() => this.#content as string);
  }

  /** Reads it now; true when the content is another. */
  reload(): Promise<boolean> {
    this.#reading ??= this.#read().finally(() => this.#reading = undefined);
    return this.#reading;
  }

  async #read(): Promise<boolean> {
    const { path, what, clock, read } = this.#options;
    const before = this.#content;
    try {
      const content = await read(path);
      if (content.trim() === "") throw new Error("it is empty");
      this.#content = content;
    } catch (error) {
      if (before === undefined) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new KubeConnectionError(
          "credentials",
          `Cannot read ${what}: ${reason} (${path})`,
          error,
        );
      }
    }
    this.#readAt = clock.monotonic();
    return this.#content !== before;
  }
}
