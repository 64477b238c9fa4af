import assert from "node:assert/strict";
import fc from "fast-check";
import { FRAME_BYTES_MAX, jsonCodec } from "./json_codec.ts";
import type { StoredObject, WatchEvent } from "./ports/codec.ts";
import type { JsonObject } from "./ports/rest.ts";

interface Thing extends StoredObject {
  readonly note: string;
}

function project(json: JsonObject): Thing {
  const meta = json.metadata as Record<string, string>;
  if (!meta.uid) throw new TypeError("no uid");
  return {
    namespace: meta.namespace ?? "",
    name: meta.name ?? "",
    uid: meta.uid,
    resourceVersion: meta.resourceVersion ?? "",
    note: String(json.note ?? ""),
  };
}

const codec = jsonCodec(project);
const bytes = (text: string) => new TextEncoder().encode(text);
const json = (value: unknown) => bytes(JSON.stringify(value));
const thing = (name: string, resourceVersion: string, note = "") => ({
  metadata: { namespace: "ns", name, uid: `u-${name}`, resourceVersion },
  note,
});
const bookmark = (resourceVersion: string, annotations?: Record<string, string>) => ({
  type: "BOOKMARK",
  object: { metadata: { resourceVersion, ...(annotations ? { annotations } : {}) } },
});
const frames = (...events: unknown[]) => events.map((e) => JSON.stringify(e) + "\n").join("");

function decode(text: string): WatchEvent<Thing>[] {
  const decoder = codec.watchDecoder();
  const events = decoder.push(bytes(text));
  decoder.end();
  return events;
}

Deno.test("decodeList projects items and keeps resourceVersion and continue token", () => {
  const page = codec.decodeList(
    json({ metadata: { resourceVersion: "7", continue: "next" }, items: [thing("a", "3", "é")] }),
  );
  assert.deepEqual(page, {
    items: [{ namespace: "ns", name: "a", uid: "u-a", resourceVersion: "3", note: "é" }],
    resourceVersion: "7",
    continueToken: "next",
  });
});

Deno.test("decodeList takes null items and a missing continue token as empty", () => {
  assert.deepEqual(codec.decodeList(json({ metadata: { resourceVersion: "7" }, items: null })), {
    items: [],
    resourceVersion: "7",
    continueToken: "",
  });
});

Deno.test("decodeList refuses what is not a list", () => {
  const bad = [
    bytes(""),
    bytes("<html>"),
    bytes("[]"),
    bytes("null"),
    json({ items: [] }),
    json({ metadata: { resourceVersion: "" }, items: [] }),
    json({ metadata: { resourceVersion: "1" } }),
    json({ metadata: { resourceVersion: "1" }, items: [{ metadata: { name: "no-uid" } }] }),
    json({ metadata: { resourceVersion: "1" }, items: [null] }),
    Uint8Array.of(0x22, 0xff, 0x22),
  ];
  for (const body of bad) assert.throws(() => codec.decodeList(body), SyntaxError);
});

Deno.test("the watch decoder tells the five event types apart", () => {
  const events = decode(frames(
    { type: "ADDED", object: thing("a", "1") },
    { type: "MODIFIED", object: thing("a", "2") },
    { type: "DELETED", object: thing("a", "3") },
    bookmark("4"),
    bookmark("5", { "k8s.io/initial-events-end": "true" }),
    { type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired", message: "too old" } },
  ));
  assert.deepEqual(events.map((event) => event.type), [
    "ADDED",
    "MODIFIED",
    "DELETED",
    "BOOKMARK",
    "BOOKMARK",
    "ERROR",
  ]);
  assert.deepEqual(events[3], { type: "BOOKMARK", resourceVersion: "4", initialEventsEnd: false });
  assert.deepEqual(events[4], { type: "BOOKMARK", resourceVersion: "5", initialEventsEnd: true });
  const last = events[5];
  assert.ok(last?.type === "ERROR");
  assert.equal(last.error.status, 410);
  assert.equal(last.error.reason, "Expired");
  assert.match(last.error.message, /too old/);
});

Deno.test("an ERROR event keeps the seconds after which to retry", () => {
  const [event] = decode(frames({
    type: "ERROR",
    object: { code: 429, message: "slow", details: { retryAfterSeconds: 3 } },
  }));
  assert.ok(event?.type === "ERROR");
  assert.equal(event.error.retryAfterMs, 3000);
});

Deno.test("any split of the bytes decodes to the same events", () => {
  const notes = fc.array(fc.string({ unit: "grapheme", maxLength: 12 }), { maxLength: 6 });
  const cuts = fc.array(fc.nat(2000), { maxLength: 12 });
  fc.assert(fc.property(notes, cuts, (notes, cuts) => {
    const text = frames(
      ...notes.map((note, i) => ({ type: "MODIFIED", object: thing(`t${i}`, `${i + 1}`, note) })),
      bookmark("99"),
    );
    const whole = bytes(text);
    const decoder = codec.watchDecoder();
    const points = [0, ...cuts.map((cut) => cut % (whole.length + 1)), whole.length];
    points.sort((a, b) => a - b);
    const events: WatchEvent<Thing>[] = [];
    for (let i = 1; i < points.length; i++) {
      const chunk = whole.slice(points[i - 1], points[i]);
      events.push(...decoder.push(chunk));
      chunk.fill(0x58); // the decoder must not lean on a buffer that is used again
    }
    decoder.end();
    assert.deepEqual(events, decode(text));
    const got = events.flatMap((event) => event.type === "MODIFIED" ? [event.object.note] : []);
    assert.deepEqual(got, notes);
  }));
});

Deno.test("one byte at a time decodes like one chunk, four-byte characters too", () => {
  const text = frames({ type: "ADDED", object: thing("a", "1", "x\u{1F680}y") }, bookmark("2"));
  const decoder = codec.watchDecoder();
  const events = [...bytes(text)].flatMap((byte) => decoder.push(Uint8Array.of(byte)));
  decoder.end();
  assert.deepEqual(events, decode(text));
  assert.equal(events.length, 2);
});

Deno.test("blank lines and carriage returns between events are nothing", () => {
  assert.equal(decode(`\n \r\n${frames(bookmark("1"))}\t\n`).length, 1);
});

Deno.test("a stream cut inside an event ends with a SyntaxError", () => {
  const text = frames({ type: "ADDED", object: thing("a", "1", "é") });
  for (let length = 1; length < bytes(text).length; length++) {
    const decoder = codec.watchDecoder();
    assert.deepEqual(decoder.push(bytes(text).subarray(0, length)), []);
    assert.throws(() => decoder.end(), SyntaxError);
  }
});

Deno.test("frames that are no watch events are SyntaxErrors", () => {
  const bad = [
    "{",
    "nonsense",
    "[]",
    "null",
    '"ADDED"',
    JSON.stringify({ type: "ADDED" }),
    JSON.stringify({ type: "ADDED", object: null }),
    JSON.stringify({ type: "ADDED", object: { metadata: {} } }),
    JSON.stringify({ type: "UNHEARD_OF", object: thing("a", "1") }),
    JSON.stringify({ object: thing("a", "1") }),
    JSON.stringify({ type: "BOOKMARK", object: {} }),
  ];
  for (const text of bad) assert.throws(() => decode(text + "\n"), SyntaxError, text);
  const latin1 = Uint8Array.of(...bytes('{"type":"'), 0xe9, ...bytes('"}\n'));
  assert.throws(() => codec.watchDecoder().push(latin1), /not UTF-8/);
});

Deno.test("random bytes never raise anything but a SyntaxError", () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (chunks) => {
    const decoder = codec.watchDecoder();
    try {
      for (const chunk of chunks) decoder.push(chunk);
      decoder.end();
    } catch (error) {
      assert.ok(error instanceof SyntaxError);
    }
  }));
});

Deno.test("a frame may have FRAME_BYTES_MAX bytes and not one more", () => {
  const half = new Uint8Array(FRAME_BYTES_MAX / 2).fill(0x20);
  const decoder = codec.watchDecoder();
  decoder.push(half);
  assert.deepEqual(decoder.push(half), []);
  assert.throws(() => decoder.push(Uint8Array.of(0x20)), /over 16777216 bytes/);
});
