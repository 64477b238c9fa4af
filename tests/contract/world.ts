/**
 * The contract suite: what this project relies on of a Kubernetes API server, as behaviours that run
 * on the simulator and on a real kube-apiserver alike. A difference is a bug of the simulator.
 */
import assert from "node:assert/strict";
import { KubeApiError, type StatusCause } from "../../src/runtime/ports/errors.ts";
import type {
  HttpMethod,
  JsonObject,
  JsonValue,
  RequestOptions,
  RestClient,
} from "../../src/runtime/ports/rest.ts";

// What an API server answers is the subject of these tests; its shape is asserted, not assumed.
// deno-lint-ignore no-explicit-any
export type Json = any;

export interface Behaviour {
  readonly name: string;
  run(world: World): Promise<void>;
}

/** What a runner supplies for each behaviour. */
export interface Surroundings {
  readonly client: RestClient;
  /** Fresh, empty, with its service account. */
  readonly namespace: string;
  /** Lets time pass: real time, or that of the simulation. */
  elapse(ms: number): Promise<void>;
  /** Makes the server forget the history of all changes so far: what needs it is answered 410. */
  forgetHistory(): Promise<void>;
}

export interface Call {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: JsonValue;
  /** Sent as it is, for bodies that are no JSON. */
  readonly rawBody?: string | Uint8Array;
  readonly contentType?: string;
  readonly accept?: string;
}

export const MERGE = "application/merge-patch+json";
export const JSON_PATCH = "application/json-patch+json";
export const STRATEGIC = "application/strategic-merge-patch+json";

export interface Refusal {
  readonly code: number;
  readonly reason: string;
  /** Exact text, or a pattern where it holds times and other accidents. */
  readonly message?: string | RegExp;
  readonly causes?: readonly StatusCause[];
  readonly details?: { readonly name?: string; readonly kind?: string; readonly group?: string };
}

/** After its API server was away, Kubernetes' own controllers come back in their time. */
const WAIT_LIMIT_MS = 120_000;
const WAIT_STEP_MS = 50;

export class World {
  readonly #surroundings: Surroundings;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  get client(): RestClient {
    return this.#surroundings.client;
  }

  get namespace(): string {
    return this.#surroundings.namespace;
  }

  /** Path of a namespaced collection, by default of ConfigMaps, or of one of its objects. */
  configMaps(name?: string): string {
    return at(`/api/v1/namespaces/${this.namespace}/configmaps`, name);
  }

  pods(name?: string): string {
    return at(`/api/v1/namespaces/${this.namespace}/pods`, name);
  }

  leases(name?: string): string {
    return at(`/apis/coordination.k8s.io/v1/namespaces/${this.namespace}/leases`, name);
  }

  elapse(ms: number): Promise<void> {
    return this.#surroundings.elapse(ms);
  }

  forgetHistory(): Promise<void> {
    return this.#surroundings.forgetHistory();
  }

  /** Calls `check` until it returns neither undefined nor false. */
  async eventually<T>(
    what: string,
    check: () => T | Promise<T>,
  ): Promise<Exclude<T, undefined | false>> {
    for (let waited = 0; waited <= WAIT_LIMIT_MS; waited += WAIT_STEP_MS) {
      const value = await check();
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
      await this.elapse(WAIT_STEP_MS);
    }
    throw new Error(`Cannot see that ${what}`);
  }

  async call(method: HttpMethod, path: string, call: Call = {}): Promise<Json> {
    const bytes = await this.client.performRequest(requestOptions(method, path, call));
    const text = new TextDecoder().decode(bytes);
    return text.startsWith("{") ? JSON.parse(text) : text;
  }

  get(path: string, query: Readonly<Record<string, string>> = {}): Promise<Json> {
    return this.call("GET", path, { query });
  }

  create(collection: string, body: JsonObject, query = {}): Promise<Json> {
    return this.call("POST", collection, { body, query });
  }

  replace(path: string, body: JsonObject): Promise<Json> {
    return this.call("PUT", path, { body });
  }

  patch(path: string, contentType: string, body: JsonValue, query = {}): Promise<Json> {
    return this.call("PATCH", path, { contentType, body, query });
  }

  delete(path: string, body?: JsonObject): Promise<Json> {
    return this.call("DELETE", path, body === undefined ? {} : { body });
  }

  /** Whether the object is there. */
  async exists(path: string): Promise<boolean> {
    return await this.call("GET", path).then(() => true, (error) => {
      if (error instanceof KubeApiError && error.status === 404) return false;
      throw error;
    });
  }

  async watch(
    path: string,
    query: Readonly<Record<string, string>> = {},
    accept?: string,
  ): Promise<Watch> {
    const abort = new AbortController();
    const events = await this.client.performRequest({
      method: "GET",
      path,
      querystring: new URLSearchParams({ watch: "1", ...query }),
      ...(accept === undefined ? {} : { accept }),
      abortSignal: abort.signal,
      expectStream: true,
      expectJson: true,
    });
    return new Watch(this, events, abort);
  }
}

function at(collection: string, name: string | undefined): string {
  return name === undefined ? collection : `${collection}/${name}`;
}

function requestOptions(method: HttpMethod, path: string, call: Call): RequestOptions {
  return {
    method,
    path,
    querystring: new URLSearchParams(call.query ?? {}),
    ...(call.contentType === undefined ? {} : { contentType: call.contentType }),
    ...(call.accept === undefined ? {} : { accept: call.accept }),
    ...(call.body === undefined ? {} : { bodyJson: call.body }),
    ...(call.rawBody === undefined ? {} : { bodyRaw: bytesOf(call.rawBody) }),
  };
}

function bytesOf(body: string | Uint8Array): Uint8Array {
  return typeof body === "string" ? new TextEncoder().encode(body) : body;
}

/** A watch whose events are collected as they come. */
export class Watch implements AsyncDisposable {
  readonly #world: World;
  readonly #abort: AbortController;
  readonly #reader: ReadableStreamDefaultReader<JsonValue>;
  readonly #reading: Promise<void>;
  readonly events: Json[] = [];
  /** The server ended the stream. */
  ended = false;
  #stopped = false;

  constructor(world: World, stream: ReadableStream<JsonValue>, abort: AbortController) {
    this.#world = world;
    this.#abort = abort;
    this.#reader = stream.getReader();
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await this.#reader.read();
        if (done) break;
        this.events.push(value);
      }
      this.ended = true;
    } catch (error) {
      if (!this.#stopped) throw error;
    }
  }

  /** Waits for `count` events and returns them all as `TYPE name`. */
  async see(count: number): Promise<string[]> {
    await this.#world.eventually(
      `${count} events came: ${JSON.stringify(this.summary())}`,
      () => this.events.length >= count,
    );
    return this.summary();
  }

  summary(): string[] {
    return this.events.map(({ type, object }) =>
      `${type} ${object?.metadata?.name ?? object?.reason ?? ""}`.trim()
    );
  }

  async end(): Promise<void> {
    await this.#world.eventually("the watch ended", () => this.ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#abort.abort();
    // After a garbage collection the abort alone no longer stops fetch's body.
    await this.#reader.cancel().catch(() => undefined);
    await this.#reading;
  }
}

/** Asserts that `request` is refused, and how. */
export async function refused(request: Promise<unknown>, expected: Refusal): Promise<KubeApiError> {
  const error = await request.then(
    (answer) => assert.fail(`it was accepted: ${JSON.stringify(answer)}`),
    (error) => error,
  );
  if (!(error instanceof KubeApiError)) throw error;
  const seen = { code: error.status, reason: error.reason };
  assert.deepEqual(seen, { code: expected.code, reason: expected.reason }, error.message);
  const message = serverMessage(error);
  if (typeof expected.message === "string") assert.equal(message, expected.message);
  else if (expected.message) assert.match(message, expected.message);
  if (expected.causes) {
    assert.deepEqual(sorted(error.causes), sorted(expected.causes), error.message);
  }
  if (expected.details) {
    const { causes: _, ...details } = error.details;
    assert.deepEqual(pick(details, ["name", "kind", "group"]), expected.details);
  }
  return error;
}

/** Clients put "Cannot <do this>: " before what the server said. */
export function serverMessage(error: KubeApiError): string {
  return error.message.replace(/^Cannot [^:]*: /, "");
}

/** The server names several problems in no fixed order. */
function sorted(causes: readonly StatusCause[]): StatusCause[] {
  return causes.map((cause) => pick(cause, ["reason", "message", "field"]))
    .sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
}

function pick<T extends object>(object: T, keys: readonly string[]): T {
  const known = object as Record<string, unknown>;
  return Object.fromEntries(
    keys.filter((key) => known[key] !== undefined).map((key) => [key, known[key]]),
  ) as T;
}
