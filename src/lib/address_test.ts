import assert from "node:assert/strict";
import { formatListenAddress, parseListenAddress } from "./address.ts";

Deno.test("parseListenAddress() reads Go's forms and formats them back", () => {
  const cases: [string, string, number][] = [
    [":8080", "", 8080],
    [":0", "", 0],
    ["localhost:8080", "localhost", 8080],
    ["127.0.0.1:65535", "127.0.0.1", 65535],
    ["[::1]:8080", "::1", 8080],
    ["[::]:1", "::", 1],
    ["[2001:db8:0:0:0:0:0:1]:1", "2001:db8:0:0:0:0:0:1", 1],
    ["[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1],
    ["metrics.example.com:9", "metrics.example.com", 9],
  ];
  for (const [text, hostname, port] of cases) {
    assert.deepEqual(parseListenAddress(text), { address: { hostname, port } }, text);
    assert.equal(formatListenAddress({ hostname, port }), text);
  }
});

Deno.test("parseListenAddress() takes 0 and off as not listening", () => {
  for (const text of ["0", "off"]) {
    assert.deepEqual(parseListenAddress(text), { address: undefined });
  }
  assert.equal(formatListenAddress(undefined), "off");
});

Deno.test("parseListenAddress() says what is wrong", () => {
  const cases: [string, RegExp][] = [
    ["8080", /lacks a colon; .* ":8080"/],
    ["", /not host:port/],
    ["localhost", /not host:port/],
    ["::1:8080", /write IPv6 as \[::1\]:8080/],
    [":http", /the port "http"/],
    [":65536", /the port "65536"/],
    [":", /the port ""/],
    [":-1", /the port "-1"/],
    ["300.0.0.1:80", /the host "300.0.0.1"/],
    ["1.2.3:80", /the host "1.2.3"/],
    ["[1::2::3]:80", /the host/],
    ["[12345::]:80", /the host/],
    ["[1:2:3]:80", /the host/],
    ["[::1%eth0]:80", /the host/],
    ["[]:80", /the host ""/],
    ["a b:80", /the host "a b"/],
    ["http://localhost:80", /is a URL/],
  ];
  for (const [text, expected] of cases) {
    const parsed = parseListenAddress(text);
    assert.match("error" in parsed ? parsed.error : "accepted", expected, text);
  }
});
