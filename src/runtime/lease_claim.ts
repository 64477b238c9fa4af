/**
 * One candidate's view of a Lease, and the single step of client-go's election: acquire or renew.
 *
 * - Expiry is local: monotonic time since the record was seen to change, plus the duration in the
 *   record. Wall clocks, ours or the holder's, play no part.
 * - Each write carries the resourceVersion it is based on: of two candidates one wins.
 * - A lease that someone deleted is made again at once by its holder, within its term; others that knew
 *   of a holder wait for a whole term from when they found it missing: it may just have been renewed.
 * - A record in our name is ours, as after a restart, until somebody renews it who is not us: then
 *   another process has our name, and counts as another holder.
 *
 * Requests are bounded in time; when to step is the elector's affair.
 */
import type { Clock } from "../lib/clock.ts";
import { requestJson } from "./deadline.ts";
import {
  isLease,
  LEASE_TYPE,
  type LeaseRecord,
  readRecord,
  sameRecord,
  writeRecord,
} from "./lease_record.ts";
import { microTime } from "./micro_time.ts";
import { isConflict, isNotFound, KubeConnectionError } from "./ports/errors.ts";
import type { JsonValue, RequestOptions, RestClient } from "./ports/rest.ts";
import { resourcePath } from "./resource.ts";

export interface LeaseClaimOptions {
  readonly rest: RestClient;
  readonly clock: Clock;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  /** Written into the record: whole seconds, at least 1. */
  readonly durationSeconds: number;
  readonly requestTimeoutMs: number;
}

/** `since`: monotonic time just before the successful write was sent; nobody has seen it earlier. */
export type ClaimResult = { readonly held: true; readonly since: number } | {
  readonly held: false;
};

const NO_RECORD: LeaseRecord = {
  holder: "",
  durationSeconds: 0,
  transitions: 0,
  acquireTime: "",
  renewTime: "",
};
const RELEASE_TRIES_MAX = 5;
/** Writes of our own that are told from another process's. */
const SENT_MAX = 32;

export class LeaseClaim {
  readonly #options: LeaseClaimOptions;
  #lease: JsonValue = undefined;
  #record: LeaseRecord = NO_RECORD;
  #observedAt = 0;
  /** Monotonic time at which the lease was first found missing, in an unbroken row of such findings. */
  #missingSince: number | undefined;
  /** Monotonic time of the last of them. */
  #missingAt = 0;
  /** A write was sent and its answer never came. */
  #uncertain = false;
  /** renewTime of our last writes: one of them may be carried out long after it was given up. */
  readonly #sent: string[] = [];
  /** The record seen last is in our name, but was written by another process. */
  #twin = false;

  constructor(options: LeaseClaimOptions) {
    this.#options = options;
  }

  /** The record last seen. */
  get record(): LeaseRecord {
    return this.#record;
  }

  get mine(): boolean {
    return this.#record.holder === this.#options.identity && !this.#twin;
  }

  /** Another process renews the lease under our identity. */
  get identityShared(): boolean {
    return this.#twin;
  }

  get heldByAnother(): boolean {
    return this.#record.holder !== "" && !this.mine;
  }

  /** Monotonic time at which the record last seen counts as expired. */
  get expiresAt(): number {
    return (this.#missingSince ?? this.#observedAt) + this.#record.durationSeconds * 1000;
  }

  /** Acquires or renews. @throws what the port throws, also when another candidate was faster (409). */
  async step(signal: AbortSignal): Promise<ClaimResult> {
    const now = this.#options.clock.monotonic();
    const termEnd = this.#observedAt + this.#record.durationSeconds * 1000;
    const inOwnTerm = this.mine && now < termEnd;
    if (this.#lease && inOwnTerm) {
      try {
        return await this.#put(this.#claimed(), signal);
      } catch {
        // The record is not what we thought, or the answer got lost: look, then try once more.
        signal.throwIfAborted();
      }
    }
    try {
      this.#observe(await this.#request("GET", undefined, signal));
    } catch (error) {
      if (!isNotFound(error)) {
        this.#missingSince = undefined;
        throw error;
      }
      this.#lease = undefined;
      this.#noteMissing();
      // Within our own term nobody else can have held it. Past that, somebody may, unseen by us.
      const known = this.#record.holder !== "" && !inOwnTerm;
      if (known && now < this.expiresAt) return { held: false };
      return await this.#create(signal);
    }
    if (this.heldByAnother && now < this.expiresAt) return { held: false };
    return await this.#put(this.#claimed(), signal);
  }

  /** Gives the lease up when it is ours, so that the next holder need not wait. @throws as the port does. */
  async release(signal: AbortSignal): Promise<void> {
    let known = this.#lease !== undefined && !this.#uncertain;
    if (!this.mine && !this.#uncertain) return;
    for (let tries = 1;; tries++) {
      try {
        if (!known) this.#observe(await this.#request("GET", undefined, signal));
        if (!this.mine) return;
        const time = microTime(this.#options.clock.now());
        const { transitions } = this.#record;
        await this.#put(
          { holder: "", durationSeconds: 1, transitions, acquireTime: time, renewTime: time },
          signal,
        );
        return;
      } catch (error) {
        if (isNotFound(error)) return;
        if (!isConflict(error) || tries >= RELEASE_TRIES_MAX) throw error;
        known = false;
      }
    }
  }

  #claimed(): LeaseRecord {
    const time = microTime(this.#options.clock.now());
    const { transitions, acquireTime, holder } = this.#record;
    const first = this.#lease === undefined && holder === "";
    return {
      holder: this.#options.identity,
      durationSeconds: this.#options.durationSeconds,
      transitions: this.mine || first ? transitions : transitions + 1,
      acquireTime: this.mine && acquireTime !== "" ? acquireTime : time,
      renewTime: time,
    };
  }

  #create(signal: AbortSignal): Promise<ClaimResult> {
    return this.#write("POST", this.#claimed(), signal);
  }

  #put(record: LeaseRecord, signal: AbortSignal): Promise<ClaimResult> {
    return this.#write("PUT", record, signal);
  }

  async #write(
    method: "POST" | "PUT",
    record: LeaseRecord,
    signal: AbortSignal,
  ): Promise<ClaimResult> {
    const since = this.#options.clock.monotonic();
    const body = writeRecord(this.#options, this.#lease, record);
    this.#uncertain = true;
    this.#sent.push(record.renewTime);
    if (this.#sent.length > SENT_MAX) this.#sent.shift();
    this.#observe(await this.#request(method, body, signal));
    return { held: true, since };
  }

  /** Whoever has not looked for a whole term, or in vain, cannot know that it was missing all the time. */
  #noteMissing(): void {
    const now = this.#options.clock.monotonic();
    const isContinuous = now - this.#missingAt < this.#record.durationSeconds * 1000;
    if (!isContinuous) this.#missingSince = undefined;
    this.#missingSince ??= now;
    this.#missingAt = now;
  }

  #observe(lease: JsonValue): void {
    const record = readRecord(lease);
    this.#lease = lease;
    this.#missingSince = undefined;
    this.#uncertain = false;
    if (record.holder !== this.#options.identity || this.#sent.includes(record.renewTime)) {
      this.#twin = false;
    } else if (this.#sent.length > 0 && record.renewTime !== this.#record.renewTime) {
      this.#twin = true;
    }
    if (sameRecord(record, this.#record)) return;
    this.#record = record;
    this.#observedAt = this.#options.clock.monotonic();
  }

  async #request(
    method: "GET" | "POST" | "PUT",
    body: JsonValue,
    signal: AbortSignal,
  ): Promise<JsonValue> {
    const { rest, clock, namespace, name, requestTimeoutMs } = this.#options;
    const request: RequestOptions = {
      method,
      path: resourcePath(LEASE_TYPE, method === "POST" ? { namespace } : { namespace, name }),
      ...(body === undefined ? {} : { bodyJson: body }),
    };
    const answer = await requestJson(request, { rest, clock, timeoutMs: requestTimeoutMs, signal });
    if (isLease(answer)) return answer;
    // A proxy that says 200 by itself: it neither holds the lease nor tells who does.
    const reason = "the answer is no Lease";
    throw new KubeConnectionError("interrupted", `Cannot ${method} ${request.path}: ${reason}`);
  }
}
