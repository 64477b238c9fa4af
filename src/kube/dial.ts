/**
 * Opens one connection to an API server: TCP, through a proxy where there is one, then TLS.
 *
 * `node:tls` and not `Deno.connectTls`: only there is the given CA the only one trusted (`caCerts`
 * adds to the platform's roots), can verification be turned off, and a server name be set together
 * with both. It offers HTTP/1.1 alone in ALPN. TCP keep-alive probes find a peer that vanished.
 */
import * as net from "node:net";
import * as tls from "node:tls";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import type { ClusterConnection } from "./connection.ts";
import { openTunnel } from "./proxy_tunnel.ts";
import { assertSignedBy } from "./trust.ts";

const KEEP_ALIVE_PROBE_MS = 30_000;

/** What is abandoned when `abort` is called: the socket under construction. */
export interface Dialing {
  readonly socket: Promise<net.Socket>;
  abort(error: Error): void;
}

export function dial(target: ClusterConnection): Dialing {
  let current: net.Socket | undefined;
  let aborted: Error | undefined;
  const own = (socket: net.Socket): net.Socket => {
    current = socket;
    // Errors are told by whoever waits for it; between two who wait, none may be unhandled.
    socket.on("error", () => {});
    if (aborted) socket.destroy(aborted);
    return socket;
  };
  return {
    socket: connect(target, own),
    abort(error) {
      aborted = error;
      current?.destroy(error);
    },
  };
}

async function connect(
  target: ClusterConnection,
  own: (socket: net.Socket) => net.Socket,
): Promise<net.Socket> {
  const host = hostOf(target.server);
  const port = portOf(target.server);
  const first = target.proxy
    ? { host: hostOf(target.proxy), port: portOf(target.proxy) }
    : { host, port };
  const secure = target.server.protocol === "https:";
  const identity = secure ? await identityOf(target) : undefined;
  const socket = own(net.connect(first.port, first.host));
  await opened(socket, "connect", `${first.host}:${first.port}`);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
  if (target.proxy) await openTunnel(socket, target.proxy, host, port);
  if (!identity) return socket;
  // SNI carries names only; an address is checked against the certificate through `host`.
  const name = target.serverName ?? host;
  const secured = own(tls.connect({
    socket,
    host: name,
    ...(net.isIP(name) ? {} : { servername: name }),
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: target.insecure !== true,
    ...identity,
  }));
  await opened(secured, "secureConnect", `${host}:${port}`);
  if (target.insecure !== true) {
    assertSignedBy(secured as tls.TLSSocket, identity.ca, `${host}:${port}`);
  }
  return secured;
}

async function identityOf(
  target: ClusterConnection,
): Promise<{ ca?: string; cert?: string; key?: string }> {
  const ca = target.insecure ? undefined : await target.trustRoots?.();
  const own = await target.credentials.certificate();
  return { ...(ca === undefined ? {} : { ca }), ...own };
}

/** Resolves on `event`. @throws {KubeConnectionError} saying what failed. */
function opened(socket: net.Socket, event: string, peer: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: Error) => {
      socket.removeListener(event, onOpen);
      socket.removeListener("close", onClose);
      if (!error) {
        socket.removeListener("error", onError);
        return resolve();
      }
      socket.destroy();
      reject(error);
    };
    const onOpen = () => done();
    const onError = (error: Error) => done(connectFailure(error, peer, event === "secureConnect"));
    const onClose = () => onError(new Error("the connection was closed"));
    socket.once(event, onOpen);
    socket.once("error", onError);
    socket.once("close", onClose);
  });
}

/** OpenSSL's names, as node:tls gives them, of what is wrong with the peer or the handshake. */
const TLS_CODE = /^(ERR_TLS_|ERR_SSL_|UNABLE_TO_|CERT_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH)/;

/** Turns what a socket reports while opening into an error of the port. */
export function connectFailure(error: Error, peer: string, securing: boolean): KubeConnectionError {
  if (error instanceof KubeConnectionError) return error;
  const code = (error as { code?: unknown }).code;
  if (error.name === "NotCapable" || code === "EPERM") {
    return new KubeConnectionError(
      "connect",
      `Cannot connect to ${peer}: the process may not use the network (--allow-net=${peer})`,
      error,
    );
  }
  const certificate = typeof code === "string" && TLS_CODE.test(code);
  if (certificate || /certificate|handshake|fatal alert/i.test(error.message)) {
    return new KubeConnectionError("tls", `Cannot trust ${peer}: ${error.message}`, error);
  }
  const doing = securing ? "establish TLS with" : "connect to";
  return new KubeConnectionError("connect", `Cannot ${doing} ${peer}: ${error.message}`, error);
}

/** The URL's host, an IPv6 address without its brackets. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1");
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  "http:": 80,
  "https:": 443,
  "socks5:": 1080,
  "socks5h:": 1080,
};

export function portOf(url: URL): number {
  return url.port === "" ? DEFAULT_PORTS[url.protocol] ?? 443 : Number(url.port);
}
