import assert from "node:assert/strict";
import { assertHeaderSafe, requestHead, ResponseParser } from "./http1.ts";
import { HttpFormatError, type ResponseHead } from "./http1_head.ts";
import { randomInt, seededRandom } from "../lib/random.ts";

interface Seen {
  head?: ResponseHead;
  body: string;
  ended: boolean;
  reusable: boolean;
}

/** Feeds `text` cut at each of `cuts`. */
function parse(text: string, cuts: number[] = [], method = "GET", close = false): Seen {
  const seen: Seen = { body: "", ended: false, reusable: false };
  const parser = new ResponseParser(method, {
    head: (head) => void (seen.head = head),
    body: (chunk) => void (seen.body += new TextDecoder("latin1").decode(chunk)),
    end: (reusable) => Object.assign(seen, { ended: true, reusable }),
  });
  const bytes = new TextEncoder().encode(text);
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    parser.push(bytes.slice(from, cut));
    from = cut;
  }
  if (close) parser.close();
  return seen;
}

const chunked = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" +
  "X-A: 1\r\nx-a: 2\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n";

Deno.test("a chunked response reads the same wherever it is split", () => {
  for (let a = 0; a <= chunked.length; a++) {
    for (const b of [a, Math.min(chunked.length, a + 1), Math.min(chunked.length, a + 7)]) {
      const seen = parse(chunked, [a, b]);
      assert.equal(seen.body, "hello world");
      assert.equal(seen.head?.status, 200);
      assert.equal(seen.head?.headers.get("x-a"), "1, 2");
      assert.ok(seen.ended && seen.reusable);
    }
  }
});

Deno.test("the body bytes of one input come in one piece, those of another in another", () => {
  const pieces: string[] = [];
  const parser = new ResponseParser("GET", {
    head() {},
    body: (piece) => void pieces.push(new TextDecoder().decode(piece)),
    end: () => void pieces.push("end"),
  });
  const push = (text: string) => parser.push(new TextEncoder().encode(text));
  push("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n9\r\ndef");
  assert.deepEqual(pieces, ["abcdef"]);
  push("ghi");
  push("jkl\r\n");
  push("1\r\nm\r\n1\r\nn\r\n0\r\n\r\n");
  assert.deepEqual(pieces, ["abcdef", "ghi", "jkl", "mn", "end"]);
});

Deno.test("a response with a length ends there, also when it is empty", () => {
  const seen = parse("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", [20, 41, 42]);
  assert.deepEqual([seen.body, seen.ended, seen.reusable], ["{}", true, true]);
  assert.ok(parse("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ended);
});

Deno.test("responses without a body end at the head", () => {
  assert.ok(parse("HTTP/1.1 204 No Content\r\n\r\n").ended);
  assert.ok(parse("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", [], "HEAD").ended);
});

Deno.test("a body without framing ends with the connection and forbids reuse", () => {
  assert.equal(parse("HTTP/1.1 200 OK\r\n\r\nabc").ended, false);
  const seen = parse("HTTP/1.1 200 OK\r\n\r\nabc", [18, 20], "GET", true);
  assert.deepEqual([seen.body, seen.ended, seen.reusable], ["abc", true, false]);
});

Deno.test("Connection: close and HTTP/1.0 forbid reuse", () => {
  assert.equal(
    parse("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").reusable,
    false,
  );
  assert.equal(parse("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").reusable, false);
});

Deno.test("what is not a complete HTTP response is refused", () => {
  const bad = [
    "SSH-2.0-OpenSSH\r\n\r\n",
    "SSH-2.0-OpenSSH",
    "HTTP/2 200\r\n\r\n",
    "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
  ];
  for (const text of bad) assert.throws(() => parse(text), HttpFormatError, text);
  for (let cut = 1; cut < chunked.length; cut++) {
    assert.throws(() => parse(chunked.slice(0, cut), [], "GET", true), HttpFormatError);
  }
});

Deno.test("a request cannot be made to carry a second one", () => {
  assert.throws(() => requestHead("GET", "/a HTTP/1.1\r\nHost: b", []), TypeError);
  assert.throws(() => requestHead("GET", "http://x/", []), TypeError);
  assert.throws(() => requestHead("GET", "/a#b", []), TypeError);
  assert.throws(() => assertHeaderSafe("Impersonate-User", "a\r\nb: c"), TypeError);
  assert.throws(() => assertHeaderSafe("a b", "c"), TypeError);
  assert.equal(
    requestHead("GET", "/a?b=c", [["Host", "x"]]),
    "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n",
  );
});

Deno.test("garbled responses raise HttpFormatError and nothing else", () => {
  const random = seededRandom(1);
  let refused = 0;
  for (let round = 0; round < 5000; round++) {
    const bytes = [...chunked];
    for (let n = randomInt(random, 1, 4); n > 0; n--) {
      bytes[randomInt(random, 0, bytes.length - 1)] = String.fromCharCode(
        randomInt(random, 0, 126),
      );
    }
    try {
      parse(bytes.join(""), [randomInt(random, 0, chunked.length)], "GET", true);
    } catch (error) {
      assert.ok(error instanceof HttpFormatError, String(error));
      refused++;
    }
  }
  assert.ok(refused > 1000);
});
