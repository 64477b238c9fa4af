import assert from "node:assert/strict";
import { InvariantError } from "./assert.ts";
import type { LogFields, LogLevel } from "./log.ts";
import { jsonLine, klogLine, VALUE_CHARACTERS_MAX } from "./log_format.ts";
import { createLogger } from "./log_output.ts";
import { VirtualClock } from "./virtual_clock.ts";

const START = Date.UTC(2026, 10, 23, 16, 31, 57, 364);

function capture(format: "text" | "json", level: LogLevel = "info") {
  const lines: string[] = [];
  const clock = new VirtualClock(START);
  const log = createLogger({
    format,
    level,
    clock,
    name: "controller",
    pid: 1,
    write: (line) => lines.push(line),
  });
  return { log, lines, clock };
}

const event = (fields: LogFields, level: LogLevel = "info") => ({
  timeMs: START + 0.416,
  level,
  logger: "controller",
  message: "Message",
  fields,
});
const fieldsOf = (fields: LogFields, level?: LogLevel) =>
  klogLine(event(fields, level), 1).split('"Message" ')[1];

Deno.test("text lines have klog's form, the error first", () => {
  assert.equal(
    klogLine(event({ pod: "ns/name", n: 5, ok: true, err: new Error("no") }), 1),
    'I1123 16:31:57.364416       1 controller] "Message" err="no" pod="ns/name" n=5 ok=true',
  );
  assert.match(
    klogLine(event({}, "debug"), 12345678),
    /^D1123 \S+ 12345678 controller\] "Message"$/,
  );
  assert.match(klogLine(event({}, "warning"), 1), /^W/);
  assert.match(klogLine(event({}, "error"), 1), /^E/);
});

Deno.test("JSON lines have fixed names first and never lose a field that shares one", () => {
  assert.equal(
    jsonLine(event({ level: "x", pods: ["a", "b"], at: new Date(0), big: 5n })),
    '{"ts":"2026-11-23T16:31:57.364Z","level":"info","logger":"controller","msg":"Message",' +
      '"level_":"x","pods":["a","b"],"at":"1970-01-01T00:00:00.000Z","big":"5"}',
  );
});

Deno.test("an event is one line whatever its values hold", () => {
  const nasty = 'a\nb\r\u2028\u0085\u001b[31m"=\\';
  const text = klogLine(event({ nasty, "odd name=": 1 }), 1);
  assert.match(text, /nasty="a\\nb\\r\\u2028\\u0085\\u001b\[31m\\"=\\\\" odd_name_=1$/);
  for (const line of [jsonLine(event({ nasty, list: [nasty] })), text]) {
    assert.equal(line.split(/[\n\r\u2028\u0085]/).length, 1);
  }
  assert.equal(JSON.parse(jsonLine(event({ nasty }))).nasty, nasty);
});

Deno.test("errors carry their causes, once each", () => {
  const root = new Error("connection refused");
  const middle = new Error("Cannot list pods: connection refused", { cause: root });
  const top = new Error("Cannot sync", { cause: middle });
  assert.equal(fieldsOf({ err: top }), 'err="Cannot sync: Cannot list pods: connection refused"');
  const both = new AggregateError([new Error("a"), new Error("b")], "Cannot connect");
  assert.equal(fieldsOf({ err: both }), 'err="Cannot connect (a; b)"');
  assert.equal(fieldsOf({ err: new Error("x", { cause: "y" }) }), 'err="x: y"');
});

Deno.test("errors of the program itself come with their stack, others without", () => {
  assert.match(fieldsOf({ err: new InvariantError("bad") }, "error") ?? "", /stack=".*log_test/);
  assert.doesNotMatch(fieldsOf({ err: new Error("bad") }, "error") ?? "", /stack/);
});

Deno.test("secrets are redacted by name and by look, in nested values too", () => {
  const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrOHMifQ.c2ln";
  const secret = "hunter2hunter2";
  const cases: LogFields[] = [
    { token: secret },
    { clientSecret: secret },
    { password: secret },
    { "client-key-data": secret },
    { key: "aGVsbG8gd29ybGQ=" },
    { key: "0123456789abcdef0123" },
    { user: { name: "me", token: secret } },
    { headers: [{ authorization: `Bearer ${secret}` }] },
    { err: new Error(`401: Bearer ${secret}`) },
    { err: new Error("no", { cause: new Error(`Authorization: bearer ${secret}`) }) },
    { text: `got ${jwt} back` },
    { proxy: `http://me:${secret}@proxy:3128` },
    { pem: `-----BEGIN RSA PRIVATE KEY-----\n${secret}\n-----END RSA PRIVATE KEY-----` },
    { headers: new Map([["token", secret]]) },
  ];
  for (const fields of cases) {
    for (const line of [klogLine(event(fields), 1), jsonLine(event(fields))]) {
      assert.match(line, /\[redacted\]/);
      for (const leaked of [secret, jwt, "aGVsbG8", "0123456789abcdef"]) {
        assert.ok(!line.includes(leaked), line);
      }
    }
  }
  const kept = { key: "default/web-0", tokenReviews: 3, secretName: "x", url: "https://h:1/p" };
  assert.doesNotMatch(klogLine(event(kept), 1), /redacted/);
});

Deno.test("long, cyclic and unreadable values do not break a line", () => {
  const long = fieldsOf({ text: "x".repeat(VALUE_CHARACTERS_MAX + 5) }) ?? "";
  assert.match(long, /x\.\.\. \(5 more characters\)"$/);
  const cyclic: Record<string, unknown> = { a: 1 };
  cyclic["self"] = cyclic;
  assert.match(fieldsOf({ cyclic }) ?? "", /\[deeper\]/);
  const throwing = {
    get a(): never {
      throw new Error("no");
    },
  };
  assert.match(fieldsOf({ throwing }) ?? "", /unreadable: no/);
  assert.equal(
    fieldsOf({ a: undefined, b: null, c: NaN, d: new Uint8Array(3) }),
    'b=null c="NaN" d="[3 bytes]"',
  );
});

Deno.test("createLogger() drops what is below its level and adds the fields of with()", () => {
  const { log, lines } = capture("text");
  log.debug("Hidden");
  const child = log.with({ logger: "informer", resource: "pods" }).with({ n: 1 });
  child.info("Listed {n} of them", { n: 2 });
  log.warning("Plain");
  assert.deepEqual(lines, [
    'I1123 16:31:57.364000       1 informer] "Listed {n} of them" resource="pods" n=2\n',
    'W1123 16:31:57.364000       1 controller] "Plain"\n',
  ]);
});

Deno.test("createLogger() writes one JSON object a line, debug when asked", () => {
  const { log, lines } = capture("json", "debug");
  log.debug("Seen", { pod: "a/b" });
  log.error("Failed", { err: new Error("x") });
  assert.deepEqual(lines.map((line) => JSON.parse(line)), [
    {
      ts: "2026-11-23T16:31:57.364Z",
      level: "debug",
      logger: "controller",
      msg: "Seen",
      pod: "a/b",
    },
    {
      ts: "2026-11-23T16:31:57.364Z",
      level: "error",
      logger: "controller",
      msg: "Failed",
      err: "x",
    },
  ]);
});
