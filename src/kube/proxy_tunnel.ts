/**
 * Asks a proxy for a connection to the API server: HTTP CONNECT (with basic credentials of the
 * proxy's URL), or SOCKS5 without authentication. Afterwards the socket is the connection.
 */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { KubeConnectionError } from "../runtime/ports/errors.ts";

const ANSWER_BYTES_MAX = 16 * 1024;

/** Proxies that {@link openTunnel} can use. */
export const PROXY_PROTOCOLS: readonly string[] = ["http:", "socks5:", "socks5h:"];

/** @throws {KubeConnectionError} when the proxy refuses. */
export async function openTunnel(socket: Socket, proxy: URL, host: string, port: number) {
  if (proxy.protocol === "http:") await httpConnect(socket, proxy, host, port);
  else await socksConnect(socket, proxy, host, port);
}

function refused(proxy: URL, reason: string): KubeConnectionError {
  return new KubeConnectionError(
    "connect",
    `Cannot connect through proxy ${proxy.host}: ${reason}`,
  );
}

async function httpConnect(socket: Socket, proxy: URL, host: string, port: number): Promise<void> {
  const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const user = proxy.username === "" ? "" : Buffer.from(
    `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`,
  ).toString("base64");
  socket.write(
    `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n` +
      (user ? `Proxy-Authorization: Basic ${user}\r\n` : "") + "\r\n",
  );
  const answer = await receive(socket, proxy, (data) => {
    const end = data.indexOf("\r\n\r\n");
    return end < 0 ? undefined : end + 4;
  });
  const line = answer.toString("latin1").split("\r\n")[0] ?? "";
  if (!/^HTTP\/1\.[01] 2\d\d/.test(line)) throw refused(proxy, line.slice(0, 100));
}

const SOCKS_FAILURES: Readonly<Record<number, string>> = {
  1: "general failure",
  2: "not allowed by its rules",
  3: "network unreachable",
  4: "host unreachable",
  5: "connection refused",
  6: "time to live expired",
};

async function socksConnect(socket: Socket, proxy: URL, host: string, port: number): Promise<void> {
  socket.write(Buffer.from([5, 1, 0])); // version 5, one method: no authentication
  const method = await receive(socket, proxy, (data) => data.length >= 2 ? 2 : undefined);
  if (method[0] !== 5 || method[1] !== 0) throw refused(proxy, "it wants another authentication");
  const name = Buffer.from(host, "latin1");
  if (name.length > 255) throw refused(proxy, "the host's name is too long");
  socket.write(Buffer.concat([
    Buffer.from([5, 1, 0, 3, name.length]), // CONNECT to a name; the proxy resolves it
    name,
    Buffer.from([port >> 8, port & 0xff]),
  ]));
  const answer = await receive(socket, proxy, (data) => {
    if (data.length < 5) return undefined;
    const address = data[3] === 1 ? 4 : data[3] === 4 ? 16 : 1 + (data[4] as number);
    return data.length >= 6 + address ? 6 + address : undefined;
  });
  const code = answer[1] as number;
  if (code !== 0) throw refused(proxy, SOCKS_FAILURES[code] ?? `failure ${code}`);
}

/** Reads until `complete` gives a length; that many bytes. What follows stays in the socket. */
function receive(
  socket: Socket,
  proxy: URL,
  complete: (data: Buffer) => number | undefined,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let data = Buffer.alloc(0);
    const done = (error?: Error, length = 0) => {
      socket.removeListener("data", onData);
      socket.removeListener("error", onError);
      socket.removeListener("close", onClose);
      socket.pause();
      if (error) {
        socket.destroy();
        return reject(error);
      }
      if (data.length > length) socket.unshift(data.subarray(length));
      resolve(data.subarray(0, length));
    };
    const onData = (chunk: Buffer) => {
      data = Buffer.concat([data, chunk]);
      const length = complete(data);
      if (length !== undefined) done(undefined, length);
      else if (data.length > ANSWER_BYTES_MAX) done(refused(proxy, "an endless answer"));
    };
    const onError = (error: Error) =>
      done(error instanceof KubeConnectionError ? error : refused(proxy, error.message));
    const onClose = () => done(refused(proxy, "it closed the connection"));
    socket.on("data", onData);
    socket.once("error", onError);
    socket.once("close", onClose);
    // After an explicit pause, a listener alone does not make it flow again.
    socket.resume();
  });
}
