import assert from "node:assert/strict";
import { Btf, layoutDifferences, type ObjectLayout } from "./btf.ts";

/** One struct { __u32 a[2][3]; char *p; } and one enum, as clang would describe them. */
function object(): Uint8Array<ArrayBuffer> {
  const strings = "\0__u32\0my_struct\0a\0p\0my_enum\0ONE\0BIG\0char\0.rodata\0config\0";
  const at = (name: string) => strings.indexOf(`\0${name}\0`) + 1;
  const info = (kind: number, vlen = 0) => kind << 24 | vlen;
  const types = [
    ...[at("__u32"), info(1), 4, 32], // 1: int
    ...[0, info(3), 0, 1, 1, 3], // 2: __u32[3]
    ...[0, info(3), 0, 2, 1, 2], // 3: __u32[2][3]
    ...[at("char"), info(1), 1, 8], // 4
    ...[0, info(2), 4], // 5: char *
    ...[at("my_struct"), info(4, 2), 32, at("a"), 3, 0, at("p"), 5, 24 * 8], // 6
    ...[at("my_enum"), info(6, 2), 4, at("ONE"), 1, at("BIG"), 0xffffffff], // 7
    ...[0, info(9), 6], // 8: volatile
    ...[at("config"), info(14), 8, 1], // 9: variable
    ...[at(".rodata"), info(15, 1), 40, 9, 8, 32], // 10: section
  ];
  const words = new Uint32Array([
    ...[0x0001eb9f, 24, 0, types.length * 4, types.length * 4, strings.length],
    ...types,
  ]);
  return elf(
    new Uint8Array([
      ...new Uint8Array(words.buffer),
      ...new TextEncoder().encode(strings),
    ]),
  );
}

/** An ELF file of one section, .BTF, and the names of sections. */
function elf(btf: Uint8Array): Uint8Array<ArrayBuffer> {
  const names = new TextEncoder().encode("\0.BTF\0.shstrtab\0");
  const headers = 64 + btf.length + names.length;
  const bytes = new Uint8Array(headers + 3 * 64);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46]);
  view.setBigUint64(0x28, BigInt(headers), true);
  [64, 3, 2].forEach((value, index) => view.setUint16(0x3a + 2 * index, value, true));
  bytes.set(btf, 64);
  bytes.set(names, 64 + btf.length);
  const section = (index: number, name: number, offset: number, size: number) => {
    view.setUint32(headers + index * 64, name, true);
    view.setBigUint64(headers + index * 64 + 0x18, BigInt(offset), true);
    view.setBigUint64(headers + index * 64 + 0x20, BigInt(size), true);
  };
  section(1, 1, 64, btf.length);
  section(2, 6, 64 + btf.length, names.length);
  return bytes;
}

const LAYOUT: ObjectLayout = {
  structs: {
    my_struct: {
      size: 32,
      fields: {
        a: { offset: 0, size: 24, type: "__u32[2][3]" },
        p: { offset: 24, size: 8, type: "pointer" },
      },
    },
  },
  enums: { my_enum: { ONE: 1, BIG: 0xffffffff } },
};

Deno.test("Btf reads structs, arrays of arrays, pointers and enums", () => {
  assert.deepEqual(new Btf(object()).layout("my_"), LAYOUT);
  assert.deepEqual(new Btf(object()).layout("other_"), { structs: {}, enums: {} });
});

Deno.test("Btf finds global variables in their section", () => {
  assert.deepEqual(new Btf(object()).globals(), {
    config: { section: ".rodata", offset: 8, size: 32 },
  });
});

Deno.test("Btf refuses what is no object, or has no types", () => {
  assert.throws(() => new Btf(new Uint8Array(100)), /not an ELF object/);
  assert.throws(() => new Btf(elf(new Uint8Array(24))), /not BTF/);
});

Deno.test("layoutDifferences() names each difference, both ways", () => {
  assert.deepEqual(layoutDifferences(LAYOUT, LAYOUT), []);
  const other: ObjectLayout = {
    structs: {
      my_struct: { size: 40, fields: { a: { offset: 8, size: 24, type: "__u32[2][3]" } } },
      new_struct: { size: 1, fields: {} },
    },
    enums: { my_enum: { ONE: 2, BIG: 0xffffffff } },
  };
  assert.deepEqual(layoutDifferences(LAYOUT, other), [
    "my_struct: expected 32 bytes, found 40 bytes",
    "my_struct.a: expected __u32[2][3] at 0, 24 bytes, found __u32[2][3] at 8, 24 bytes",
    "my_struct.p: expected pointer at 24, 8 bytes, found absent",
    "my_enum.ONE: expected 1, found 2",
    "new_struct: expected absent, found 1 bytes",
  ]);
});
