import assert from "node:assert/strict";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import type { Check } from "./health.ts";
import { type OpsServerOptions, SCRAPE_SHARED_MS, startOpsServer } from "./http_server.ts";

const check = (name: string, ok: boolean, detail = "x"): Check => ({
  name,
  check: () => ({ ok, detail }),
});

function start(more: Partial<OpsServerOptions> = {}) {
  const server = startOpsServer({
    address: { hostname: "127.0.0.1", port: 0 },
    metrics: { contentType: "text/plain; version=0.0.4", scrape: () => Promise.resolve("m 1\n") },
    healthz: () => [check("event loop", true)],
    readyz: () => [check("cache pods", true), check("cache pcmcs", false, "401\nUnauthorized")],
    clock: systemClock,
    log: silentLogger,
    ...more,
  });
  const get = async (path: string, method = "GET") => {
    const response = await fetch(`http://127.0.0.1:${server.address.port}${path}`, { method });
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
  return { server, get };
}

Deno.test("the operations port serves metrics and health", async () => {
  const { server, get } = start();
  const metrics = await get("/metrics");
  assert.deepEqual([metrics.status, metrics.body], [200, "m 1\n"]);
  assert.equal(metrics.headers.get("content-type"), "text/plain; version=0.0.4");
  const health = await get("/healthz");
  assert.deepEqual([health.status, health.body], [200, "ok\n"]);
  assert.equal(
    (await get("/healthz?verbose")).body,
    "[+]event loop ok: x\nhealthz check passed\n",
  );
  const ready = await get("/readyz");
  assert.equal(ready.status, 503);
  assert.equal(
    ready.body,
    "[+]cache pods ok: x\n[-]cache pcmcs failed: 401 Unauthorized\nreadyz check failed\n",
  );
  await server.close();
});

Deno.test("the operations port knows HEAD, refuses other methods and paths", async () => {
  const { server, get } = start();
  const head = await get("/metrics", "HEAD");
  assert.deepEqual([head.status, head.body], [200, ""]);
  assert.equal((await get("/readyz", "HEAD")).status, 503);
  const post = await get("/metrics", "POST");
  assert.deepEqual([post.status, post.headers.get("allow")], [405, "GET, HEAD"]);
  assert.equal((await get("/metricsx")).status, 404);
  assert.equal((await get("/")).status, 404);
  await server.close();
});

Deno.test("many scrapes at once are collected once; later ones anew, also after a failure", async () => {
  const clock = new VirtualClock();
  let scrapes = 0;
  const scrape = () =>
    ++scrapes === 2 ? Promise.reject(new Error("once")) : Promise.resolve(`m ${scrapes}\n`);
  const { server, get } = start({ clock, metrics: { contentType: "text/plain", scrape } });
  const bodies = await Promise.all([1, 2, 3].map(async () => (await get("/metrics")).body));
  assert.deepEqual(bodies, ["m 1\n", "m 1\n", "m 1\n"]);
  await clock.advance(SCRAPE_SHARED_MS);
  assert.equal((await get("/metrics")).status, 500);
  assert.equal((await get("/metrics")).body, "m 3\n");
  await server.close();
});

Deno.test("a check that throws is a failed check, a scrape that throws is a 500", async () => {
  const throwing = { name: "bad", check: () => assert.fail("boom") };
  const scrape = () => Promise.reject(new Error("secret detail"));
  const { server, get } = start({
    healthz: () => [throwing],
    metrics: { contentType: "text/plain", scrape },
  });
  const health = await get("/healthz");
  assert.equal(health.status, 503);
  assert.match(health.body, /^\[-\]bad failed: boom/);
  const metrics = await get("/metrics");
  assert.deepEqual([metrics.status, metrics.body], [500, "internal error\n"]);
  await server.close();
});

Deno.test("a port in use is a clear error", async () => {
  const { server } = start();
  const { port } = server.address;
  assert.throws(
    () => start({ address: { hostname: "127.0.0.1", port } }),
    { message: `Cannot listen on 127.0.0.1:${port}: the address is already in use` },
  );
  assert.throws(
    () => start({ address: { hostname: "192.0.2.1", port: 0 } }),
    /Cannot listen on 192\.0\.2\.1:0: /,
  );
  await server.close();
});

Deno.test("an address without a host listens on IPv4, and closing frees the port", async () => {
  const { server, get } = start({ address: { hostname: "", port: 0 } });
  assert.equal((await get("/healthz")).status, 200);
  await server.close();
  const again = start({ address: { hostname: "", port: server.address.port } });
  await again.server.close();
});

Deno.test("closing does not wait for a client that never finishes", async () => {
  const hanging = Promise.withResolvers<string>();
  const { server, get } = start({
    metrics: { contentType: "text/plain", scrape: () => hanging.promise },
  });
  const answer = get("/metrics");
  await get("/healthz");
  const from = performance.now();
  await server.close();
  assert.ok(performance.now() - from < 2_000);
  await assert.rejects(get("/healthz"));
  hanging.resolve("late");
  assert.equal((await answer).body, "late");
});
