/**
 * The node's kernel as all parts of the agent use it: one call at a time, opened when first needed,
 * and its self-test.
 *
 * A failure to open is remembered for a moment, so that a hundred Pods do not ask a hundred times.
 */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { Permits } from "../runtime/permits.ts";
import { type BpfLoader, type Canary, EbpfError } from "./ports.ts";
import type { AgentMetrics } from "./settings.ts";

const REMEMBER_FAILURE_MS = 1_000;

/** Anything thrown, as an EbpfError. */
export function asEbpfError(error: unknown, action: string): EbpfError {
  if (error instanceof EbpfError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new EbpfError("InternalError", `Cannot ${action}: ${reason}`, { cause: error });
}

export interface KernelOptions {
  readonly loader: BpfLoader;
  readonly canary: Canary;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<AgentMetrics, "canary">;
  /** How long the canary's word is good. */
  readonly canaryMs: number;
  /** Opened only where programs are wanted, or found. */
  readonly onDemand: boolean;
  /** Part of opening: what must be set before the first firewall. */
  readonly prepare: (loader: BpfLoader) => Promise<void>;
  /** The canary's word has changed: firewalls are to be reported on anew. */
  readonly canaryChanged: () => void;
}

export class Kernel {
  readonly #options: KernelOptions;
  readonly #turn = new Permits(1);
  #opened = false;
  #failure: { readonly error: EbpfError; readonly at: number } | undefined;
  #canary: "unknown" | "ok" | EbpfError = "unknown";
  #canaryRun: { readonly at: number; readonly done: Promise<void> } | undefined;

  constructor(options: KernelOptions) {
    this.#options = options;
  }

  /** Why the kernel cannot be used; undefined once it is open. */
  get trouble(): EbpfError | undefined {
    return this.#opened ? undefined : this.#failure?.error;
  }

  get opened(): boolean {
    return this.#opened;
  }

  /** The failure of the last canary that said something. */
  get canaryFailure(): EbpfError | undefined {
    return this.#canary instanceof EbpfError ? this.#canary : undefined;
  }

  /** Runs `work` alone, with the loader open. @throws EbpfError of opening, or what `work` throws */
  async use<T>(work: (loader: BpfLoader) => Promise<T>): Promise<T> {
    await this.#turn.acquire();
    try {
      await this.#open();
      return await work(this.#options.loader);
    } finally {
      this.#turn.release();
    }
  }

  /**
   * Opens it where programs are wanted, or found, ahead of whoever will need it.
   * @returns whether it is open. Never throws: a failure is for them to meet, who try again.
   */
  async openAhead(areWanted: boolean): Promise<boolean> {
    try {
      if (!areWanted && !await this.#options.loader.present()) return false;
      await this.use(() => Promise.resolve());
      return true;
    } catch {
      this.#failure = undefined;
      return false;
    }
  }

  /** The same for what takes away: there is nothing to do where nothing is pinned. */
  async useToRemove(work: (loader: BpfLoader) => Promise<void>): Promise<void> {
    const { loader, onDemand } = this.#options;
    if (onDemand && !this.#opened && !await loader.present()) return;
    await this.use(work);
  }

  async #open(): Promise<void> {
    if (this.#opened) return;
    const { loader, clock, log, prepare } = this.#options;
    const known = this.#failure;
    if (known !== undefined && clock.monotonic() - known.at < REMEMBER_FAILURE_MS) {
      throw known.error;
    }
    try {
      await loader.open();
      await prepare(loader);
      this.#opened = true;
    } catch (cause) {
      const error = asEbpfError(cause, "use eBPF on this node");
      if (known?.error.message !== error.message) {
        log.error("eBPF cannot be used on this node", { reason: error.reason, err: error });
      }
      this.#failure = { error, at: clock.monotonic() };
      throw error;
    }
  }

  /** Makes sure that the canary has been run lately; resolves whatever came of it. */
  checkCanary(): Promise<void> {
    const { clock, canaryMs } = this.#options;
    const now = clock.monotonic();
    if (this.#canaryRun === undefined || now - this.#canaryRun.at >= canaryMs) {
      this.#canaryRun = { at: now, done: this.#runCanary() };
    }
    return this.#canaryRun.done;
  }

  /** One that cannot be made changes nothing that is known. */
  async #runCanary(): Promise<void> {
    const { canary, metrics, log, canaryChanged } = this.#options;
    const before = this.#canary;
    try {
      const result = await this.use(() => canary.run());
      metrics.canary(result.ok ? "ok" : "failed");
      this.#canary = result.ok ? "ok" : new EbpfError("CanaryFailed", result.message);
    } catch (error) {
      metrics.canary("unable");
      log.warning("The self-test of the firewall cannot be made", { err: error });
      return;
    }
    if ((before instanceof EbpfError) === (this.#canary instanceof EbpfError)) return;
    if (this.#canary instanceof EbpfError) {
      log.error("The self-test of the firewall failed: no firewall can be trusted on this node", {
        err: this.#canary,
      });
    } else log.info("The self-test of the firewall passes again");
    canaryChanged();
  }

  async close(): Promise<void> {
    await this.#turn.acquire();
    try {
      this.#opened = false;
      await this.#options.loader.close();
    } finally {
      this.#turn.release();
    }
  }
}
