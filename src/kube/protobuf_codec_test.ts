import assert from "node:assert/strict";
import { randomInt, seededRandom } from "../lib/random.ts";
import type { Codec, StoredObject } from "../runtime/ports/codec.ts";
import { protobufCodec } from "./protobuf_codec.ts";
import { configMap, isProtobuf, pod } from "./protobuf_objects.ts";
import { decodeMessage, int, type Partial, text } from "./protobuf_reader.ts";

// A writer for the tests: [field number, value] rows; numbers are varints, arrays are messages.
type Row = readonly [number, string | number | Uint8Array | readonly Row[]];

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, BigInt(value));;) {
    const low = Number(rest & 127n);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 128);
    if (rest === 0n) return bytes;
  }
}

function encode(rows: readonly Row[]): Uint8Array {
  const out: number[] = [];
  for (const [field, value] of rows) {
    if (typeof value === "number") {
      out.push(...varint(field * 8), ...varint(value));
      continue;
    }
    const body = typeof value === "string"
      ? new TextEncoder().encode(value)
      : value instanceof Uint8Array
      ? value
      : encode(value);
    out.push(...varint(field * 8 + 2), ...varint(body.length), ...body);
  }
  return Uint8Array.from(out);
}

function envelope(kind: string, rows: readonly Row[]): Uint8Array {
  const unknown = encode([[1, [[1, "v1"], [2, kind]]], [2, encode(rows)]]);
  return Uint8Array.from([0x6b, 0x38, 0x73, 0, ...unknown]);
}

function frame(type: string, object: Uint8Array): Uint8Array {
  const event = encode([[1, type], [2, [[1, object]]]]);
  return Uint8Array.from([0, 0, event.length >> 8, event.length & 255, ...event]);
}

const podRows: readonly Row[] = [
  [1, [
    [1, "web-0"],
    [2, ""],
    [3, "shop"],
    [4, "skipped"],
    [5, "uid-1"],
    [6, "42"],
    [7, 3],
    [9, [[1, 1767225600], [2, 0]]],
    [11, [[1, "app"], [2, "wéb"]]],
    [11, [[1, "empty"], [2, ""]]],
    [12, [[1, "note"], [2, "x"]]],
    [13, [[1, "ReplicaSet"], [3, "web"], [4, "rs-uid"], [5, "apps/v1"], [6, 1], [7, 0]]],
    [17, [[1, "kubectl"], [7, [[1, "{}"]]]]],
  ]],
  [2, [[2, [[1, "container"]]], [4, 30], [10, "node-1"], [11, 0]]],
  [3, [[1, "Running"], [2, [[1, "Ready"], [2, "True"], [4, [[1, 5]]], [5, "Up"], [7, -1]]]]],
];

const podObject = {
  metadata: {
    name: "web-0",
    namespace: "shop",
    uid: "uid-1",
    resourceVersion: "42",
    deletionTimestamp: "2026-01-01T00:00:00Z",
    labels: { app: "wéb", empty: "" },
    annotations: { note: "x" },
    ownerReferences: [{
      kind: "ReplicaSet",
      name: "web",
      uid: "rs-uid",
      apiVersion: "apps/v1",
      controller: true,
      blockOwnerDeletion: false,
    }],
  },
  spec: { nodeName: "node-1" },
  status: {
    phase: "Running",
    conditions: [{ type: "Ready", status: "True", reason: "Up" }],
  },
};

type Stored = StoredObject & { readonly whole: Partial };

function project(whole: Partial): Stored {
  const { name, namespace, uid, resourceVersion } = whole["metadata"] as Record<string, string>;
  if (name === undefined) throw new TypeError("no name");
  return {
    name,
    namespace: namespace ?? "",
    uid: uid ?? "",
    resourceVersion: resourceVersion ?? "",
    whole,
  };
}

const fallback: Codec<Stored> = {
  listAccept: "application/json",
  watchAccept: "application/json",
  decodeList: (body) => {
    const { resourceVersion } = JSON.parse(new TextDecoder().decode(body));
    return { items: [], resourceVersion, continueToken: "json" };
  },
  watchDecoder: () => ({
    push: () => [{ type: "BOOKMARK", resourceVersion: "json", initialEventsEnd: false }],
    end: () => {},
  }),
  decodeObject: (body) => project(JSON.parse(new TextDecoder().decode(body))),
};

const codec = protobufCodec({ message: pod, project, fallback });
const podList = envelope("PodList", [[1, [[2, "99"], [3, "next"], [4, 7]]], [2, podRows], [
  2,
  podRows,
]]);

Deno.test("a list decodes to the listed fields, shaped as in JSON", () => {
  const page = codec.decodeList(podList);
  assert.deepEqual([page.resourceVersion, page.continueToken, page.items.length], [
    "99",
    "next",
    2,
  ]);
  assert.deepEqual(page.items[0]?.whole, podObject);
});

Deno.test("a ConfigMap keeps its data, the keys of its binary data and whether it is immutable", () => {
  const rows: Row[] = [[1, [[1, "c"]]], [2, [[1, "__proto__"], [2, "v"]]], [
    3,
    [[1, "b"], [2, Uint8Array.of(1, 2)]],
  ], [4, 0]];
  const object = decodeMessage(encode(rows), configMap) as {
    data: Record<string, string>;
    binaryData: Record<string, string>;
    immutable: boolean;
  };
  assert.deepEqual(Object.entries(object.data), [["__proto__", "v"]]);
  assert.equal(Object.getPrototypeOf(object.data), Object.prototype);
  assert.deepEqual(object.binaryData, { b: "" });
  assert.equal(object.immutable, false);
});

Deno.test("an answer with one object decodes like an item of a list, and JSON goes to the fallback", () => {
  assert.deepEqual(codec.decodeObject(envelope("Pod", podRows)).whole, podObject);
  const json = new TextEncoder().encode('{"metadata":{"name":"n","uid":"u"}}');
  assert.equal(codec.decodeObject(json).uid, "u");
  assert.throws(() => codec.decodeObject(envelope("Pod", [[2, []]])), SyntaxError);
});

Deno.test("numbers are signed 64-bit", () => {
  for (const value of [1, 127, 128, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 2 ** 52, -1, -(2 ** 40)]) {
    assert.deepEqual(decodeMessage(encode([[1, value]]), { 1: int("n") }), { n: value });
  }
});

Deno.test("watch frames decode wherever they are split", () => {
  const bookmark = envelope("Pod", [[1, [[6, "50"], [12, [[1, "k8s.io/initial-events-end"], [
    2,
    "true",
  ]]]]]]);
  const stream = Uint8Array.from([
    ...frame("ADDED", envelope("Pod", podRows)),
    ...frame("DELETED", envelope("Pod", podRows)),
    ...frame("BOOKMARK", bookmark),
  ]);
  for (let cut = 1; cut < stream.length; cut++) {
    const decoder = codec.watchDecoder();
    const events = [...decoder.push(stream.slice(0, cut)), ...decoder.push(stream.slice(cut))];
    decoder.end();
    assert.deepEqual(events.map((event) => event.type), ["ADDED", "DELETED", "BOOKMARK"]);
    assert.deepEqual(events[2], {
      type: "BOOKMARK",
      resourceVersion: "50",
      initialEventsEnd: true,
    });
  }
  const decoder = codec.watchDecoder();
  decoder.push(stream.slice(0, -1));
  assert.throws(() => decoder.end(), SyntaxError);
});

Deno.test("an ERROR event carries the server's Status", () => {
  const status = envelope("Status", [[2, "Failure"], [3, "too old"], [4, "Expired"], [6, 410], [
    5,
    [[4, [[1, "ResourceVersionTooOld"]]], [5, 2]],
  ]]);
  const [event] = codec.watchDecoder().push(frame("ERROR", status));
  assert.ok(event?.type === "ERROR");
  assert.deepEqual([event.error.status, event.error.reason, event.error.retryAfterMs], [
    410,
    "Expired",
    2000,
  ]);
  assert.ok(event.error.hasCause("ResourceVersionTooOld"));
});

Deno.test("a body in JSON goes to the fallback", () => {
  const list = new TextEncoder().encode('{"resourceVersion":"5"}');
  assert.equal(isProtobuf(list), false);
  assert.equal(codec.decodeList(list).resourceVersion, "5");
  const [event] = codec.watchDecoder().push(new TextEncoder().encode('{"type":'));
  assert.deepEqual(event, { type: "BOOKMARK", resourceVersion: "json", initialEventsEnd: false });
  assert.match(codec.listAccept, /^application\/vnd\.kubernetes\.protobuf,application\/json$/);
});

Deno.test("what is not a list, or lacks a name, is a SyntaxError", () => {
  assert.throws(() => codec.decodeList(envelope("Status", [[3, "x"]])), SyntaxError);
  assert.throws(() => codec.decodeList(envelope("PodList", [[2, [[2, []]]]])), SyntaxError);
});

Deno.test("truncated and garbled bytes only ever raise SyntaxError", () => {
  const watch = frame("ADDED", envelope("Pod", podRows));
  const attempt = (bytes: Uint8Array) => {
    for (
      const decode of [
        () => codec.decodeList(bytes),
        () => decodeMessage(bytes, pod),
        () => {
          const decoder = codec.watchDecoder();
          decoder.push(bytes);
          decoder.end();
        },
      ]
    ) {
      try {
        decode();
      } catch (error) {
        // The fallback's own errors are its own affair; these bytes start as protobuf or a frame does.
        assert.ok(error instanceof SyntaxError, String(error));
      }
    }
  };
  for (const base of [podList, watch]) {
    for (let length = 0; length < base.length; length++) attempt(base.slice(0, length));
    const random = seededRandom(base.length);
    for (let round = 0; round < 3000; round++) {
      const bytes = Uint8Array.from(base);
      for (let n = randomInt(random, 1, 6); n > 0; n--) {
        bytes[randomInt(random, 4, bytes.length - 1)] = randomInt(random, 0, 255);
      }
      attempt(bytes);
    }
  }
  assert.throws(() => decodeMessage(Uint8Array.of(0, 0), { 1: text("a") }), SyntaxError);
});
