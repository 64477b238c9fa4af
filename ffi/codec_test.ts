import assert from "node:assert/strict";
import type { StructLayout } from "./btf.ts";
import { StructCodec } from "./codec.ts";

const LAYOUT = {
  size: 24,
  fields: {
    wide: { offset: 0, size: 8, type: "__u64" },
    pair: { offset: 8, size: 8, type: "__u16[2][2]" },
    small: { offset: 16, size: 1, type: "__u8" },
    word: { offset: 20, size: 4, type: "__u32" },
    inner: { offset: 0, size: 8, type: "other" },
  },
} as const satisfies StructLayout;

const codec = new StructCodec(LAYOUT);

Deno.test("encode() puts each field where the layout has it, little-endian, the rest zero", () => {
  const bytes = codec.encode({ wide: 0x0102030405060708n, pair: [1, 2, 3, 4], small: 255 });
  assert.deepEqual([...bytes], [
    ...[8, 7, 6, 5, 4, 3, 2, 1],
    ...[1, 0, 2, 0, 3, 0, 4, 0],
    ...[255, 0, 0, 0],
    ...[0, 0, 0, 0],
  ]);
});

Deno.test("read() gives back what encode() took", () => {
  const bytes = codec.encode({ wide: (1n << 64n) - 1n, pair: [0, 65535], word: 7 });
  assert.deepEqual(codec.read(bytes, "wide"), [(1n << 64n) - 1n]);
  assert.deepEqual(codec.read(bytes, "pair"), [0n, 65535n, 0n, 0n]);
  assert.equal(codec.readNumber(bytes, "word"), 7);
});

Deno.test("a value that does not fit is refused, not cut", () => {
  assert.throws(() => codec.encode({ small: 256 }), /small: 256 does not fit 1 bytes/);
  assert.throws(() => codec.encode({ word: -1 }), RangeError);
  assert.throws(() => codec.encode({ pair: [1, 2, 3, 4, 5] }), /pair: 5 values, too many/);
});

Deno.test("bytes of another size, and fields that are structs, are refused", () => {
  assert.throws(() => codec.read(new Uint8Array(23), "word"), /23 bytes, not 24/);
  assert.throws(() => codec.encode({ inner: 1 }), /there is none made of integers/);
});
