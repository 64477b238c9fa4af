/**
 * Clients for one API server, each with connections of its own: a lease renewal never waits behind
 * other requests, and watches, which hold a connection for minutes, take none from them.
 */
import { type Clock, systemClock } from "../lib/clock.ts";
import type { RestClient } from "../runtime/ports/rest.ts";
import type { ClusterConnection } from "./connection.ts";
import { KubeRestClient } from "./rest_client.ts";
import { SocketWire } from "./socket_wire.ts";

const API_CONNECTIONS_MAX = 64;
/** Each watch holds one for minutes: with fewer than there are watches, the last would never begin. */
const WATCH_CONNECTIONS_MAX = 65_536;
const LEASE_CONNECTIONS_MAX = 4;
const TIMEOUT_MS = 15_000;

export interface ClientsOptions {
  readonly clock?: Clock;
  /**
   * Deadline for a connection and the response's head, and for each silence in a body that is not
   * a stream; 15 s unless given. Streams have none of their own: abort them.
   */
  readonly timeoutMs?: number;
  readonly userAgent?: string;
}

/** Ours are {@link Clients}; any three clients will do that share no connection pool. */
export interface RestClients {
  readonly api: RestClient;
  readonly watch: RestClient;
  readonly lease: RestClient;
}

export interface Clients extends RestClients, Disposable {
  readonly api: KubeRestClient;
  readonly watch: KubeRestClient;
  readonly lease: KubeRestClient;
  /** Closes all connections; requests in progress fail. */
  close(): void;
}

export function createClients(
  connection: ClusterConnection,
  options: ClientsOptions = {},
): Clients {
  const { clock = systemClock, timeoutMs = TIMEOUT_MS } = options;
  const userAgent = options.userAgent ?? "podconfigmap-controller";
  const client = (maxConnections: number) => {
    const wire = new SocketWire({ connection, clock, timeoutMs, maxConnections });
    return new KubeRestClient({ connection, wire, clock, userAgent });
  };
  const api = client(API_CONNECTIONS_MAX);
  const watch = client(WATCH_CONNECTIONS_MAX);
  const lease = client(LEASE_CONNECTIONS_MAX);
  const close = () => {
    for (const each of [api, watch, lease]) each.close();
  };
  return { api, watch, lease, close, [Symbol.dispose]: close };
}
