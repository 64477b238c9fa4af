import assert from "node:assert/strict";
import { KubeApiError, KubeConnectionError } from "../runtime/ports/errors.ts";
import type { RequestOptions, RestClient } from "../runtime/ports/rest.ts";
import { adaptRestClient, translateError } from "./adapt.ts";

// The contract as another library would declare it: same shape, other names.
type ForeignPrimitive = string | number | boolean | null | undefined;
type ForeignJson = ForeignPrimitive | { [key: string]: ForeignJson } | ForeignJson[];
interface ForeignOptions {
  method: "GET" | "POST" | "DELETE" | "PUT" | "PATCH" | "OPTIONS" | "HEAD";
  path: string;
  querystring?: URLSearchParams;
  abortSignal?: AbortSignal;
  contentType?: string;
  bodyRaw?: Uint8Array;
  bodyJson?: ForeignJson;
  bodyStream?: ReadableStream<Uint8Array>;
  accept?: string;
  expectTunnel?: string[];
  expectStream?: boolean;
  expectJson?: boolean;
}
interface ForeignTunnel {
  readonly transportProtocol: "SPDY" | "WebSocket" | "Opaque";
  readonly subProtocol: string;
  getChannel<R extends boolean, W extends boolean>(opts: {
    spdyHeaders?: Record<string, string | number>;
    streamIndex?: number;
    readable: R;
    writable: W;
  }): Promise<{
    readable: R extends true ? ReadableStream<Uint8Array> : null;
    writable: W extends true ? WritableStream<Uint8Array> : null;
  }>;
  ready(): Promise<void>;
  stop(): Promise<void>;
}
interface ForeignClient {
  performRequest(opts: ForeignOptions & { expectTunnel: string[] }): Promise<ForeignTunnel>;
  performRequest(
    opts: ForeignOptions & { expectStream: true; expectJson: true },
  ): Promise<ReadableStream<ForeignJson>>;
  performRequest(
    opts: ForeignOptions & { expectStream: true },
  ): Promise<ReadableStream<Uint8Array>>;
  performRequest(opts: ForeignOptions & { expectJson: true }): Promise<ForeignJson>;
  performRequest(opts: ForeignOptions): Promise<Uint8Array>;
  defaultNamespace?: string;
}

/** A foreign client that answers by `answer`. */
function foreign(answer: (opts: ForeignOptions) => Promise<unknown>): ForeignClient {
  return {
    performRequest: answer as ForeignClient["performRequest"],
    defaultNamespace: "theirs",
  };
}

const request: RequestOptions = { method: "GET", path: "/x" };

Deno.test("a structurally identical client is accepted as it is, both ways", async () => {
  const ours: RestClient = adaptRestClient(foreign(() => Promise.resolve(Uint8Array.of(7))));
  const theirs: ForeignClient = ours;
  assert.deepEqual(await theirs.performRequest({ method: "GET", path: "/x" }), Uint8Array.of(7));
  assert.equal(ours.defaultNamespace, "theirs");
});

Deno.test("errors that carry a Status become KubeApiErrors", async () => {
  const status = {
    reason: "Conflict",
    message: "modified",
    code: 409,
    details: { causes: [{ reason: "X" }] },
  };
  const shapes = [
    Object.assign(new Error("Kubernetes returned HTTP 409"), { httpCode: 409, status }),
    Object.assign(new Error("x"), { code: 409, body: JSON.stringify(status) }),
    Object.assign(new Error("x"), { statusCode: 409, body: status }),
  ];
  for (const thrown of shapes) {
    const client = adaptRestClient(foreign(() => Promise.reject(thrown)));
    const error = await client.performRequest(request).then(() => assert.fail(), (error) => error);
    assert.ok(error instanceof KubeApiError);
    assert.deepEqual([error.status, error.reason, error.cause], [409, "Conflict", thrown]);
    assert.ok(error.hasCause("X"));
  }
});

Deno.test("fetch's errors become KubeConnectionErrors by what they say", () => {
  const failure = (error: unknown) => {
    const translated = translateError(error, request);
    assert.ok(translated instanceof KubeConnectionError && translated.cause === error);
    return translated.failure;
  };
  const sending = "error sending request for url (https://h/x): client error ";
  assert.equal(failure(new TypeError(`${sending}(Connect): Connection refused`)), "connect");
  assert.equal(failure(new TypeError(`${sending}(SendRequest): connection closed`)), "interrupted");
  assert.equal(failure(new TypeError("invalid peer certificate: UnknownIssuer")), "tls");
  assert.equal(failure(new Error("operation timed out")), "timeout");
  assert.equal(failure("odd"), "interrupted");
});

Deno.test("the port's errors and an abort's reason pass through", () => {
  const own = new KubeConnectionError("timeout", "x");
  assert.equal(translateError(own, request), own);
  const reason = new Error("stop");
  const abortSignal = AbortSignal.abort(reason);
  assert.equal(translateError(new DOMException("x"), { ...request, abortSignal }), reason);
});

Deno.test("aborting ends a stream that its own client forgot", async () => {
  let cancelled: unknown;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(Uint8Array.of(1)),
    cancel: (reason) => void (cancelled = reason),
  });
  const client = adaptRestClient(foreign(() => Promise.resolve(body)));
  const abort = new AbortController();
  const stream = await client.performRequest({
    ...request,
    expectStream: true,
    abortSignal: abort.signal,
  });
  const reader = stream.getReader();
  assert.deepEqual((await reader.read()).value, Uint8Array.of(1));
  const next = reader.read();
  const reason = new Error("stop");
  abort.abort(reason);
  await assert.rejects(next, reason);
  assert.equal(cancelled, reason);
});

Deno.test("a stream that breaks is interrupted; one that ends, ends; cancelling reaches the source", async () => {
  let cancelled = false;
  const bodies = [
    new ReadableStream({ pull: (controller) => controller.error(new TypeError("body broke")) }),
    ReadableStream.from([Uint8Array.of(1)]),
    new ReadableStream({ cancel: () => void (cancelled = true) }),
  ];
  const client = adaptRestClient(foreign(() => Promise.resolve(bodies.shift())));
  const open = () => client.performRequest({ ...request, expectStream: true });
  await assert.rejects(
    Array.fromAsync(await open()),
    (error) => error instanceof KubeConnectionError && error.failure === "interrupted",
  );
  assert.equal((await Array.fromAsync(await open())).length, 1);
  await (await open()).cancel();
  assert.ok(cancelled);
});
