import assert from "node:assert/strict";
import * as net from "node:net";
import { setImmediate } from "node:timers";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import { anonymous } from "./connection.ts";
import { SocketWire } from "./socket_wire.ts";
import type { WireRequest } from "./wire.ts";

type Answer = (socket: net.Socket, request: string, connection: number) => void;

/** A server that hands each complete request to `answer`, and knows how many connections it saw. */
class TestServer implements AsyncDisposable {
  connections = 0;
  readonly requests: string[] = [];
  readonly sockets = new Set<net.Socket>();
  readonly #server: net.Server;

  private constructor(answer: Answer) {
    this.#server = net.createServer((socket) => {
      const connection = ++this.connections;
      this.sockets.add(socket);
      let text = "";
      socket.on("error", () => {});
      socket.on("close", () => this.sockets.delete(socket));
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
        for (let size = requestSize(text); size > 0; size = requestSize(text)) {
          const request = text.slice(0, size);
          text = text.slice(size);
          this.requests.push(request);
          answer(socket, request, connection);
        }
      });
    });
  }

  static async start(answer: Answer): Promise<TestServer> {
    const server = new TestServer(answer);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    // Deno 2.6's `close` calls back for no server whose connections were destroyed.
    this.#server.close();
    while (this.sockets.size > 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Length of the first complete request in `text`; 0 while there is none. */
function requestSize(text: string): number {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return 0;
  if (/transfer-encoding: chunked/i.test(text.slice(0, end))) {
    const last = text.indexOf("\r\n0\r\n\r\n", end);
    return last < 0 ? 0 : last + 7;
  }
  const length = Number(/content-length: (\d+)/i.exec(text.slice(0, end))?.[1] ?? 0);
  return text.length >= end + 4 + length ? end + 4 + length : 0;
}

function wireTo(
  url: URL,
  more: { clock?: Clock; timeoutMs?: number; maxConnections?: number } = {},
) {
  const wire = new SocketWire({
    connection: { origin: "test", server: url, credentials: anonymous },
    clock: systemClock,
    timeoutMs: 5000,
    maxConnections: 8,
    ...more,
  });
  return Object.assign(wire, { [Symbol.dispose]: () => wire.close() });
}

const get: WireRequest = { method: "GET", target: "/x", headers: [] };
const post: WireRequest = { method: "POST", target: "/x", headers: [], body: "{}" };
const ok = (body: string, more = "") =>
  `HTTP/1.1 200 OK\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;

async function textOf(wire: SocketWire, request: WireRequest): Promise<string> {
  return new TextDecoder().decode(await (await wire.send(request)).bytes());
}

function rejectsWith(promise: Promise<unknown>, failure: string): Promise<void> {
  return assert.rejects(
    promise,
    (error) => error instanceof KubeConnectionError && error.failure === failure,
  );
}

Deno.test("requests one after another share a connection", async () => {
  await using server = await TestServer.start((socket, request) =>
    socket.write(ok(request.split(" ")[0] as string))
  );
  using wire = wireTo(server.url);
  assert.equal(await textOf(wire, get), "GET");
  assert.equal(await textOf(wire, post), "POST");
  assert.equal(await textOf(wire, { ...get, method: "DELETE" }), "DELETE");
  assert.equal(server.connections, 1);
  assert.match(server.requests[0] ?? "", /^GET \/x HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n\r\n$/);
  assert.match(server.requests[1] ?? "", /\r\nContent-Length: 2\r\n\r\n\{\}$/);
  assert.match(server.requests[2] ?? "", /\r\nContent-Length: 0\r\n/);
});

Deno.test("bodies of text beyond ASCII, bytes and streams arrive whole", async () => {
  await using server = await TestServer.start((socket) => socket.write(ok("")));
  using wire = wireTo(server.url);
  await textOf(wire, { ...post, body: "é€" });
  await textOf(wire, { ...post, body: new TextEncoder().encode("é€") });
  await textOf(wire, { ...post, body: new Uint8Array(100_000).fill(97) });
  const parts = [new Uint8Array(3).fill(98), new Uint8Array(0), new Uint8Array(2).fill(99)];
  await textOf(wire, { ...post, body: ReadableStream.from(parts) as ReadableStream<Uint8Array> });
  const bodies = server.requests.map((text) => text.slice(text.indexOf("\r\n\r\n") + 4));
  assert.equal(bodies[0], "\u00c3\u00a9\u00e2\u0082\u00ac");
  assert.equal(bodies[1], bodies[0]);
  assert.equal(bodies[2], "a".repeat(100_000));
  assert.equal(bodies[3], "3\r\nbbb\r\n2\r\ncc\r\n0\r\n\r\n");
});

Deno.test("at most maxConnections are open; the rest wait in order", async () => {
  const held: net.Socket[] = [];
  await using server = await TestServer.start((socket) => void held.push(socket));
  using wire = wireTo(server.url, { maxConnections: 2 });
  const done: number[] = [];
  const all = [0, 1, 2, 3, 4].map((n) =>
    textOf(wire, { ...get, target: `/${n}` }).then(() => done.push(n))
  );
  while (done.length < 5) {
    assert.ok(server.connections <= 2);
    held.shift()?.write(ok("x"));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(all);
  const order = server.requests.map((request) => /\/(\d)/.exec(request)?.[1]);
  assert.deepEqual(order.slice(2), ["2", "3", "4"]);
  assert.equal(server.connections, 2);
});

Deno.test("a connection the server closed while it was idle costs an idempotent request nothing", async () => {
  await using server = await TestServer.start((socket, _request, connection) => {
    const first = server.requests.length === 1;
    if (connection === 1 && !first) socket.destroy();
    else socket.write(ok(String(connection)));
  });
  using wire = wireTo(server.url);
  assert.equal(await textOf(wire, get), "1");
  assert.equal(await textOf(wire, { ...get, method: "PUT", body: "{}" }), "2");
});

Deno.test("a POST, or a request on a new connection, is not sent twice", async () => {
  await using server = await TestServer.start((socket) => {
    if (server.requests.length === 1) socket.write(ok("x"));
    else socket.destroy();
  });
  using wire = wireTo(server.url);
  assert.equal(await textOf(wire, get), "x");
  await rejectsWith(textOf(wire, post), "interrupted");
  assert.equal(server.requests.length, 2);
  await rejectsWith(textOf(wire, get), "interrupted");
  assert.equal(server.requests.length, 3);
});

Deno.test("an answer cut off is interrupted, never repeated", async () => {
  await using server = await TestServer.start((socket) => {
    if (server.requests.length === 1) socket.write(ok("x"));
    else socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  });
  using wire = wireTo(server.url);
  await textOf(wire, get);
  await rejectsWith(textOf(wire, get), "interrupted");
  assert.equal(server.requests.length, 2);
});

Deno.test("a body framed by the end of the connection is complete", async () => {
  await using server = await TestServer.start((socket) => socket.end("HTTP/1.1 200 OK\r\n\r\nabc"));
  using wire = wireTo(server.url);
  assert.equal(await textOf(wire, get), "abc");
});

Deno.test("Connection: close, and bytes after the answer, end the connection", async () => {
  await using server = await TestServer.start((socket) => {
    const n = server.requests.length;
    socket.write(n === 1 ? ok("a", "Connection: close\r\n") : ok("b") + (n === 2 ? "junk" : ""));
  });
  using wire = wireTo(server.url);
  assert.equal(await textOf(wire, get), "a");
  assert.equal(await textOf(wire, get), "b");
  assert.equal(await textOf(wire, get), "b");
  assert.equal(server.connections, 3);
});

Deno.test("a server that says nothing meets the deadline", async () => {
  await using server = await TestServer.start((socket) => {
    if (server.requests.length === 2) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na");
  });
  using wire = wireTo(server.url, { timeoutMs: 50 });
  await rejectsWith(wire.send(get), "timeout");
  const response = await wire.send(get);
  await rejectsWith(response.bytes(), "timeout");
});

Deno.test("waiting for a connection counts towards the deadline", async () => {
  await using server = await TestServer.start(() => {});
  using wire = wireTo(server.url, { timeoutMs: 60, maxConnections: 1 });
  const results = await Promise.allSettled([wire.send(get), wire.send(post)]);
  assert.ok(results.every((result) => result.status === "rejected"));
});

Deno.test("an idle connection that has grown old is not used again", async () => {
  const clock = new VirtualClock();
  await using server = await TestServer.start((socket) => socket.write(ok("x")));
  using wire = wireTo(server.url, { clock });
  await textOf(wire, get);
  await clock.advance(29_000);
  await textOf(wire, get);
  assert.equal(server.connections, 1);
  await clock.advance(30_000);
  await textOf(wire, get);
  assert.equal(server.connections, 2);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("abort rejects with the signal's reason at every stage", async () => {
  await using server = await TestServer.start((socket) => {
    if (server.requests.length === 2) {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
    }
  });
  using wire = wireTo(server.url);
  const reason = new Error("enough");
  await assert.rejects(wire.send({ ...get, signal: AbortSignal.abort(reason) }), reason);
  const waiting = new AbortController();
  const pending = wire.send({ ...get, signal: waiting.signal });
  while (server.requests.length < 1) await new Promise((resolve) => setImmediate(resolve));
  waiting.abort(reason);
  await assert.rejects(pending, reason);
  const streaming = new AbortController();
  const response = await wire.send({ ...get, signal: streaming.signal });
  const reader = response.stream().getReader();
  assert.equal(new TextDecoder().decode((await reader.read()).value), "ab");
  streaming.abort(reason);
  await assert.rejects(reader.read(), reason);
  while (server.sockets.size > 0) await new Promise((resolve) => setImmediate(resolve));
});

Deno.test("a signal that outlives its requests keeps no listener of theirs", async () => {
  await using server = await TestServer.start((socket) => {
    if (server.requests.length === 3) socket.destroy();
    else socket.write(ok("x"));
  });
  using wire = wireTo(server.url);
  const { signal } = new AbortController();
  const listeners = new Set<unknown>();
  const { addEventListener: add, removeEventListener: remove } = signal;
  signal.addEventListener = (type: string, listener: EventListenerOrEventListenerObject) => {
    listeners.add(listener);
    add.call(signal, type, listener);
  };
  signal.removeEventListener = (type: string, listener: EventListenerOrEventListenerObject) => {
    listeners.delete(listener);
    remove.call(signal, type, listener);
  };
  const during = wire.send({ ...get, signal });
  assert.equal(listeners.size, 1);
  await (await during).bytes();
  await Array.fromAsync((await wire.send({ ...get, signal })).stream());
  await rejectsWith(wire.send({ ...post, signal }), "interrupted");
  assert.equal(listeners.size, 0);
});

Deno.test("a stream ends cleanly, is interrupted, or is cancelled", async () => {
  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n";
  await using server = await TestServer.start((socket) => {
    const n = server.requests.length;
    socket.write(head);
    if (n === 1) socket.write("0\r\n\r\n");
    if (n === 2) socket.end();
  });
  using wire = wireTo(server.url, { timeoutMs: 200 });
  const open = async () => (await wire.send(get)).stream();
  assert.equal((await Array.fromAsync(await open())).length, 1);
  await rejectsWith(Array.fromAsync(await open()), "interrupted");
  const third = await open();
  await third.cancel();
  while (server.sockets.size > 0) await new Promise((resolve) => setImmediate(resolve));
});

Deno.test("a reader that lags holds the server back, and gets every byte", async () => {
  const total = 24 * 1024 * 1024;
  let drained = true;
  await using server = await TestServer.start((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
    const piece = new Uint8Array(64 * 1024);
    let sent = 0;
    const more = () => {
      while (sent < total) {
        sent += piece.length;
        if (!socket.write(piece)) {
          drained = false;
          socket.once("drain", () => {
            drained = true;
            more();
          });
          return;
        }
      }
    };
    more();
  });
  using wire = wireTo(server.url);
  const reader = (await wire.send(get)).stream().getReader();
  let read = (await reader.read()).value?.length ?? 0;
  // Left alone for many turns of the event loop, the server must get stuck: its writes do not drain.
  for (let quiet = 0; quiet < 200;) {
    await new Promise((resolve) => setImmediate(resolve));
    quiet = drained ? 0 : quiet + 1;
  }
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    read += part.value.length;
  }
  assert.equal(read, total);
  // The connection is fit for the next request.
  assert.equal((await wire.send(get)).status, 200);
});

Deno.test("renewed, it opens new connections and lets running exchanges end", async () => {
  await using server = await TestServer.start((socket) => socket.write(ok("x")));
  using wire = wireTo(server.url);
  await textOf(wire, get);
  const running = await wire.send(get);
  wire.renew();
  assert.equal((await running.bytes()).length, 1);
  await textOf(wire, get);
  assert.equal(server.connections, 2);
});

Deno.test("closed, it fails what is in progress and what comes later", async () => {
  await using server = await TestServer.start(() => {});
  const wire = wireTo(server.url);
  const pending = wire.send(get);
  while (server.requests.length < 1) await new Promise((resolve) => setImmediate(resolve));
  wire.close();
  await rejectsWith(pending, "interrupted");
  await rejectsWith(wire.send(get), "interrupted");
});

Deno.test("nobody listening is a failure to connect, for each request", async () => {
  const server = await TestServer.start(() => {});
  const url = server.url;
  await server[Symbol.asyncDispose]();
  using wire = wireTo(url);
  const results = await Promise.allSettled([wire.send(get), wire.send(post), wire.send(get)]);
  for (const result of results) {
    assert.ok(result.status === "rejected" && result.reason.failure === "connect");
    assert.match(result.reason.message, /^Cannot connect to 127\.0\.0\.1:\d+: .*REFUSED/);
  }
});

Deno.test("what answers without HTTP is interrupted, with the reason", async () => {
  await using server = await TestServer.start((socket) => socket.write("220 mail.example.com\r\n"));
  using wire = wireTo(server.url);
  await assert.rejects(wire.send(get), /the answer is not HTTP/);
});

Deno.test("a target that is no path is refused without touching others", async () => {
  await using server = await TestServer.start((socket) => socket.write(ok("x")));
  using wire = wireTo(server.url);
  await assert.rejects(wire.send({ ...get, target: "/a b" }), TypeError);
  assert.equal(await textOf(wire, get), "x");
});
