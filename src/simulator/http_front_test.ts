import assert from "node:assert/strict";
import type { ApiRequest, ApiResponse } from "./request.ts";
import { serveHttp } from "./http_front.ts";

function answer(response: Partial<ApiResponse> & { text?: string }): ApiResponse {
  const { text = "{}", ...rest } = response;
  return {
    status: 200,
    contentType: "application/json",
    warnings: [],
    body: { text: () => text, value: () => JSON.parse(text) },
    ...rest,
  };
}

function watchAnswer(stream: ReadableStream<Uint8Array>): ApiResponse {
  return { status: 200, contentType: "application/json", warnings: [], stream };
}

/** A watch that sends `first` and then stays silent until its signal aborts. */
function silentWatch(request: ApiRequest, first: string): ApiResponse {
  return watchAnswer(
    new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(first));
        request.signal?.addEventListener("abort", () => controller.close(), { once: true });
      },
    }),
  );
}

Deno.test("serveHttp() hands on method, path, query, headers and body", async () => {
  const seen: ApiRequest[] = [];
  const front = serveHttp({
    cluster: {
      handle(request) {
        seen.push(request);
        return answer({ status: 201, text: '{"made":true}' });
      },
    },
  });
  const response = await fetch(`${front.url}/api/v1/namespaces/a%2Fb/configmaps?dryRun=All&x=1`, {
    method: "POST",
    headers: {
      accept: "application/json;as=Table",
      "content-type": "application/yaml",
      authorization: "Bearer anything",
      "user-agent": "kubectl/v1.37.2 (linux/amd64)",
    },
    body: "k: v",
  });
  assert.equal(response.status, 201);
  assert.equal(response.headers.get("content-type"), "application/json");
  assert.deepEqual(await response.json(), { made: true });
  const [request] = seen;
  assert.equal(request?.method, "POST");
  assert.equal(request?.path, "/api/v1/namespaces/a%2Fb/configmaps");
  assert.equal(request?.query.toString(), "dryRun=All&x=1");
  assert.equal(request?.accept, "application/json;as=Table");
  assert.equal(request?.contentType, "application/yaml");
  assert.equal(request?.user, "kubectl");
  assert.equal(new TextDecoder().decode(request?.bodyBytes), "k: v");
  await front.close();
});

Deno.test("serveHttp() sends refusals, warnings and the time to wait", async () => {
  const front = serveHttp({
    cluster: {
      handle: () =>
        answer({
          status: 429,
          text: '{"kind":"Status"}',
          warnings: ['unknown field "spec.a\\b"', "second"],
          retryAfterSeconds: 3,
        }),
    },
  });
  const response = await fetch(`${front.url}/api/v1/pods`);
  assert.equal(response.status, 429);
  assert.equal(response.headers.get("retry-after"), "3");
  assert.equal(
    response.headers.get("warning"),
    '299 - "unknown field \\"spec.a\\\\b\\"", 299 - "second"',
  );
  assert.deepEqual(await response.json(), { kind: "Status" });
  await front.close();
});

Deno.test("serveHttp() answers a bug of the handler with a Status of 500", async () => {
  const front = serveHttp({
    cluster: {
      handle() {
        throw new TypeError("broken");
      },
    },
  });
  const response = await fetch(`${front.url}/api/v1/pods`);
  assert.equal(response.status, 500);
  const status = await response.json();
  assert.equal(status.kind, "Status");
  assert.equal(status.message, "broken");
  await front.close();
});

Deno.test("serveHttp() streams events as they come, uncompressed", async () => {
  const events = new TransformStream<Uint8Array, Uint8Array>();
  const front = serveHttp({ cluster: { handle: () => watchAnswer(events.readable) } });
  const writer = events.writable.getWriter();
  // Long enough that a compressing server would compress, and hold it back.
  const event = new TextEncoder().encode(`{"type":"ADDED","object":"${"x".repeat(2000)}"}\n`);
  writer.write(event);
  const response = await fetch(`${front.url}/api/v1/pods?watch=1`);
  assert.equal(response.headers.get("content-encoding"), null);
  const reader = response.body?.getReader();
  for (let round = 0; round < 3; round++) {
    let size = 0;
    while (size < event.length) size += (await reader?.read())?.value?.length ?? event.length;
    assert.equal(size, event.length);
    if (round < 2) writer.write(event);
  }
  await writer.close();
  assert.equal((await reader?.read())?.done, true);
  await front.close();
});

Deno.test("serveHttp() frees the watch of a client that is gone", async () => {
  const freed = Promise.withResolvers<void>();
  const front = serveHttp({
    cluster: {
      handle(request) {
        request.signal?.addEventListener("abort", () => freed.resolve(), { once: true });
        return silentWatch(request, '{"type":"ADDED"}\n');
      },
    },
  });
  const response = await fetch(`${front.url}/api/v1/pods?watch=1`);
  const reader = response.body?.getReader();
  await reader?.read();
  await reader?.cancel();
  await freed.promise;
  await front.close();
});

Deno.test("closing ends open watches and frees the port", async () => {
  const front = serveHttp({
    cluster: { handle: (request) => silentWatch(request, '{"type":"ADDED"}\n') },
  });
  const response = await fetch(`${front.url}/api/v1/pods?watch=1`);
  const reader = response.body?.getReader();
  await reader?.read();
  const ended = reader?.read().then(({ done }) => done, () => true);
  await front.close();
  assert.equal(await ended, true);
  const port = Number(new URL(front.url).port);
  const again = serveHttp({ cluster: { handle: () => answer({}) }, port });
  assert.equal(await (await fetch(`${again.url}/version`)).text(), "{}");
  await again.close();
});
