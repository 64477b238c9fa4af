/** What the watch machine (`watch_machine.ts`) and its driver say to each other, and its limits. */
import type { ListPage, WatchEvent } from "./ports/codec.ts";
import type { Backoff, Failure, FailureReason } from "./watch_failure.ts";

export const LIST_PAGE_ITEMS = 500;
/** A million objects; a server that goes on past it gives the same page again and again. */
export const LIST_PAGES_MAX = 2_000;
/** timeoutSeconds is drawn from [300, 600), so that watches do not all end together. */
export const WATCH_SECONDS_MIN = 300;
/**
 * Bookmarks come about once a minute, but none while nothing of that type changes and the server's
 * cache hears nothing from etcd. So silence of this length may be a dead connection, or peace.
 */
export const WATCH_IDLE_MS = 150_000;
/** Silent watches in a row after which the collection is read again. */
export const SILENT_WATCHES_MAX = 4;
/** The initial events of a stream come without a pause. A server that does not know them is silent. */
export const STREAM_IDLE_MS = 30_000;
/** A watch that ends sooner has failed. */
export const SHORT_WATCH_MS = 1_000;
/** How long, and how often in a row, a server must answer with older data before it is believed. */
export const BACKWARDS_INSIST_MS = 60_000;
export const BACKWARDS_INSIST_TIMES = 5;

export type Effect<T> =
  | { readonly kind: "stage-clear" }
  | { readonly kind: "stage"; readonly objects: readonly T[] }
  | { readonly kind: "unstage"; readonly object: T }
  /** What is staged is the whole collection as of `resourceVersion`. */
  | {
    readonly kind: "commit";
    readonly resourceVersion: string;
    readonly initial: boolean;
    readonly reset: boolean;
  }
  | { readonly kind: "upsert" | "remove"; readonly object: T }
  /** Everything up to `resourceVersion` has been seen. */
  | { readonly kind: "progress"; readonly resourceVersion: string }
  /** A watch request ended, whether it was accepted or not. */
  | { readonly kind: "watch-end"; readonly reason: FailureReason }
  /** Not following now; a wait comes next. */
  | { readonly kind: "trouble"; readonly failure: Failure }
  /** The server accepted the watch: changes come as they happen. */
  | { readonly kind: "following" };

export interface WatchQuery {
  readonly resourceVersion: string;
  readonly sendInitialEvents: boolean;
  readonly timeoutSeconds: number;
}

export interface ListQuery {
  /** Empty: the newest, read consistently; "0": whatever the server has in its cache. */
  readonly resourceVersion: string;
  /** 0: no limit. */
  readonly limit: number;
  /** Then resourceVersion must not be sent. */
  readonly continueToken: string;
}

/** Whatever stream is open is closed first, but for `read`. */
export type Next =
  | { readonly kind: "list"; readonly query: ListQuery }
  | { readonly kind: "watch"; readonly query: WatchQuery }
  /** Go on with the open stream; nothing for `idleMs` is input `stalled`. */
  | { readonly kind: "read"; readonly idleMs: number }
  | { readonly kind: "wait"; readonly ms: number };

export type Input<T> =
  /** `now`: monotonic ms; `random`: uniform in [0, 1). */
  & { readonly now: number; readonly random: number }
  & (
    | { readonly kind: "waited" }
    | { readonly kind: "page"; readonly page: ListPage<T> }
    /** The server accepted the watch. */
    | { readonly kind: "opened" }
    | { readonly kind: "events"; readonly events: readonly WatchEvent<T>[] }
    /** The watch's body ended between two events. */
    | { readonly kind: "closed" }
    /** Silence for the allowed time, or no end past timeoutSeconds. */
    | { readonly kind: "stalled" }
    | { readonly kind: "failed"; readonly error: unknown }
  );

export type Start = "relist" | "rewatch";

export type Phase =
  | { readonly name: "waiting"; readonly then: Start }
  | { readonly name: "streaming" }
  | {
    readonly name: "listing";
    readonly query: ListQuery;
    /** resourceVersion of the first page; empty before it. */
    readonly resourceVersion: string;
    /** Pages before this one. */
    readonly pages: number;
  }
  | { readonly name: "watching"; readonly since: number; readonly events: number };

export interface WatchState {
  readonly phase: Phase;
  /** Up to which everything is in the store; empty before the first commit. */
  readonly resourceVersion: string;
  /** The server has no data at that version: ask for the newest. */
  readonly unavailable: boolean;
  /** This server does not know sendInitialEvents. Forgotten when the connection is lost: another may answer. */
  readonly streamRefused: boolean;
  /** It paged even a list from its cache, so it has no watch cache for this type: always page. */
  readonly paged: boolean;
  /** Watches in a row that brought nothing. */
  readonly silent: number;
  readonly backoff: Backoff;
  /** Lists in a row that were older than the store, and when the first came. */
  readonly backwards: { readonly times: number; readonly since: number };
}

export interface Step<T> {
  readonly state: WatchState;
  readonly effects: readonly Effect<T>[];
  readonly next: Next;
}

/** A state that is known to be in that phase. */
export interface In<Name extends Phase["name"]> {
  readonly state: WatchState;
  readonly phase: Extract<Phase, { name: Name }>;
}
