/**
 * The operations port: /metrics, /healthz and /readyz over HTTP.
 *
 * Reads only, no authentication: bind it to where it may be read. `?verbose` lists each check. The
 * series are collected at most every {@link SCRAPE_SHARED_MS}: scrapers, however many, cost no leader
 * its lease.
 * Closing frees the port at once and waits for clients no longer than {@link CLOSE_GRACE_MS}.
 */
import { formatListenAddress, type ListenAddress } from "../lib/address.ts";
import type { Clock } from "../lib/clock.ts";
import { errorText } from "../lib/log_format.ts";
import type { Logger } from "../lib/log.ts";
import { type Check, runChecks } from "./health.ts";

export const CLOSE_GRACE_MS = 500;
/** Scrapes that come closer together than this get the same text. */
export const SCRAPE_SHARED_MS = 250;

export interface OpsServerOptions {
  readonly address: ListenAddress;
  readonly metrics: { readonly contentType: string; scrape(): Promise<string> };
  /** Asked at each request, so that checks may come and go. */
  readonly healthz: () => readonly Check[];
  readonly readyz: () => readonly Check[];
  readonly clock: Clock;
  readonly log: Logger;
}

export interface OpsServer {
  /** Where it listens; the port is known even when any free one was asked for. */
  readonly address: ListenAddress;
  close(): Promise<void>;
}

/** Listens at once. @throws Error "Cannot listen on ..." when the address cannot be had. */
export function startOpsServer(given: OpsServerOptions): OpsServer {
  const options = { ...given, metrics: shared(given) };
  const serve = (hostname: string) =>
    Deno.serve({
      hostname,
      port: options.address.port,
      onListen: () => {},
      onError: (error) => failed(options.log, error),
    }, (request) => answer(request, options));
  const server = listen(options.address, serve);
  const { port } = server.addr;
  return {
    address: { hostname: options.address.hostname, port },
    async close() {
      // Aborting a server that is shutting down throws where nobody can catch it (Deno 2.9), so a
      // client that does not finish is left behind; the listener is closed in any case.
      const late = Promise.withResolvers<void>();
      using _timer = options.clock.setTimer(CLOSE_GRACE_MS, () => late.resolve());
      await Promise.race([server.shutdown(), late.promise]);
    },
  };
}

type Server = Deno.HttpServer<Deno.NetAddr>;

/** Every address means IPv6 and IPv4; where the machine has no IPv6, IPv4 alone. */
function listen(address: ListenAddress, serve: (hostname: string) => Server): Server {
  const hosts = address.hostname === "" ? ["::", "0.0.0.0"] : [address.hostname];
  let failure: unknown;
  for (const host of hosts) {
    try {
      return serve(host);
    } catch (error) {
      failure = error;
      if (error instanceof Deno.errors.AddrInUse) break;
    }
  }
  const reason = failure instanceof Deno.errors.AddrInUse
    ? "the address is already in use"
    : errorText(failure);
  throw new Error(`Cannot listen on ${formatListenAddress(address)}: ${reason}`, {
    cause: failure,
  });
}

async function answer(request: Request, options: OpsServerOptions): Promise<Response> {
  const url = new URL(request.url);
  const known = ["/metrics", "/healthz", "/readyz"].includes(url.pathname);
  if (!known) return text(request, 404, "not found; there are /metrics, /healthz and /readyz\n");
  if (request.method !== "GET" && request.method !== "HEAD") {
    return text(request, 405, "only GET and HEAD\n", { allow: "GET, HEAD" });
  }
  if (url.pathname === "/metrics") {
    const { contentType } = options.metrics;
    return text(request, 200, await options.metrics.scrape(), { "content-type": contentType });
  }
  const endpoint = url.pathname.slice(1);
  const checks = endpoint === "healthz" ? options.healthz() : options.readyz();
  const result = runChecks(endpoint, checks, url.searchParams.has("verbose"));
  return text(request, result.ok ? 200 : 503, result.text);
}

function text(
  request: Request,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): Response {
  return new Response(request.method === "HEAD" ? null : body, {
    status,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...headers,
    },
  });
}

/** The metrics, collected anew only when the last time was long enough ago. */
function shared({ metrics, clock }: OpsServerOptions): OpsServerOptions["metrics"] {
  let last: { readonly at: number; readonly text: Promise<string> } | undefined;
  return {
    contentType: metrics.contentType,
    scrape() {
      const now = clock.monotonic();
      if (last === undefined || now - last.at >= SCRAPE_SHARED_MS) {
        const text = metrics.scrape();
        last = { at: now, text };
        text.catch(() => last = undefined);
      }
      return last.text;
    },
  };
}

function failed(log: Logger, error: unknown): Response {
  log.error("Cannot answer a request on the operations port", { err: error });
  return new Response("internal error\n", { status: 500 });
}
