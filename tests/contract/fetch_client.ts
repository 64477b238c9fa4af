/**
 * The REST port over fetch, as small as can be: it judges servers, so it must not share code with the
 * client that the project ships.
 */
import { errorFromStatus } from "../../src/runtime/ports/errors.ts";
import type { JsonValue, RequestOptions, RestClient } from "../../src/runtime/ports/rest.ts";

export interface Credentials {
  readonly caCerts: string[];
  readonly cert: string;
  readonly key: string;
}

export function fetchClient(url: string, credentials?: Credentials): RestClient & Disposable {
  const http = Deno.createHttpClient({ ...credentials, http2: false });
  async function performRequest(options: RequestOptions): Promise<unknown> {
    const response = await fetch(`${url}${options.path}?${options.querystring ?? ""}`, {
      client: http,
      method: options.method,
      headers: headersOf(options),
      ...bodyOf(options),
      ...(options.abortSignal ? { signal: options.abortSignal } : {}),
    });
    if (!response.ok) {
      const text = await response.text();
      const status = text.startsWith("{") ? JSON.parse(text) : { message: text };
      throw errorFromStatus(response.status, status, `${options.method} ${options.path}`);
    }
    if (options.expectStream) {
      const body = response.body ?? new ReadableStream();
      return options.expectJson ? body.pipeThrough(jsonLines()) : body;
    }
    return options.expectJson
      ? await response.json()
      : new Uint8Array(await response.arrayBuffer());
  }
  return {
    performRequest: performRequest as RestClient["performRequest"],
    [Symbol.dispose]: () => http.close(),
  };
}

function headersOf(options: RequestOptions): Headers {
  const headers = new Headers({
    accept: options.accept ?? "application/json",
    // fetch would ask for gzip, get it on watches with sendInitialEvents, and hold back their events.
    "accept-encoding": "identity",
  });
  const hasBody = options.bodyJson !== undefined || options.bodyRaw !== undefined;
  if (hasBody) headers.set("content-type", options.contentType ?? "application/json");
  return headers;
}

function bodyOf(options: RequestOptions): { body?: BodyInit } {
  if (options.bodyRaw !== undefined) return { body: options.bodyRaw.slice() };
  return options.bodyJson === undefined ? {} : { body: JSON.stringify(options.bodyJson) };
}

/** One JSON value a line. */
function jsonLines(): TransformStream<Uint8Array, JsonValue> {
  const decoder = new TextDecoder();
  let pending = "";
  return new TransformStream({
    transform(chunk, controller) {
      pending += decoder.decode(chunk, { stream: true });
      const lines = pending.split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) if (line !== "") controller.enqueue(JSON.parse(line));
    },
  });
}
