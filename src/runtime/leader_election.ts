/**
 * Leader election on a `coordination.k8s.io/v1` Lease, compatible with client-go's in both directions.
 *
 * - `lead` runs only while the lease is held, and its signal aborts when it is lost or a stop is asked for.
 * - `assertLeading` is the fence before each write: it compares the monotonic clock with the time at
 *   which the last successful renewal was *sent*, plus `renewDeadlineMs`. A process that was paused
 *   past it refuses to write when it wakes, before any timer has run.
 * - A standby polls every `retryPeriodMs` (stretched by up to a fifth) and takes over as soon as the term
 *   it has seen is over: at most leaseDuration + 1.3 x retryPeriod, and two requests, after the holder died.
 * - On a stop the lease is renewed until `lead` has ended and only then released.
 * - A holder that sees another name in the record, or has not renewed in time, has lost: `run`
 *   resolves after `lead` has ended. Another `run` begins anew.
 *
 * The lease alone does not fence writes that are already on the wire: writers also need preconditions.
 * The identity must be unique to the process: of two that share one, the later takes the lease from the
 * earlier, which finds that out at its next renewal, says so, and stands by.
 */
import { assert } from "../lib/assert.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { LeadershipLostError } from "./leadership.ts";
import { type ClaimResult, LeaseClaim } from "./lease_claim.ts";
import type { RestClient } from "./ports/rest.ts";
import { TokenBucket } from "./token_bucket.ts";

export { LeadershipLostError } from "./leadership.ts";

export interface LeaderElectionTimes {
  /** How long others wait for a sign of life before they take over. Rounded up to whole seconds in the record. */
  readonly leaseDurationMs: number;
  /** How long after its last renewal the holder still acts. */
  readonly renewDeadlineMs: number;
  /** Time between tries. */
  readonly retryPeriodMs: number;
}

export interface LeaderElectionMetrics {
  leading(lease: string, leading: boolean): void;
  /** One try to acquire or renew that the API server did not answer as hoped. */
  failed(lease: string): void;
}

export interface LeaderElectorOptions extends LeaderElectionTimes {
  /** Best a client of its own: lease traffic must not queue behind other traffic. */
  readonly rest: RestClient;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: LeaderElectionMetrics;
}

export interface LeaderElectionProblem {
  readonly option: keyof LeaderElectionTimes | "identity";
  readonly message: string;
}

/** Tries are spread over [retryPeriod, 1.2 x retryPeriod). */
const JITTER = 0.2;
/** Those who wait for the same expiry wake within this part of retryPeriod, not all at once. */
const EXPIRY_JITTER = 0.1;
const RELEASE_LIMIT_MS = 1_500;
const LOG_BURST = 3;
const LOG_REFILL_MS = 30_000;

/** What is wrong with the settings; empty when nothing is. */
export function leaderElectionProblems(
  times: LeaderElectionTimes & { readonly identity: string },
): readonly LeaderElectionProblem[] {
  const problems: LeaderElectionProblem[] = [];
  for (const option of ["leaseDurationMs", "renewDeadlineMs", "retryPeriodMs"] as const) {
    if (!(times[option] > 0 && Number.isFinite(times[option]))) {
      problems.push({ option, message: "must be greater than zero" });
    }
  }
  if (times.identity === "") problems.push({ option: "identity", message: "must not be empty" });
  if (problems.length > 0) return problems;
  if (times.leaseDurationMs <= times.renewDeadlineMs) {
    const message = `must be greater than the renew deadline (${times.renewDeadlineMs} ms)`;
    problems.push({ option: "leaseDurationMs", message });
  }
  if (times.renewDeadlineMs <= times.retryPeriodMs * (1 + JITTER)) {
    const message = `must be greater than 1.2 x the retry period (${times.retryPeriodMs} ms)`;
    problems.push({ option: "renewDeadlineMs", message });
  }
  return problems;
}

export class LeaderElector {
  readonly #options: LeaderElectorOptions;
  readonly #lease: string;
  readonly #log: Logger;
  readonly #logLimit: TokenBucket;
  /** Kept between runs: what was seen of the lease stays true. */
  readonly #claim: LeaseClaim;
  #running = false;
  #leading = false;
  /** Monotonic time at which the last successful renewal was sent. */
  #renewedAt = 0;
  #reportedHolder = "";
  #answeredAt: number;
  #trouble: Error | undefined;

  /** @throws {RangeError} that names every problem of the settings. */
  constructor(options: LeaderElectorOptions) {
    const problems = leaderElectionProblems(options);
    if (problems.length > 0) {
      const text = problems.map(({ option, message }) => `${option} ${message}`).join("; ");
      throw new RangeError(`Cannot elect a leader: ${text}`);
    }
    this.#options = options;
    this.#answeredAt = options.clock.monotonic();
    this.#lease = `${options.namespace}/${options.name}`;
    this.#log = options.log.with({ lease: this.#lease });
    const { clock } = options;
    this.#logLimit = new TokenBucket({ clock, burst: LOG_BURST, refillMs: LOG_REFILL_MS });
    const { rest, namespace, name, identity } = options;
    this.#claim = new LeaseClaim({
      rest,
      clock,
      namespace,
      name,
      identity,
      durationSeconds: Math.max(1, Math.ceil(options.leaseDurationMs / 1000)),
      // Half, so that one request without an answer leaves time for another.
      requestTimeoutMs: options.renewDeadlineMs / 2,
    });
    options.metrics?.leading(this.#lease, false);
  }

  /** Who holds the lease, as last seen; empty when nobody does, or none was seen yet. */
  get holder(): string {
    return this.#claim.record.holder;
  }

  /** True while this process holds the lease and its local deadline has not passed. */
  get leading(): boolean {
    return this.#leading && this.#options.clock.monotonic() < this.#deadline;
  }

  /** `clock.monotonic()` when the lease was last read or written as hoped; at first, of the beginning. */
  get answeredAt(): number {
    return this.#answeredAt;
  }

  /** Why the last try did not get that far. */
  get trouble(): Error | undefined {
    return this.#trouble;
  }

  /** @throws {LeadershipLostError} unless {@link leading}. Call it before each write. */
  assertLeading(): void {
    if (!this.leading) {
      const { identity } = this.#options;
      throw new LeadershipLostError(`Cannot write: "${identity}" does not hold ${this.#lease} now`);
    }
  }

  /**
   * Waits for the lease, runs `lead` once, and gives the lease back. "lost": leadership ended against
   * our will. "stopped": `signal` aborted, or `lead` returned by itself.
   *
   * @throws what `lead` throws, unless leadership was lost or it is the reason of `signal`.
   */
  async run(
    signal: AbortSignal,
    lead: (signal: AbortSignal) => Promise<void>,
  ): Promise<"stopped" | "lost"> {
    assert(!this.#running, "LeaderElector.run is already running");
    this.#running = true;
    try {
      const held = await this.#acquire(signal);
      if (held && !signal.aborted) return await this.#hold(signal, lead);
      await this.#release();
      return "stopped";
    } finally {
      this.#running = false;
    }
  }

  get #deadline(): number {
    return this.#renewedAt + this.#options.renewDeadlineMs;
  }

  async #acquire(signal: AbortSignal): Promise<boolean> {
    this.#log.info("Waiting for the leader lease", { identity: this.#options.identity });
    while (!signal.aborted) {
      const result = await this.#step(signal);
      if (result.held) {
        this.#renewedAt = result.since;
        // A process paused between the request and here has not won anything.
        if (this.#options.clock.monotonic() < this.#deadline) return true;
      }
      if (!await this.#pause(this.#standbyDelayMs(), signal)) break;
    }
    return false;
  }

  #standbyDelayMs(): number {
    const { clock, random, retryPeriodMs } = this.#options;
    const regular = retryPeriodMs * (1 + JITTER * random.next());
    const left = this.#claim.heldByAnother ? this.#claim.expiresAt - clock.monotonic() : 0;
    if (left <= 0) return regular;
    return Math.min(regular, Math.ceil(left) + retryPeriodMs * EXPIRY_JITTER * random.next());
  }

  async #hold(
    signal: AbortSignal,
    lead: (signal: AbortSignal) => Promise<void>,
  ): Promise<"stopped" | "lost"> {
    const work = new AbortController();
    const term = new AbortController();
    let lost = false;
    const lose = (why: string) => {
      if (lost || term.signal.aborted) return;
      lost = true;
      this.#setLeading(false);
      this.#log.error("Lost the leader lease", { reason: why, holder: this.holder });
      work.abort(new LeadershipLostError(`Lost the lease ${this.#lease}: ${why}`));
      term.abort();
    };
    const onStop = () => work.abort(signal.reason);
    signal.addEventListener("abort", onStop, { once: true });
    this.#setLeading(true);
    this.#log.info("Acquired the leader lease", { identity: this.#options.identity });

    const renewing = this.#renew(term.signal, lose);
    let failure: { error: unknown } | undefined;
    try {
      await lead(work.signal);
    } catch (error) {
      failure = { error };
    }
    term.abort();
    signal.removeEventListener("abort", onStop);
    await renewing;
    if (lost) return "lost";
    this.#setLeading(false);
    await this.#release();
    if (failure && !(signal.aborted && failure.error === signal.reason)) throw failure.error;
    return "stopped";
  }

  /** Renews until `stop` aborts; calls `lose` when the lease is, or may be, somebody else's. */
  async #renew(stop: AbortSignal, lose: (why: string) => void): Promise<void> {
    const { clock, random, retryPeriodMs, renewDeadlineMs } = this.#options;
    const expire = () => lose(`not renewed within ${renewDeadlineMs / 1000} s`);
    const arm = () => clock.setTimer(this.#deadline - clock.monotonic(), expire);
    let timer = arm();
    try {
      while (await this.#pause(retryPeriodMs * (1 + JITTER * random.next()), stop)) {
        if (clock.monotonic() >= this.#deadline) return expire();
        const result = await this.#step(stop);
        if (stop.aborted) return;
        // An answer that came too late does not revive a term in which writes may have been refused.
        if (clock.monotonic() >= this.#deadline) return expire();
        if (result.held) {
          this.#renewedAt = result.since;
          timer[Symbol.dispose]();
          timer = arm();
        } else if (this.#claim.heldByAnother) {
          const twin = this.#claim.identityShared;
          return lose(twin ? "another process has the same identity" : `taken by "${this.holder}"`);
        }
      }
    } finally {
      timer[Symbol.dispose]();
    }
  }

  /** One try; failures are logged, not thrown. */
  async #step(signal: AbortSignal): Promise<ClaimResult> {
    try {
      const result = await this.#claim.step(signal);
      this.#answeredAt = this.#options.clock.monotonic();
      this.#trouble = undefined;
      return result;
    } catch (error) {
      if (!signal.aborted) {
        this.#trouble = error as Error;
        this.#options.metrics?.failed(this.#lease);
        if (this.#logLimit.tryTake()) {
          const suppressed = this.#logLimit.takeRefused();
          const fields = suppressed > 0 ? { err: error, suppressed } : { err: error };
          this.#log.warning("Could not acquire or renew the leader lease", fields);
        }
      }
      return { held: false };
    } finally {
      this.#reportHolder();
    }
  }

  #reportHolder(): void {
    if (this.holder === this.#reportedHolder) return;
    this.#reportedHolder = this.holder;
    this.#log.info("The leader is", { holder: this.holder });
  }

  async #release(): Promise<void> {
    const limit = new AbortController();
    const timer = this.#options.clock.setTimer(
      RELEASE_LIMIT_MS,
      () => limit.abort(new Error(`no answer within ${RELEASE_LIMIT_MS / 1000} s`)),
    );
    try {
      await this.#claim.release(limit.signal);
    } catch (error) {
      this.#log.warning("Could not release the leader lease; it will expire", { err: error });
    } finally {
      timer[Symbol.dispose]();
    }
  }

  #setLeading(leading: boolean): void {
    this.#leading = leading;
    this.#options.metrics?.leading(this.#lease, leading);
  }

  /** False when `signal` aborted meanwhile. */
  async #pause(ms: number, signal: AbortSignal): Promise<boolean> {
    try {
      await sleep(this.#options.clock, ms, signal);
      return true;
    } catch {
      return false;
    }
  }
}
