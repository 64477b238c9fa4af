/**
 * Records Kubernetes Events (`events.k8s.io/v1`) about any object.
 *
 * - `record` returns at once and never throws: writing is done by `run`, one request at a time.
 * - Aggregated: the same type, reason, action and objects within 6 minutes are one Event with a series;
 *   its count is written at most once a minute.
 * - Rate limited: an object gets 10 Events at once, then one every 5 minutes.
 * - Bounded: 1,000 Events wait at most, 1,024 series and objects are remembered.
 * - Best effort: what the server refuses, or does not take in 5 tries, is dropped. Dropped Events are
 *   counted in the log, at a bounded rate. A stop drops what waits.
 */
import { backoffMs } from "../lib/backoff.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { ApiClient } from "./api_client.ts";
import { DelayHeap } from "./delay_heap.ts";
import { microTime } from "./micro_time.ts";
import { isAlreadyExists, isNotFound } from "./ports/errors.ts";
import type { JsonObject } from "./ports/rest.ts";
import type { ResourceType } from "./resource.ts";
import { classify } from "./retry.ts";
import { TokenBucket } from "./token_bucket.ts";

export const EVENT_TYPE: ResourceType = {
  group: "events.k8s.io",
  version: "v1",
  plural: "events",
  kind: "Event",
  namespaced: true,
};

export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  /** Empty for cluster-scoped objects; their Events go to the namespace `default`. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface EventContent {
  readonly type: "Normal" | "Warning";
  /** UpperCamelCase, at most 128 characters, from a closed set: it tells series apart. */
  readonly reason: string;
  /** What was done or attempted; as `reason`. */
  readonly action: string;
  /** For people. Cut at 1,024 bytes. A series keeps the note of its first Event. */
  readonly note: string;
  readonly related?: ObjectReference;
}

export interface EventRecorderOptions {
  readonly api: Pick<ApiClient, "create" | "patch">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Qualified name of the controller, such as `podconfig.example.com/controller`. */
  readonly reportingController: string;
  /** This process, such as its lease identity; cut at 128 characters. */
  readonly reportingInstance: string;
}

const SERIES_GAP_MS = 6 * 60_000;
const SERIES_WRITE_MS = 60_000;
const OBJECT_BURST = 10;
const OBJECT_REFILL_MS = 5 * 60_000;
const QUEUE_EVENTS_MAX = 1_000;
const REMEMBERED_MAX = 1_024;
const TRIES_MAX = 5;
const RETRY = { initialMs: 1_000, factor: 2, maxMs: 30_000, jitter: 1 };
const NOTE_BYTES_MAX = 1_024;
const INSTANCE_CHARS_MAX = 128;
const NAME_CHARS_MAX = 253;

interface Series {
  readonly key: string;
  readonly body: JsonObject;
  readonly at: { readonly namespace: string; readonly name: string };
  count: number;
  /** Monotonic, and as MicroTime. */
  lastAt: number;
  lastObservedTime: string;
  /** The count the server knows; 0 until the Event exists. */
  written: number;
  writtenAt: number;
}

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #dropLog: TokenBucket;
  readonly #series = new Map<string, Series>();
  readonly #objects = new Map<string, TokenBucket>();
  readonly #fresh: Series[] = [];
  readonly #repeats = new DelayHeap();
  #wake: () => void = () => {};

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#dropLog = new TokenBucket({ clock: options.clock, burst: 3, refillMs: 30_000 });
  }

  /** Notes that `event` happened to `regarding`. */
  record(regarding: ObjectReference, event: EventContent): void {
    const now = this.#options.clock.monotonic();
    const key = seriesKey(regarding, event);
    const known = this.#series.get(key);
    if (known && now - known.lastAt < SERIES_GAP_MS) {
      known.count++;
      known.lastAt = now;
      known.lastObservedTime = microTime(this.#options.clock.now());
      remember(this.#series, key, known);
      if (known.written > 0) this.#repeats.add(key, known.writtenAt + SERIES_WRITE_MS, false);
    } else {
      if (this.#fresh.length >= QUEUE_EVENTS_MAX) return this.#dropped(event, "too many wait");
      if (!this.#bucket(regarding).tryTake()) return this.#dropped(event, "too many on one object");
      const series = this.#newSeries(key, regarding, event, now);
      remember(this.#series, key, series);
      this.#fresh.push(series);
    }
    this.#wake();
  }

  /** Writes what was recorded until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const series = this.#next();
      if (series) await this.#write(series, signal);
      else await this.#untilNext(signal);
    }
  }

  #next(): Series | undefined {
    const fresh = this.#fresh.shift();
    if (fresh) return fresh;
    const due = this.#repeats.takeDue(this.#options.clock.monotonic());
    return due && this.#series.get(due.key);
  }

  /** Resolves when there may be something to write, or `signal` aborts. */
  #untilNext(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const due = this.#repeats.peek()?.due;
    return new Promise((resolve) => {
      const end = () => {
        timer?.[Symbol.dispose]();
        signal.removeEventListener("abort", end);
        this.#wake = () => {};
        resolve();
      };
      const timer = due === undefined
        ? undefined
        : clock.setTimer(Math.ceil(Math.max(0, due - clock.monotonic())), end);
      signal.addEventListener("abort", end, { once: true });
      this.#wake = end;
    });
  }

  async #write(series: Series, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    for (let tries = 1; series.written < series.count; tries++) {
      const count = series.count;
      try {
        await this.#send(series, signal);
        series.written = count;
        series.writtenAt = clock.monotonic();
        // What was counted while the request was under way waits its minute.
        if (series.count > count) {
          this.#repeats.add(series.key, series.writtenAt + SERIES_WRITE_MS, false);
        }
        return;
      } catch (error) {
        if (signal.aborted) return;
        const verdict = classify(error);
        const helps = verdict.kind === "retry" && verdict.pace === "backoff" &&
          verdict.errorType !== "leadership_lost";
        if (!helps || tries >= TRIES_MAX) {
          this.#series.delete(series.key);
          return this.#dropped(series.body, "not taken by the API server", error);
        }
        const ms = Math.max(backoffMs(RETRY, tries - 1, random), verdict.minDelayMs);
        await sleep(clock, ms, signal).catch(() => {});
        if (signal.aborted) return;
      }
    }
  }

  async #send(series: Series, signal: AbortSignal): Promise<void> {
    const { api } = this.#options;
    const { count, lastObservedTime, at } = series;
    const repeats = { series: { count, lastObservedTime } };
    if (series.written > 0) {
      try {
        const contentType = "application/merge-patch+json";
        await api.patch(EVENT_TYPE, at, { contentType, body: repeats }, signal);
        return;
      } catch (error) {
        // Events expire, by default after an hour: this one is made again.
        if (!isNotFound(error)) throw error;
      }
    }
    const body = count > 1 ? { ...series.body, ...repeats } : series.body;
    try {
      await api.create(EVENT_TYPE, at, body, signal);
    } catch (error) {
      // The name is random: it was our own request, whose answer got lost.
      if (!isAlreadyExists(error)) throw error;
    }
  }

  #newSeries(key: string, regarding: ObjectReference, event: EventContent, now: number): Series {
    const { clock, random, reportingController, reportingInstance } = this.#options;
    const namespace = regarding.namespace || "default";
    const unique = hex(clock.now(), 12) + hex(random.next() * 2 ** 32, 8);
    const stem = regarding.name.slice(0, NAME_CHARS_MAX - unique.length - 1);
    const name = `${stem.replace(/[-.]+$/, "")}.${unique}`;
    const time = microTime(clock.now());
    const body: JsonObject = {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { name, namespace },
      eventTime: time,
      type: event.type,
      reason: event.reason,
      action: event.action,
      note: cutNote(event.note),
      regarding: referenceOf(regarding),
      ...(event.related ? { related: referenceOf(event.related) } : {}),
      reportingController,
      reportingInstance: reportingInstance.slice(0, INSTANCE_CHARS_MAX),
    };
    const counts = { count: 1, lastAt: now, lastObservedTime: time, written: 0, writtenAt: 0 };
    return { key, body, at: { namespace, name }, ...counts };
  }

  #bucket(object: ObjectReference): TokenBucket {
    const key = objectText(object);
    const { clock } = this.#options;
    const bucket = this.#objects.get(key) ??
      new TokenBucket({ clock, burst: OBJECT_BURST, refillMs: OBJECT_REFILL_MS });
    remember(this.#objects, key, bucket);
    return bucket;
  }

  #dropped(event: { readonly reason?: unknown }, why: string, err?: unknown): void {
    if (!this.#dropLog.tryTake()) return;
    const more = this.#dropLog.takeRefused();
    this.#options.log.warning("Event dropped", {
      event: event.reason,
      why,
      ...(err === undefined ? {} : { err }),
      ...(more > 0 ? { alsoDropped: more } : {}),
    });
  }
}

function seriesKey(regarding: ObjectReference, event: EventContent): string {
  const { type, reason, action, related } = event;
  const about = [objectText(regarding), related ? objectText(related) : ""];
  return [type, reason, action, ...about].join("\n");
}

function objectText(object: ObjectReference): string {
  return [object.apiVersion, object.kind, object.namespace, object.name, object.uid].join(" ");
}

function referenceOf(object: ObjectReference): JsonObject {
  const { apiVersion, kind, namespace, name, uid } = object;
  return { apiVersion, kind, name, ...(namespace && { namespace }), ...(uid && { uid }) };
}

/** Puts `key` last and forgets the longest unused one when there are too many. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > REMEMBERED_MAX) {
    for (const oldest of map.keys()) {
      map.delete(oldest);
      return;
    }
  }
}

function hex(value: number, digits: number): string {
  return Math.floor(value).toString(16).padStart(digits, "0").slice(-digits);
}

function cutNote(note: string): string {
  const encoder = new TextEncoder();
  if (encoder.encode(note).length <= NOTE_BYTES_MAX) return note;
  const { read } = encoder.encodeInto(note, new Uint8Array(NOTE_BYTES_MAX - 3));
  return `${note.slice(0, read)}…`;
}
