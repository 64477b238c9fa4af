/**
 * The simulated API server over HTTP/1.1, for kubectl and other programs.
 *
 * Guarantees: answers, refusals, warnings and watch streams are those of the in-process server; a watch
 * ends in the server as soon as its client is gone, and closing ends every connection. It speaks plain HTTP, lets everybody in whatever credentials they send,
 * and does not compress: bind it to loopback.
 */
import { encode } from "./objects.ts";
import type { ApiRequest, ApiResponse } from "./request.ts";
import { failure } from "./status.ts";

/** What answers requests, refusals included: a SimulatedCluster, or something that stands before one. */
export interface ApiHandler {
  handle(request: ApiRequest): Promise<ApiResponse> | ApiResponse;
}

export interface ServeHttpOptions {
  readonly cluster: ApiHandler;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free one. */
  readonly port?: number;
}

export interface HttpFront {
  /** `http://host:port`. */
  readonly url: string;
  /** Ends all watches and connections; resolves when the port is free. */
  close(): Promise<void>;
}

/** @throws when the port is taken. */
export function serveHttp(options: ServeHttpOptions): HttpFront {
  const closing = new AbortController();
  const server = Deno.serve(
    {
      hostname: options.host ?? "127.0.0.1",
      port: options.port ?? 0,
      signal: closing.signal,
      onListen() {},
    },
    (request, { completed }) =>
      respond(options.cluster, request, { completed, closing: closing.signal }),
  );
  const { hostname, port } = server.addr;
  return {
    url: `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`,
    async close() {
      closing.abort();
      await server.finished;
    },
  };
}

interface Life {
  /** Settles once the answer is delivered or the connection broken. */
  readonly completed: Promise<void>;
  readonly closing: AbortSignal;
}

async function respond(cluster: ApiHandler, request: Request, life: Life): Promise<Response> {
  const url = new URL(request.url);
  const ended = new AbortController();
  try {
    const response = await cluster.handle(await apiRequest(request, url, ended.signal));
    return toHttp(response, ended, life);
  } catch (error) {
    return internalError(error);
  }
}

async function apiRequest(request: Request, url: URL, signal: AbortSignal): Promise<ApiRequest> {
  const accept = request.headers.get("accept");
  const contentType = request.headers.get("content-type");
  const bytes = new Uint8Array(await request.arrayBuffer());
  return {
    method: request.method,
    path: url.pathname,
    query: url.searchParams,
    ...(accept === null ? {} : { accept }),
    ...(contentType === null ? {} : { contentType }),
    ...(bytes.length === 0 ? {} : { bodyBytes: bytes }),
    // Only the program's name: the rest of a user agent is its version and platform.
    user: request.headers.get("user-agent")?.split("/")[0] || "unknown",
    signal,
  };
}

function toHttp(response: ApiResponse, ended: AbortController, life: Life): Response {
  const headers = headersOf(response.contentType);
  for (const warning of response.warnings) {
    headers.append("warning", `299 - "${warning.replaceAll(/["\\]/g, "\\$&")}"`);
  }
  if (response.retryAfterSeconds !== undefined) {
    headers.set("retry-after", String(response.retryAfterSeconds));
  }
  const { status, stream } = response;
  if (stream === undefined) {
    return new Response(encode(response.body?.text() ?? "").slice(), { status, headers });
  }
  const end = () => ended.abort();
  life.closing.addEventListener("abort", end, { once: true });
  ended.signal.addEventListener("abort", () => life.closing.removeEventListener("abort", end), {
    once: true,
  });
  life.completed.then(end, end);
  return new Response(endingWith(stream, ended), { status, headers });
}

/** The same bytes; `ended` is aborted when the stream is over or nobody reads it any more. */
function endingWith(
  stream: ReadableStream<Uint8Array>,
  ended: AbortController,
): ReadableStream<Uint8Array> {
  const reader = stream.getReader();
  return new ReadableStream({
    async pull(controller) {
      // An aborted watch may end with an error: for the client the stream is over either way.
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
      if (!done && value !== undefined) return controller.enqueue(value);
      ended.abort();
      controller.close();
    },
    async cancel() {
      ended.abort();
      await reader.cancel().catch(() => undefined);
    },
  }, { highWaterMark: 0 });
}

/** A bug of the simulator: told to the client, as a server that panics does. */
function internalError(error: unknown): Response {
  const message = error instanceof Error ? error.message : String(error);
  const { status } = failure({ code: 500, reason: "InternalError", message });
  return new Response(JSON.stringify(status), {
    status: 500,
    headers: headersOf("application/json"),
  });
}

function headersOf(contentType: string): Headers {
  // no-transform: the server would compress, and with that hold back the events of a watch.
  return new Headers({
    "content-type": contentType,
    "cache-control": "no-cache, private, no-transform",
  });
}
