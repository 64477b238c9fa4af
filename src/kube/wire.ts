/** The port between the REST client and whatever carries HTTP/1.1 requests to one server. */
import type { HeaderField } from "./http1.ts";

export interface WireRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Without Host and the fields that frame the body. */
  readonly headers: readonly HeaderField[];
  readonly body?: string | Uint8Array | ReadableStream<Uint8Array>;
  /** Aborting rejects `send`, or fails the body, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Exactly one of `bytes` and `stream` must be called, soon: until then the body is held in memory. */
export interface WireResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** The whole body. Rejects when no byte of it comes for as long as the wire's timeout. */
  bytes(): Promise<Uint8Array>;
  /** The body as it comes, without a deadline; cancelling ends the exchange. */
  stream(): ReadableStream<Uint8Array>;
}

/**
 * Failures are `KubeConnectionError`s, or the signal's reason. It repeats nothing, except that a
 * request of an idempotent method that met a connection which the server had closed while it was
 * idle is sent once more.
 */
export interface Wire {
  /** Resolves with the response's head; its deadline covers waiting for a connection, too. */
  send(request: WireRequest): Promise<WireResponse>;
  /** Connections opened so far are not used again: the client certificate has changed. */
  renew(): void;
  /** Fails what is in progress and closes every connection. */
  close(): void;
}
