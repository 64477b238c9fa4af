/**
 * Following a collection, as a pure step function after client-go's Reflector:
 * (state, input) -> (state, effects for the store, what to do next). It does no I/O, reads no clock
 * and draws no randomness: `now` and `random` come with each input.
 *
 * - First a WatchList stream (sendInitialEvents), where the server takes it; else pages of a list.
 *   What comes is *staged*, and replaces the store's scope only when complete.
 * - Then a watch from the last resourceVersion, renewed when it ends; from the start again when the
 *   server has forgotten that version, or sends what is no watch.
 * - A list older than what was seen is thrown away. Only when the server insists for
 *   {@link BACKWARDS_INSIST_MS} it is taken, as a `reset`: its data was restored from a backup.
 * - No server, however broken, makes it spin: between two waits, or two watches that lasted, the
 *   requests are bounded.
 */
import { assert } from "../lib/assert.ts";
import type { ListPage, StoredObject, WatchEvent } from "./ports/codec.ts";
import { compareResourceVersions } from "./resource.ts";
import { endOf, onWatchEvents, onWatchFailure, watchEndOf } from "./watch_changes.ts";
import { classifyFailure, type Failure, failure, type FailureReason } from "./watch_failure.ts";
import {
  BACKWARDS_INSIST_MS,
  BACKWARDS_INSIST_TIMES,
  type Effect,
  type In,
  type Input,
  LIST_PAGES_MAX,
  type Step,
  type WatchState,
} from "./watch_protocol.ts";
import {
  type At,
  type AtWith,
  list,
  reading,
  relist,
  rewatch,
  stream,
  wait,
} from "./watch_requests.ts";

/** Feed it `waited` to begin. */
export const INITIAL_STATE: WatchState = {
  phase: { name: "waiting", then: "relist" },
  resourceVersion: "",
  unavailable: false,
  streamRefused: false,
  paged: false,
  silent: 0,
  backoff: { failures: 0, lastAt: -Infinity, lastReason: undefined },
  backwards: { times: 0, since: 0 },
};

/** @throws {InvariantError} when the input cannot follow from the last `next`. */
export function step<T extends StoredObject>(state: WatchState, input: Input<T>): Step<T> {
  const { phase } = state;
  switch (phase.name) {
    case "waiting":
      assert(input.kind === "waited", `${input.kind} while waiting`);
      return phase.then === "relist" ? relist(state, input) : rewatch(state, input);
    case "listing":
      if (input.kind === "page") return onPage({ state, phase }, input.page, input);
      assert(input.kind === "failed", `${input.kind} while listing`);
      return onListFailure({ state, phase }, classifyFailure(input.error), input);
    case "streaming":
      if (input.kind === "opened") return reading(state, []);
      if (input.kind === "events") return onStreamEvents(state, input.events, input);
      return onStreamFailure(state, endOf(input), { ...input, effects: [] });
    case "watching":
      if (input.kind === "opened") return reading(state, [{ kind: "following" }]);
      if (input.kind === "events") return onWatchEvents({ state, phase }, input.events, input);
      return onWatchFailure(
        { state, phase },
        watchEndOf(input, phase),
        { ...input, effects: [] },
      );
  }
}

function onPage<T extends StoredObject>(
  { state, phase }: In<"listing">,
  page: ListPage<T>,
  at: At,
): Step<T> {
  const resourceVersion = phase.resourceVersion || page.resourceVersion;
  const stage: Effect<T> = { kind: "stage", objects: page.items };
  if (page.continueToken !== "") {
    const pages = phase.pages + 1;
    if (pages >= LIST_PAGES_MAX) {
      const end = failure("bad_stream", `its list has more than ${pages} pages`);
      return wait(state, end, { ...at, effects: [], then: "relist" });
    }
    const query = { ...phase.query, continueToken: page.continueToken };
    const paged = state.paged || phase.query.resourceVersion === "0";
    return {
      state: { ...state, paged, phase: { name: "listing", query, resourceVersion, pages } },
      effects: [stage],
      next: { kind: "list", query },
    };
  }
  const committed = commit(state, resourceVersion, { ...at, effects: [stage] });
  return "next" in committed ? committed : rewatch(committed.state, at, committed.effects);
}

/** The new state; or the step to take instead, when the list is older than the store. */
function commit<T extends StoredObject>(
  state: WatchState,
  resourceVersion: string,
  at: AtWith<T>,
): { readonly state: WatchState; readonly effects: readonly Effect<T>[] } | Step<T> {
  const older = compareResourceVersions(resourceVersion, state.resourceVersion) < 0;
  const times = older ? state.backwards.times + 1 : 0;
  const since = times > 1 ? state.backwards.since : at.now;
  const insists = times >= BACKWARDS_INSIST_TIMES && at.now - since >= BACKWARDS_INSIST_MS;
  if (older && !insists) {
    const what = `its list is of version ${resourceVersion}, after ${state.resourceVersion}`;
    return wait(
      { ...state, unavailable: false, backwards: { times, since } },
      failure("backwards", what),
      { ...at, then: "relist" },
    );
  }
  const initial = state.resourceVersion === "";
  return {
    state: { ...state, resourceVersion, unavailable: false, backwards: { times: 0, since: 0 } },
    effects: [...at.effects, { kind: "commit", resourceVersion, initial, reset: older }],
  };
}

function onListFailure<T extends StoredObject>(
  { state, phase }: In<"listing">,
  failure: Failure,
  at: At,
): Step<T> {
  const { continueToken, limit } = phase.query;
  const midway = continueToken !== "" && limit > 0;
  if (failure.reason === "expired" && midway) return list(state, [], true);
  if (isUnavailable(failure) && !state.unavailable) {
    return list({ ...state, unavailable: true }, []);
  }
  return wait(state, failure, { ...at, effects: [], then: "relist" });
}

function isUnavailable(failure: Failure): boolean {
  return failure.reason === "expired" || failure.reason === "too_large";
}

function onStreamEvents<T extends StoredObject>(
  state: WatchState,
  events: readonly WatchEvent<T>[],
  at: At,
): Step<T> {
  const effects: Effect<T>[] = [];
  for (const [index, event] of events.entries()) {
    switch (event.type) {
      case "ADDED":
      case "MODIFIED":
        effects.push({ kind: "stage", objects: [event.object] });
        break;
      case "DELETED":
        effects.push({ kind: "unstage", object: event.object });
        break;
      case "ERROR":
        return onStreamFailure(state, classifyFailure(event.error), { ...at, effects });
      case "BOOKMARK": {
        // A server that knows initial events sends no other bookmark before their end.
        if (!event.initialEventsEnd) {
          const end = failure("refused", "the server does not send initial events");
          return onStreamFailure(state, end, { ...at, effects });
        }
        const committed = commit(state, event.resourceVersion, { ...at, effects });
        if ("next" in committed) return ended("backwards", committed);
        const phase = { name: "watching", since: at.now, events: 1 } as const;
        const rest = onWatchEvents(
          { state: { ...committed.state, phase }, phase },
          events.slice(index + 1),
          at,
        );
        return { ...rest, effects: [...committed.effects, { kind: "following" }, ...rest.effects] };
      }
    }
  }
  return reading(state, effects);
}

function ended<T extends StoredObject>(reason: FailureReason, step: Step<T>): Step<T> {
  return { ...step, effects: [{ kind: "watch-end", reason }, ...step.effects] };
}

/** Whatever ends a stream too early: a list may still work, unless it would meet the same. */
function onStreamFailure<T extends StoredObject>(
  state: WatchState,
  failure: Failure,
  at: AtWith<T>,
): Step<T> {
  const effects: readonly Effect<T>[] = [
    ...at.effects,
    { kind: "watch-end", reason: failure.reason },
  ];
  switch (failure.reason) {
    case "refused":
    case "stalled":
      return list({ ...state, streamRefused: true }, effects);
    case "expired":
    case "too_large":
      if (!state.unavailable) return stream({ ...state, unavailable: true }, at, effects);
      return wait(state, failure, { ...at, effects, then: "relist" });
    case "throttled":
    case "unauthorized":
    case "forbidden":
    case "not_found":
    case "unreachable":
      return wait(state, failure, { ...at, effects, then: "relist" });
    default:
      return list(state, effects);
  }
}
