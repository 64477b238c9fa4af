/** The watch machine's steps while it follows changes: what an event means, and the end of a watch. Pure. */
import { InvariantError } from "../lib/assert.ts";
import type { StoredObject, WatchEvent } from "./ports/codec.ts";
import { compareResourceVersions } from "./resource.ts";
import { classifyFailure, type Failure, failure } from "./watch_failure.ts";
import {
  type Effect,
  type In,
  type Input,
  SHORT_WATCH_MS,
  SILENT_WATCHES_MAX,
  type Step,
} from "./watch_protocol.ts";
import { type At, type AtWith, reading, relist, rewatch, wait } from "./watch_requests.ts";

export function onWatchEvents<T extends StoredObject>(
  { state, phase }: In<"watching">,
  events: readonly WatchEvent<T>[],
  at: At,
): Step<T> {
  const effects: Effect<T>[] = [];
  let { resourceVersion } = state;
  let end: Failure | undefined;
  for (const event of events) {
    if (event.type === "ERROR") {
      end = classifyFailure(event.error);
      break;
    }
    const bookmark = event.type === "BOOKMARK";
    const version = bookmark ? event.resourceVersion : event.object.resourceVersion;
    const order = compareResourceVersions(version, resourceVersion);
    if (!bookmark) {
      effects.push({ kind: event.type === "DELETED" ? "remove" : "upsert", object: event.object });
    } else if (order < 0) {
      // This server is behind what we have seen, and will send nothing until it has caught up.
      end = failure("backwards", `a bookmark of version ${version}, after ${resourceVersion}`);
      break;
    }
    if (order > 0) resourceVersion = version;
  }
  if (resourceVersion !== state.resourceVersion) {
    effects.push({ kind: "progress", resourceVersion });
  }
  const watching = { ...phase, events: phase.events + events.length };
  const moved = { ...state, resourceVersion, silent: 0, phase: watching };
  if (!end) return reading(moved, effects);
  return onWatchFailure({ state: moved, phase: watching }, end, { ...at, effects });
}

export function onWatchFailure<T extends StoredObject>(
  { state, phase }: In<"watching">,
  failure: Failure,
  at: AtWith<T>,
): Step<T> {
  const { reason } = failure;
  const effects: readonly Effect<T>[] = [...at.effects, { kind: "watch-end", reason }];
  switch (reason) {
    case "closed":
      return rewatch(state, at, effects);
    // What a server answers whose cache is new, as after each restart: nothing to wait for.
    case "expired": {
      const { backoff } = state;
      if (backoff.lastReason === reason) {
        return wait(state, failure, { ...at, effects, then: "relist" });
      }
      return relist({ ...state, backoff: { ...backoff, lastReason: reason } }, at, effects);
    }
    // Quiet collections are silent too: a new watch shows whether the server is still there. After
    // several, ours may be a version that the server will never reach.
    case "stalled": {
      const silent = state.silent + 1;
      if (silent < SILENT_WATCHES_MAX) return rewatch({ ...state, silent }, at, effects);
      return relist({ ...state, silent: 0 }, at, effects);
    }
    case "short": {
      const then = phase.events === 0 ? "relist" : "rewatch";
      return wait(state, failure, { ...at, effects, then });
    }
    // The version may still be good: asking again costs less than a list.
    case "throttled":
    case "unauthorized":
    case "forbidden":
    case "unreachable":
    case "interrupted":
      return wait(state, failure, { ...at, effects, then: "rewatch" });
    default:
      return wait(state, failure, { ...at, effects, then: "relist" });
  }
}

export function endOf<T extends StoredObject>(input: Input<T>): Failure {
  switch (input.kind) {
    case "failed":
      return classifyFailure(input.error);
    case "closed":
      return failure("closed", "the server ended the watch");
    case "stalled":
      return failure("stalled", "the watch went silent");
    default:
      throw new InvariantError(`${input.kind} while a watch is open`);
  }
}

export function watchEndOf<T extends StoredObject>(
  input: Input<T>,
  phase: In<"watching">["phase"],
): Failure {
  if (input.kind === "closed" && input.now - phase.since < SHORT_WATCH_MS) {
    return failure("short", `the server ended the watch after ${phase.events} events`);
  }
  return endOf(input);
}
