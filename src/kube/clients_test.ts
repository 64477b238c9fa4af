import assert from "node:assert/strict";
import * as net from "node:net";
import { createClients } from "./clients.ts";
import { anonymous } from "./connection.ts";

Deno.test("hundreds of watches, as of a hundred namespaces, are open at once", async () => {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const clients = createClients({
    origin: "test",
    server: new URL(`http://127.0.0.1:${port}`),
    credentials: anonymous,
  }, { timeoutMs: 5_000 });
  try {
    const opened = await Promise.all(
      Array.from(
        { length: 300 },
        (_, i) =>
          clients.watch.performRequest({ method: "GET", path: `/${i}`, expectStream: true }),
      ),
    );
    assert.equal(opened.length, 300);
    assert.equal(sockets.size, 300);
    await Promise.all(opened.map((body) => body.cancel()));
  } finally {
    clients.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});
