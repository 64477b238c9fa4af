/** The steps by which the watch machine asks for something: which request, with which parameters. Pure. */
import { assert } from "../lib/assert.ts";
import type { StoredObject } from "./ports/codec.ts";
import { type Failure, isOutage, nextBackoff } from "./watch_failure.ts";
import {
  type Effect,
  LIST_PAGE_ITEMS,
  type Start,
  type Step,
  STREAM_IDLE_MS,
  WATCH_IDLE_MS,
  WATCH_SECONDS_MIN,
  type WatchState,
} from "./watch_protocol.ts";

export interface At {
  readonly now: number;
  readonly random: number;
}

/** A moment, and what has to be done about what came before the failure. */
export interface AtWith<T> extends At {
  readonly effects: readonly Effect<T>[];
}

export function relist<T extends StoredObject>(
  state: WatchState,
  at: At,
  effects: readonly Effect<T>[] = [],
): Step<T> {
  return state.streamRefused ? list(state, effects) : stream(state, at, effects);
}

export function stream<T extends StoredObject>(
  state: WatchState,
  at: At,
  effects: readonly Effect<T>[],
): Step<T> {
  const query = {
    resourceVersion: state.unavailable ? "" : state.resourceVersion,
    sendInitialEvents: true,
    timeoutSeconds: timeoutSeconds(at),
  };
  return {
    state: { ...state, phase: { name: "streaming" } },
    effects: [...effects, { kind: "stage-clear" }],
    next: { kind: "watch", query },
  };
}

/**
 * The newest list and any list of the cache are asked for in pages. A list not older than a version
 * is asked for whole, because with a limit the server would bypass its cache.
 */
export function list<T extends StoredObject>(
  state: WatchState,
  effects: readonly Effect<T>[],
  whole = false,
): Step<T> {
  const resourceVersion = state.unavailable ? "" : state.resourceVersion || "0";
  const pages = !whole && (state.paged || resourceVersion === "" || resourceVersion === "0");
  const query = { resourceVersion, limit: pages ? LIST_PAGE_ITEMS : 0, continueToken: "" };
  return {
    state: { ...state, phase: { name: "listing", query, resourceVersion: "", pages: 0 } },
    effects: [...effects, { kind: "stage-clear" }],
    next: { kind: "list", query },
  };
}

export function rewatch<T extends StoredObject>(
  state: WatchState,
  at: At,
  effects: readonly Effect<T>[] = [],
): Step<T> {
  assert(state.resourceVersion !== "", "a watch needs a list before it");
  const query = {
    resourceVersion: state.resourceVersion,
    sendInitialEvents: false,
    timeoutSeconds: timeoutSeconds(at),
  };
  return {
    state: { ...state, phase: { name: "watching", since: at.now, events: 0 } },
    effects,
    next: { kind: "watch", query },
  };
}

function timeoutSeconds(at: At): number {
  return WATCH_SECONDS_MIN + Math.floor(WATCH_SECONDS_MIN * at.random);
}

export function reading<T extends StoredObject>(
  state: WatchState,
  effects: readonly Effect<T>[],
): Step<T> {
  const idleMs = state.phase.name === "streaming" ? STREAM_IDLE_MS : WATCH_IDLE_MS;
  return { state, effects, next: { kind: "read", idleMs } };
}

export function wait<T extends StoredObject>(
  state: WatchState,
  failure: Failure,
  how: AtWith<T> & { then: Start },
): Step<T> {
  const { backoff, ms } = nextBackoff(state.backoff, failure, how);
  return {
    state: {
      ...state,
      phase: { name: "waiting", then: how.then },
      backoff,
      streamRefused: state.streamRefused && !isOutage(failure.reason),
    },
    effects: [...how.effects, { kind: "trouble", failure }],
    next: { kind: "wait", ms },
  };
}
