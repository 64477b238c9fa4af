/**
 * Confirms by a live read that an object is gone, before what depends on it is deleted: a cache that
 * was filled from a stale API server must not destroy anything.
 *
 * The answer that a PCMC is gone serves all who ask within two seconds, so that a deleted PCMC with
 * 500 ConfigMaps costs one read. It can be outdated by then only by a new object of that name, whose
 * own events make its ConfigMaps anew.
 */
import type { Clock } from "../lib/clock.ts";
import type { ApiClient } from "../runtime/api_client.ts";
import { isNotFound } from "../runtime/ports/errors.ts";
import type { ResourceType } from "../runtime/resource.ts";
import { PCMCS, PODS } from "./resources.ts";

const MEMO_MS = 2_000;
const MEMO_ENTRIES_MAX = 1_000;

interface Memo {
  readonly at: number;
  readonly gone: Promise<boolean>;
}

export class AbsenceCheck {
  readonly #api: ApiClient;
  readonly #clock: Clock;
  readonly #memos = new Map<string, Memo>();

  constructor(api: ApiClient, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
  }

  ofPod(namespace: string, name: string, signal: AbortSignal): Promise<boolean> {
    return this.#gone(PODS, { namespace, name }, signal);
  }

  async ofPcmc(namespace: string, name: string, signal: AbortSignal): Promise<boolean> {
    const key = `${namespace}/${name}`;
    const now = this.#clock.monotonic();
    const known = this.#memos.get(key);
    if (known !== undefined && now - known.at < MEMO_MS) {
      try {
        // "Still there" may be older than the deletion that brings up the question: ask again.
        if (await known.gone) return true;
      } catch {
        // Whoever asked first was aborted or failed: ask again, under our own signal.
      }
    }
    if (this.#memos.size >= MEMO_ENTRIES_MAX) this.#memos.clear();
    const gone = this.#gone(PCMCS, { namespace, name }, signal);
    this.#memos.set(key, { at: now, gone });
    return await gone;
  }

  async #gone(
    type: ResourceType,
    at: { namespace: string; name: string },
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      const object = await this.#api.get<{ metadata?: { deletionTimestamp?: string } }>(
        type,
        at,
        signal,
      );
      // A terminating PCMC counts as gone; a terminating Pod still is there.
      return type === PCMCS && Boolean(object.metadata?.deletionTimestamp);
    } catch (error) {
      if (isNotFound(error)) return true;
      throw error;
    }
  }
}
