import assert from "node:assert/strict";
import { proxyFromEnvironment } from "./proxy_env.ts";

const proxyFor = (server: string, env: Record<string, string>) =>
  proxyFromEnvironment(new URL(server), (name) => env[name]);

Deno.test("the scheme chooses the variable; upper case comes first", () => {
  const env = { HTTPS_PROXY: "http://s", https_proxy: "http://t", http_proxy: "p:80" };
  assert.equal(proxyFor("https://h", env), "http://s");
  assert.equal(proxyFor("http://h", env), "http://p:80");
  assert.equal(proxyFor("https://h", {}), undefined);
});

Deno.test("loopback is never proxied", () => {
  for (const host of ["localhost:6443", "127.0.0.5", "[::1]:6443"]) {
    assert.equal(proxyFor(`https://${host}`, { HTTPS_PROXY: "p" }), undefined);
  }
});

Deno.test("NO_PROXY excludes names, what is below them, addresses, networks and ports", () => {
  const excluded = (server: string, list: string) =>
    proxyFor(server, { HTTPS_PROXY: "p", NO_PROXY: list }) === undefined;
  assert.ok(excluded("https://a.example.com", "x, example.com"));
  assert.ok(excluded("https://example.com", "example.com"));
  assert.ok(excluded("https://a.example.com", "*.example.com"));
  assert.ok(!excluded("https://example.com", ".example.com"));
  assert.ok(!excluded("https://badexample.com", "example.com"));
  assert.ok(excluded("https://10.1.2.3:6443", "10.0.0.0/8"));
  assert.ok(!excluded("https://11.1.2.3", "10.0.0.0/8"));
  assert.ok(!excluded("https://10.1.2.3", "10.0.0.0/99"));
  assert.ok(excluded("https://[fd00::7]", "fd00::/16"));
  assert.ok(excluded("https://[fd00::7]", "fd00::7"));
  assert.ok(excluded("https://h:6443", "h:6443"));
  assert.ok(!excluded("https://h:6443", "h:443"));
  assert.ok(excluded("https://h", "h:443"));
  assert.ok(excluded("https://anything", "*"));
  assert.ok(!excluded("https://110.1.2.3", "10.1.2.3"));
});
