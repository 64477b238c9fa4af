import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { KubeApiError, KubeConnectionError } from "../runtime/ports/errors.ts";
import type { RestClient } from "../runtime/ports/rest.ts";
import { anonymous, type ClusterConnection } from "./connection.ts";
import { KubeRestClient } from "./rest_client.ts";
import type { Wire, WireRequest, WireResponse } from "./wire.ts";

interface Reply {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** Answers from a script; records requests, renewals and bodies left unread. */
class ScriptedWire implements Wire {
  readonly requests: WireRequest[] = [];
  renewed = 0;
  closed = false;
  unread = 0;
  readonly #replies: Reply[];

  constructor(...replies: Reply[]) {
    this.#replies = replies;
  }

  send(request: WireRequest): Promise<WireResponse> {
    this.requests.push(request);
    const { status = 200, headers = {}, body = "{}" } = this.#replies.shift() ?? {};
    const bytes = new TextEncoder().encode(body);
    this.unread++;
    return Promise.resolve({
      status,
      headers: new Map(Object.entries(headers)),
      bytes: () => Promise.resolve(bytes).finally(() => this.unread--),
      stream: () => {
        this.unread--;
        return ReadableStream.from([bytes]) as ReadableStream<Uint8Array>;
      },
    });
  }

  renew(): void {
    this.renewed++;
  }

  close(): void {
    this.closed = true;
  }
}

function clientOf(wire: Wire, more: Partial<ClusterConnection> = {}): KubeRestClient {
  const connection: ClusterConnection = {
    origin: "test",
    server: new URL("https://kube.example/"),
    credentials: anonymous,
    ...more,
  };
  return new KubeRestClient({ connection, wire, clock: new VirtualClock(), userAgent: "test/1" });
}

const fields = (request: WireRequest | undefined) => Object.fromEntries(request?.headers ?? []);

Deno.test("a request carries path prefix, query, media types and body", async () => {
  const wire = new ScriptedWire({ body: '{"a":1}' });
  const client = clientOf(wire, { server: new URL("https://h/k8s/clusters/c1/"), namespace: "ns" });
  const answer = await client.performRequest({
    method: "POST",
    path: "/api/v1/namespaces/x/pods",
    querystring: new URLSearchParams({ labelSelector: "a in (b,c)" }),
    bodyJson: { é: 1 },
    expectJson: true,
  });
  assert.deepEqual(answer, { a: 1 });
  const [request] = wire.requests;
  assert.equal(
    request?.target,
    "/k8s/clusters/c1/api/v1/namespaces/x/pods?labelSelector=a+in+%28b%2Cc%29",
  );
  assert.equal(request?.body, '{"é":1}');
  assert.deepEqual(fields(request), {
    "User-Agent": "test/1",
    Accept: "application/json",
    "Content-Type": "application/json",
  });
  assert.equal(client.defaultNamespace, "ns");
});

Deno.test("media types and raw bodies of the caller pass as they are", async () => {
  const wire = new ScriptedWire();
  await clientOf(wire).performRequest({
    method: "PATCH",
    path: "/x",
    accept: "application/vnd.kubernetes.protobuf",
    contentType: "application/json-patch+json",
    bodyRaw: Uint8Array.of(1),
  });
  assert.deepEqual(wire.requests[0]?.body, Uint8Array.of(1));
  const { Accept, "Content-Type": type } = fields(wire.requests[0]);
  assert.equal(Accept, "application/vnd.kubernetes.protobuf");
  assert.equal(type, "application/json-patch+json");
});

Deno.test("the four kinds of answers", async () => {
  const wire = new ScriptedWire({ body: "raw" }, { body: "1" }, { body: "bytes" }, {
    body: '{"n":1}\n{"n":2}\n',
  });
  const client: RestClient = clientOf(wire);
  const request = { method: "GET", path: "/x" } as const;
  assert.deepEqual(await client.performRequest(request), new TextEncoder().encode("raw"));
  assert.equal(await client.performRequest({ ...request, expectJson: true }), 1);
  const bytes = await client.performRequest({ ...request, expectStream: true });
  assert.deepEqual(await Array.fromAsync(bytes), [new TextEncoder().encode("bytes")]);
  const lines = await client.performRequest({ ...request, expectStream: true, expectJson: true });
  assert.deepEqual(await Array.fromAsync(lines), [{ n: 1 }, { n: 2 }]);
  assert.equal(wire.unread, 0);
});

Deno.test("refusals are KubeApiErrors for streams too, and their bodies are read", async () => {
  const status = '{"kind":"Status","reason":"Expired","message":"too old","code":410}';
  const wire = new ScriptedWire(
    { status: 410, body: status },
    { status: 404, body: "404 page not found", headers: { "content-type": "text/plain" } },
    { status: 301, headers: { location: "https://elsewhere/" } },
    { status: 429, headers: { "retry-after": "2" }, body: "" },
  );
  const client = clientOf(wire);
  const seen: KubeApiError[] = [];
  for (let i = 0; i < 4; i++) {
    const request = client.performRequest({ method: "GET", path: "/x", expectStream: true });
    seen.push(await request.then(() => assert.fail("accepted"), (error) => error));
  }
  assert.ok(seen.every((error) => error instanceof KubeApiError));
  assert.deepEqual(seen.map((error) => error.status), [410, 404, 301, 429]);
  assert.deepEqual([seen[0]?.reason, seen[3]?.retryAfterMs], ["Expired", 2000]);
  assert.equal(wire.unread, 0);
});

Deno.test("an answer that is not JSON is no answer", async () => {
  const client = clientOf(new ScriptedWire({ body: '{"a"' }));
  await assert.rejects(
    client.performRequest({ method: "GET", path: "/x", expectJson: true }),
    (error) => error instanceof KubeConnectionError && error.failure === "interrupted",
  );
});

/** Credentials that give `values` in turn, one step a refresh. */
function rotating(...values: string[]) {
  const rejected: (string | undefined)[] = [];
  return {
    rejected,
    authorization: () => Promise.resolve(values[0]),
    certificate: () => undefined,
    refresh: (before: string | undefined) => {
      rejected.push(before);
      if (values.length === 1) return Promise.resolve(false);
      values.shift();
      return Promise.resolve(true);
    },
  };
}

Deno.test("a 401 is repeated once with newer credentials on new connections", async () => {
  const wire = new ScriptedWire({ status: 401 }, { body: "1" });
  const credentials = rotating("Bearer old", "Bearer new");
  const client = clientOf(wire, { credentials });
  const answer = await client.performRequest({
    method: "POST",
    path: "/x",
    bodyJson: {},
    expectJson: true,
  });
  assert.equal(answer, 1);
  const sent = wire.requests.map((request) => fields(request)["Authorization"]);
  assert.deepEqual(sent, ["Bearer old", "Bearer new"]);
  assert.deepEqual([credentials.rejected, wire.renewed, wire.unread], [["Bearer old"], 1, 0]);
});

Deno.test("a 401 is final when there is nothing newer, or when the repetition meets it again", async () => {
  for (const tokens of [["a"], ["a", "b", "c"]]) {
    const wire = new ScriptedWire({ status: 401 }, { status: 401 }, { status: 401 });
    const client = clientOf(wire, { credentials: rotating(...tokens) });
    const request = client.performRequest({ method: "GET", path: "/x", expectStream: true });
    await assert.rejects(request, (error) => error instanceof KubeApiError && error.status === 401);
    assert.deepEqual([wire.requests.length, wire.unread], [Math.min(tokens.length, 2), 0]);
  }
});

Deno.test("abort ends a request that still waits for credentials", async () => {
  const wire = new ScriptedWire();
  const credentials = {
    authorization: () => new Promise<string>(() => {}),
    certificate: () => undefined,
    refresh: () => Promise.resolve(false),
  };
  const abort = new AbortController();
  const request = clientOf(wire, { credentials }).performRequest({
    method: "GET",
    path: "/x",
    abortSignal: abort.signal,
  });
  const reason = new Error("stop");
  abort.abort(reason);
  await assert.rejects(request, reason);
  assert.equal(wire.requests.length, 0);
});

Deno.test("a streamed body is not sent twice", async () => {
  const wire = new ScriptedWire({ status: 401 });
  const client = clientOf(wire, { credentials: rotating("a", "b") });
  const bodyStream = ReadableStream.from([Uint8Array.of(1)]) as ReadableStream<Uint8Array>;
  await assert.rejects(client.performRequest({ method: "POST", path: "/x", bodyStream }));
  assert.equal(wire.requests.length, 1);
});

Deno.test("impersonation goes with each request", async () => {
  const wire = new ScriptedWire();
  const impersonate = { user: "jane", uid: "u", groups: ["a", "b"], extra: { "x.y/z": ["1"] } };
  await clientOf(wire, { impersonate }).performRequest({ method: "GET", path: "/x" });
  const sent = wire.requests[0]?.headers.filter(([name]) => name.startsWith("Impersonate"));
  assert.deepEqual(sent, [
    ["Impersonate-User", "jane"],
    ["Impersonate-Uid", "u"],
    ["Impersonate-Group", "a"],
    ["Impersonate-Group", "b"],
    ["Impersonate-Extra-x.y%2Fz", "1"],
  ]);
});

Deno.test("values that would forge a header are refused", async () => {
  const forged = "a\r\nX-Evil: 1";
  assert.throws(() => clientOf(new ScriptedWire(), { impersonate: { user: forged } }), TypeError);
  const wire = new ScriptedWire();
  const client = clientOf(wire, { credentials: rotating(`Bearer ${forged}`) });
  await assert.rejects(client.performRequest({ method: "GET", path: "/x" }), TypeError);
  assert.equal(wire.requests.length, 0);
});

Deno.test("a tunnel is refused, and disposing closes the wire", async () => {
  const wire = new ScriptedWire();
  {
    using client = clientOf(wire);
    await assert.rejects(
      client.performRequest({ method: "GET", path: "/x", expectTunnel: ["v4.channel.k8s.io"] }),
      /opens no tunnels/,
    );
  }
  assert.ok(wire.closed);
});

Deno.test("the message of a 403 names the RBAC rule that is missing, and keeps the server's words", async () => {
  const denial =
    'pods is forbidden: User "x" cannot list resource "pods" in API group "" at the cluster scope';
  const status = {
    kind: "Status",
    status: "Failure",
    code: 403,
    reason: "Forbidden",
    message: denial,
  };
  const client = clientOf(new ScriptedWire({ status: 403, body: JSON.stringify(status) }));
  const request = client.performRequest({ method: "GET", path: "/api/v1/pods", expectJson: true });
  await assert.rejects(request, (error: unknown) => {
    assert.ok(error instanceof KubeApiError);
    assert.equal(error.reason, "Forbidden");
    assert.match(error.message, /cannot list resource "pods"/);
    assert.match(
      error.message,
      /needs RBAC rule: apiGroups \[""\] resources \["pods"\] verbs \["list"\]/,
    );
    return true;
  });
});
