/**
 * The codec port: how the bodies of lists, watches and single objects become stored projections.
 *
 * A codec turns bytes into projections `T` and keeps nothing else. JSON is in
 * `src/runtime/json_codec.ts`; protobuf, for built-in types, in `src/kube/`.
 */
import type { KubeApiError } from "./errors.ts";

/** What the runtime itself needs to know of every cached object. Projections extend it. */
export interface StoredObject {
  /** Empty for cluster-scoped objects. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Decimal, comparable as an integer between objects of one type (KEP-5504). */
  readonly resourceVersion: string;
}

export interface ListPage<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  /** Empty on the last page. */
  readonly continueToken: string;
}

export type WatchEvent<T> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | {
    readonly type: "BOOKMARK";
    readonly resourceVersion: string;
    /** Annotated `k8s.io/initial-events-end`: the initial state of a WatchList is complete. */
    readonly initialEventsEnd: boolean;
  }
  | { readonly type: "ERROR"; readonly error: KubeApiError };

/** Splits one watch body into events. One instance per response; chunks may split anywhere, also within a character. */
export interface WatchDecoder<T> {
  /** @throws {SyntaxError} when the bytes are not a watch stream. */
  push(chunk: Uint8Array): WatchEvent<T>[];
  /** The body ended. @throws {SyntaxError} when it ended inside an event. */
  end(): void;
}

export interface Codec<T extends StoredObject> {
  /** `Accept` header for lists and single objects, and for watch requests. */
  readonly listAccept: string;
  readonly watchAccept: string;
  /** @throws {SyntaxError} when the body is not a list. */
  decodeList(body: Uint8Array): ListPage<T>;
  watchDecoder(): WatchDecoder<T>;
  /** The answer to a read or write of one object. @throws {SyntaxError} when the body is none. */
  decodeObject(body: Uint8Array): T;
}
