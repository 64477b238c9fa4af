/**
 * Typed verbs over the REST port, for reads and writes of single objects.
 *
 * - So many attempts at a time; the others wait, before their deadline begins and their body is put
 *   into words: memory is bounded, however many objects are to be written, and however large.
 * - One deadline per attempt. An attempt that passes it, or whose caller aborts, is abandoned at once,
 *   whatever the transport does; nothing is left behind (timer, listener).
 * - Retries only what the server asked to have retried (429 and 5xx with `Retry-After`), and reads that
 *   found no server; both bounded in number and total time. Everything else is the caller's decision.
 * - `beforeWrite` runs immediately before each attempt of a write, retries included; when it throws,
 *   nothing is sent.
 *
 * It does not cache, and does not know whether a write without an answer was carried out: callers
 * make writes safe to repeat by names and preconditions.
 */
import { type Clock, sleep } from "../lib/clock.ts";
import { requestBytes, requestJson } from "./deadline.ts";
import { Permits } from "./permits.ts";
import type { Codec, StoredObject } from "./ports/codec.ts";
import { isNotFound, KubeApiError, KubeConnectionError } from "./ports/errors.ts";
import type { JsonValue, RequestOptions, RestClient } from "./ports/rest.ts";
import { resourcePath, type ResourceType } from "./resource.ts";

export interface RequestMetrics {
  /**
   * One attempt. `verb`: get, create, update, patch, delete. `resource`: plural, with "/subresource".
   * `code`: "2xx", the HTTP status of a refusal, "aborted", or a connection failure such as "timeout".
   */
  observe(r: { verb: string; resource: string; code: string; seconds: number }): void;
}

export interface ApiClientOptions {
  readonly rest: RestClient;
  readonly clock: Clock;
  /** Deadline of one attempt. Default 15 s. */
  readonly timeoutMs?: number;
  /** Attempts at a time. Default 64. */
  readonly concurrency?: number;
  /** @throws {LeadershipLostError} when this process must not write. */
  readonly beforeWrite?: () => void;
  readonly metrics?: RequestMetrics;
}

export interface ObjectAt {
  /** Absent or empty for cluster-scoped objects. */
  readonly namespace?: string;
  readonly name: string;
  readonly subresource?: string;
}

export interface Patch {
  /** Such as `application/json-patch+json` or `application/merge-patch+json`. */
  readonly contentType: string;
  readonly body: JsonValue;
}

export interface DeletePreconditions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

type Verb = "get" | "create" | "update" | "patch" | "delete";

/** How an answer is asked for and read; without one it is JSON, whole. */
type AnswerCodec = Pick<Codec<StoredObject>, "listAccept" | "decodeObject">;

interface Call {
  readonly verb: Verb;
  readonly resource: string;
  readonly request: RequestOptions;
  readonly signal: AbortSignal | undefined;
  readonly codec: AnswerCodec | undefined;
}

const TIMEOUT_MS = 15_000;
const CONCURRENCY = 64;
/** Further attempts after the first. */
const RETRIES_MAX = 10;
/** No retry begins later than this after the first attempt began. */
const RETRY_TOTAL_MS = 30_000;
/** Further attempts of a read that met no server, and the delay before the first of them (doubled each time). */
const READ_RETRIES_MAX = 3;
const READ_RETRY_MS = 100;

export class ApiClient {
  readonly #options: ApiClientOptions;
  readonly #permits: Permits;

  constructor(options: ApiClientOptions) {
    this.#options = options;
    this.#permits = new Permits(options.concurrency ?? CONCURRENCY);
  }

  /** @throws {KubeApiError | KubeConnectionError}, or the reason of `signal`; so do all verbs. */
  get<T>(type: ResourceType, at: ObjectAt, signal?: AbortSignal): Promise<T> {
    const path = resourcePath(type, at);
    return this.#call("get", type, at.subresource, { method: "GET", path }, signal) as Promise<T>;
  }

  /** As `get`, for objects that `codec` reads. */
  read<T extends StoredObject>(
    type: ResourceType,
    at: ObjectAt,
    codec: Codec<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const request: RequestOptions = { method: "GET", path: resourcePath(type, at) };
    return this.#call("get", type, at.subresource, request, signal, codec) as Promise<T>;
  }

  /**
   * POST to the collection, or to the object's subresource when `at` has one. With a `codec` the answer
   * is its projection: a third of the time for a built-in type, on the server's side too.
   */
  create<T>(
    type: ResourceType,
    at: { readonly namespace?: string; readonly name?: string; readonly subresource?: string },
    body: JsonValue,
    signal?: AbortSignal,
    codec?: AnswerCodec,
  ): Promise<T> {
    const { name: _, ...collection } = at;
    const path = resourcePath(type, at.subresource ? at : collection);
    const request: RequestOptions = { method: "POST", path, bodyJson: body };
    return this.#call("create", type, at.subresource, request, signal, codec) as Promise<T>;
  }

  /** PUT: replaces the object; `metadata.resourceVersion` in the body is the precondition. */
  update<T>(
    type: ResourceType,
    at: ObjectAt,
    body: JsonValue,
    signal?: AbortSignal,
  ): Promise<T> {
    const path = resourcePath(type, at);
    const request: RequestOptions = { method: "PUT", path, bodyJson: body };
    return this.#call("update", type, at.subresource, request, signal) as Promise<T>;
  }

  /** With a `codec` the answer is its projection. */
  patch<T>(
    type: ResourceType,
    at: ObjectAt,
    patch: Patch,
    signal?: AbortSignal,
    codec?: AnswerCodec,
  ): Promise<T> {
    const request: RequestOptions = {
      method: "PATCH",
      path: resourcePath(type, at),
      contentType: patch.contentType,
      bodyJson: patch.body,
    };
    return this.#call("patch", type, at.subresource, request, signal, codec) as Promise<T>;
  }

  /**
   * Resolves also when the object is already gone. An object of the same name with another uid or
   * resourceVersion than the preconditions say is left alone: that is a conflict.
   */
  async delete(
    type: ResourceType,
    at: ObjectAt,
    preconditions: DeletePreconditions,
    signal?: AbortSignal,
  ): Promise<void> {
    const { uid, resourceVersion } = preconditions;
    const conditions = { ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) };
    const request: RequestOptions = {
      method: "DELETE",
      path: resourcePath(type, at),
      bodyJson: {
        apiVersion: "v1",
        kind: "DeleteOptions",
        propagationPolicy: "Background",
        ...(uid || resourceVersion ? { preconditions: conditions } : {}),
      },
    };
    try {
      await this.#call("delete", type, at.subresource, request, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #call(
    verb: Verb,
    type: ResourceType,
    subresource: string | undefined,
    request: RequestOptions,
    signal: AbortSignal | undefined,
    codec?: AnswerCodec,
  ): Promise<unknown> {
    const resource = subresource ? `${type.plural}/${subresource}` : type.plural;
    const call: Call = { verb, resource, request, signal, codec };
    const { clock } = this.#options;
    const startedAt = clock.monotonic();
    for (let retries = 0;; retries++) {
      try {
        return await this.#permitted(call);
      } catch (error) {
        const delay = retryDelayMs(verb, error, retries);
        const elapsed = clock.monotonic() - startedAt;
        if (delay === undefined || elapsed + delay > RETRY_TOTAL_MS) throw error;
        // Throws the reason of `signal` when that has aborted meanwhile.
        await sleep(clock, delay, signal);
      }
    }
  }

  async #permitted(call: Call): Promise<unknown> {
    const wait = this.#permits.acquire(call.signal);
    if (wait) await wait;
    try {
      return await this.#attempt(call);
    } finally {
      this.#permits.release();
    }
  }

  async #attempt(call: Call): Promise<unknown> {
    call.signal?.throwIfAborted();
    if (call.verb !== "get") this.#options.beforeWrite?.();
    const { rest, clock, metrics, timeoutMs = TIMEOUT_MS } = this.#options;
    const startedAt = clock.monotonic();
    let code = "2xx";
    try {
      const deadline = { rest, clock, timeoutMs, signal: call.signal };
      if (!call.codec) return await requestJson(call.request, deadline);
      const request = { ...call.request, accept: call.codec.listAccept };
      return decoded(call.codec, await requestBytes(request, deadline), request);
    } catch (error) {
      code = call.signal?.aborted ? "aborted" : codeOf(error);
      throw error;
    } finally {
      const seconds = (clock.monotonic() - startedAt) / 1000;
      metrics?.observe({ verb: call.verb, resource: call.resource, code, seconds });
    }
  }
}

/** @throws {KubeConnectionError} where a body is no such object: whatever sent it was not the API server. */
function decoded(codec: AnswerCodec, body: Uint8Array, request: RequestOptions): StoredObject {
  try {
    const object = codec.decodeObject(body);
    const { name, uid, resourceVersion } = object;
    if (name && uid && resourceVersion) return object;
    throw new SyntaxError("an object without a name, uid or resourceVersion");
  } catch (error) {
    const action = `${request.method} ${request.path}`;
    const message = `Cannot ${action}: the answer cannot be read`;
    throw new KubeConnectionError("interrupted", message, error);
  }
}

/** Delay before the next attempt, or undefined when there is to be none. */
function retryDelayMs(verb: Verb, error: unknown, retries: number): number | undefined {
  if (error instanceof KubeApiError) {
    const asked = error.status === 429 || error.status >= 500 ? error.retryAfterMs : undefined;
    return retries < RETRIES_MAX ? asked : undefined;
  }
  if (verb !== "get" || !(error instanceof KubeConnectionError)) return undefined;
  const brief = error.failure === "connect" || error.failure === "interrupted";
  return brief && retries < READ_RETRIES_MAX ? READ_RETRY_MS * 2 ** retries : undefined;
}

function codeOf(error: unknown): string {
  if (error instanceof KubeApiError) return String(error.status);
  if (error instanceof KubeConnectionError) return error.failure;
  return "error";
}
