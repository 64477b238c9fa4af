/**
 * The REST port over the simulated API server, in process: no sockets, no timers, only microtasks. A
 * request takes effect while `performRequest` is called; its answer comes as a promise.
 */
import { errorFromStatus, KubeApiError, KubeConnectionError } from "../runtime/ports/errors.ts";
import type {
  JsonValue,
  KubernetesTunnel,
  RequestOptions,
  RestClient,
} from "../runtime/ports/rest.ts";
import { encode } from "./objects.ts";
import type { ApiRequest, ApiResponse } from "./request.ts";

export interface InProcessOptions {
  readonly handle: (request: ApiRequest) => ApiResponse;
  /** Shown in the write log. */
  readonly user: string;
}

export class InProcessClient implements RestClient {
  readonly defaultNamespace = "default";
  readonly #options: InProcessOptions;

  constructor(options: InProcessOptions) {
    this.#options = options;
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
    const context = `${opts.method} ${opts.path}`;
    if (opts.expectTunnel !== undefined) {
      throw new KubeConnectionError("connect", `Cannot ${context}: the simulator has no tunnels`);
    }
    opts.abortSignal?.throwIfAborted();
    const streamed = opts.bodyStream === undefined ? undefined : await readAll(opts.bodyStream);
    const response = this.#options.handle(requestOf(opts, streamed, this.#options.user));
    if (response.status >= 400) throw errorOf(response, context);
    if (response.stream !== undefined) return await answerStream(response.stream, opts);
    const { body } = response;
    if (!opts.expectStream) {
      return opts.expectJson ? body?.value() : encode(body?.text() ?? "");
    }
    const bytes = oneChunk(encode(body?.text() ?? ""));
    return opts.expectJson ? jsonLines(bytes) : bytes;
  }
}

function requestOf(
  opts: RequestOptions,
  streamed: Uint8Array | undefined,
  user: string,
): ApiRequest {
  const bytes = streamed ?? opts.bodyRaw;
  return {
    method: opts.method,
    path: opts.path,
    query: opts.querystring ?? new URLSearchParams(),
    user,
    ...(opts.accept === undefined ? {} : { accept: opts.accept }),
    ...(opts.contentType === undefined ? {} : { contentType: opts.contentType }),
    ...(bytes === undefined ? {} : { bodyBytes: bytes }),
    ...(opts.bodyJson === undefined ? {} : { bodyJson: opts.bodyJson }),
    ...(opts.abortSignal === undefined ? {} : { signal: opts.abortSignal }),
  };
}

function errorOf(response: ApiResponse, context: string): KubeApiError {
  return errorFromStatus(response.status, response.body?.value(), context);
}

function answerStream(
  stream: ReadableStream<Uint8Array>,
  opts: RequestOptions,
): Promise<Uint8Array> | ReadableStream<unknown> {
  if (!opts.expectStream) return readAll(stream);
  return opts.expectJson ? jsonLines(stream) : stream;
}

function oneChunk(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  const whole = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

/** Each line of a body as a value. A chunk of the simulator never splits a line. */
function jsonLines(stream: ReadableStream<Uint8Array>): ReadableStream<JsonValue> {
  const decoder = new TextDecoder();
  return stream.pipeThrough(
    new TransformStream<Uint8Array, JsonValue>({
      transform(chunk, controller) {
        for (const line of decoder.decode(chunk).split("\n")) {
          if (line !== "") controller.enqueue(JSON.parse(line));
        }
      },
    }),
  );
}
