import assert from "node:assert/strict";
import { jsonLines } from "./json_lines.ts";

function source(chunks: Uint8Array[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(chunks) as ReadableStream<Uint8Array>;
}

Deno.test("lines come out as values wherever the bytes are split", async () => {
  const bytes = new TextEncoder().encode('{"a":"é€"}\n\n[1]\n"last"');
  for (let cut = 0; cut <= bytes.length; cut++) {
    const values = await Array.fromAsync(
      jsonLines(source([bytes.slice(0, cut), bytes.slice(cut)])),
    );
    assert.deepEqual(values, [{ a: "é€" }, [1], "last"]);
  }
});

Deno.test("a broken line, or one cut off, is a SyntaxError", async () => {
  for (const text of ["{}\n{", "nonsense\n"]) {
    const stream = jsonLines(source([new TextEncoder().encode(text)]));
    await assert.rejects(Array.fromAsync(stream), SyntaxError);
  }
  await assert.rejects(
    Array.fromAsync(jsonLines(source([Uint8Array.of(0x22, 0xc3)]))),
    SyntaxError,
  );
});
