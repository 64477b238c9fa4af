/**
 * The default {@link RestClient}: requests of the port's contract over a {@link Wire}.
 *
 * Beyond the port's guarantees: every body is read or the connection given up; a 401 is answered
 * once by looking for newer credentials; the message of a 403 names the RBAC rule that is missing. It retries nothing else and opens no tunnels.
 */
import type { Clock } from "../lib/clock.ts";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import type {
  JsonValue,
  KubernetesTunnel,
  RequestOptions,
  RestClient,
} from "../runtime/ports/rest.ts";
import type { ClusterConnection, Impersonation } from "./connection.ts";
import { assertHeaderSafe, type HeaderField } from "./http1.ts";
import { jsonLines } from "./json_lines.ts";
import { withMissingRule } from "./request_info.ts";
import { refusedResponse } from "./response_errors.ts";
import type { Wire, WireResponse } from "./wire.ts";

/** A response; one whose body was read already has no stream. */
type Answer = Omit<WireResponse, "stream"> & { stream?(): ReadableStream<Uint8Array> };

/** Fields as sent before, by what they depend on. */
interface FieldSet {
  readonly accept: string | undefined;
  readonly contentType: string | undefined;
  readonly authorization: string | undefined;
  readonly fields: readonly HeaderField[];
}

/** A program has this many kinds of requests at a time; older tokens are not kept. */
const FIELD_SETS_MAX = 12;

export interface KubeRestClientOptions {
  readonly connection: ClusterConnection;
  readonly wire: Wire;
  readonly clock: Clock;
  readonly userAgent: string;
}

export class KubeRestClient implements RestClient {
  readonly defaultNamespace?: string;
  readonly #options: KubeRestClientOptions;
  readonly #prefix: string;
  readonly #common: readonly HeaderField[];
  readonly #fieldSets: FieldSet[] = [];

  constructor(options: KubeRestClientOptions) {
    this.#options = options;
    const { server, impersonate, namespace } = options.connection;
    if (namespace !== undefined) this.defaultNamespace = namespace;
    this.#prefix = server.pathname.replace(/\/+$/, "");
    this.#common = [
      ["User-Agent", options.userAgent],
      ...(impersonate ? impersonationFields(impersonate) : []),
    ];
    for (const [name, value] of this.#common) assertHeaderSafe(name, value);
  }

  performRequest(opts: RequestOptions & { expectTunnel: string[] }): Promise<KubernetesTunnel>;
  performRequest(
    opts: RequestOptions & { expectStream: true; expectJson: true },
  ): Promise<ReadableStream<JsonValue>>;
  performRequest(
    opts: RequestOptions & { expectStream: true },
  ): Promise<ReadableStream<Uint8Array>>;
  performRequest(opts: RequestOptions & { expectJson: true }): Promise<JsonValue>;
  performRequest(opts: RequestOptions): Promise<Uint8Array>;
  async performRequest(opts: RequestOptions): Promise<unknown> {
    const action = `${opts.method} ${opts.path}`;
    if (opts.expectTunnel) throw new TypeError(`Cannot ${action}: this client opens no tunnels`);
    const response = await this.#send(opts);
    if (response.status < 200 || response.status >= 300) {
      const { status, headers } = response;
      const body = await response.bytes();
      const now = this.#options.clock.now();
      throw withMissingRule(refusedResponse({ status, headers, body }, action, now), opts);
    }
    if (opts.expectStream && response.stream) {
      const stream = response.stream();
      return opts.expectJson ? jsonLines(stream) : stream;
    }
    const body = await response.bytes();
    return opts.expectJson ? parseJson(body, action) : body;
  }

  /** Closes its connections; requests in progress fail. */
  close(): void {
    this.#options.wire.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #send(opts: RequestOptions): Promise<Answer> {
    const { credentials } = this.#options.connection;
    const body = opts.bodyStream ?? opts.bodyRaw ??
      (opts.bodyJson === undefined ? undefined : JSON.stringify(opts.bodyJson));
    const query = opts.querystring?.toString() ?? "";
    const request = {
      method: opts.method,
      target: this.#prefix + opts.path + (query === "" ? "" : `?${query}`),
      ...(body === undefined ? {} : { body }),
      ...(opts.abortSignal ? { signal: opts.abortSignal } : {}),
    };
    // Plain strings come without a turn of the event loop; files and plug-ins do not.
    const given = credentials.authorization();
    const authorization = typeof given === "object"
      ? await unlessAborted(given, opts.abortSignal)
      : given;
    const response = await this.#options.wire.send({
      ...request,
      headers: this.#fields(opts, authorization),
    });
    if (response.status !== 401 || body instanceof ReadableStream) return response;
    const refusal = await response.bytes();
    if (!(await unlessAborted(credentials.refresh(authorization), opts.abortSignal))) {
      const { status, headers } = response;
      return { status, headers, bytes: () => Promise.resolve(refusal) };
    }
    this.#options.wire.renew();
    const newer = await credentials.authorization();
    return this.#options.wire.send({ ...request, headers: this.#fields(opts, newer) });
  }

  /** The same array for the same values: checking and writing out a long token takes its time. */
  #fields(opts: RequestOptions, authorization: string | undefined): readonly HeaderField[] {
    const json = opts.bodyJson === undefined ? undefined : "application/json";
    const accept = opts.accept ?? (opts.expectJson ? "application/json" : undefined);
    const contentType = opts.contentType ?? json;
    const known = this.#fieldSets.find((set) =>
      set.accept === accept && set.contentType === contentType &&
      set.authorization === authorization
    );
    if (known) return known.fields;
    const fields: HeaderField[] = [...this.#common];
    const add = (name: string, value: string | undefined) => {
      if (value === undefined) return;
      assertHeaderSafe(name, value);
      fields.push([name, value]);
    };
    add("Accept", accept);
    add("Content-Type", contentType);
    add("Authorization", authorization);
    if (this.#fieldSets.length === FIELD_SETS_MAX) this.#fieldSets.shift();
    this.#fieldSets.push({ accept, contentType, authorization, fields });
    return fields;
  }
}

/** What `promise` gives; rejects with the signal's reason as soon as it aborts. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

const utf8 = new TextDecoder();

function parseJson(body: Uint8Array, action: string): JsonValue {
  try {
    return JSON.parse(utf8.decode(body)) as JsonValue;
  } catch (error) {
    throw new KubeConnectionError(
      "interrupted",
      `Cannot ${action}: the answer is not JSON`,
      error,
    );
  }
}

function impersonationFields(who: Impersonation): HeaderField[] {
  const fields: HeaderField[] = [["Impersonate-User", who.user]];
  if (who.uid !== undefined) fields.push(["Impersonate-Uid", who.uid]);
  for (const group of who.groups ?? []) fields.push(["Impersonate-Group", group]);
  for (const [key, values] of Object.entries(who.extra ?? {})) {
    const name = `Impersonate-Extra-${encodeURIComponent(key)}`;
    for (const value of values) fields.push([name, value]);
  }
  return fields;
}
