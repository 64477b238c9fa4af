import assert from "node:assert/strict";
import { SYSCALL_NUMBERS } from "./ebpf_programs.ts";
import { ARCHITECTURES, NO_NUMBER, syscallTable } from "./syscall_table.ts";

Deno.test("well-known calls have the numbers of their architecture", () => {
  const x86 = syscallTable("x86_64");
  const arm = syscallTable("aarch64");
  assert.deepEqual(["read", "openat", "newfstatat", "rseq"].map(x86.number), [0, 257, 262, 334]);
  assert.deepEqual(["read", "openat", "newfstatat", "rseq"].map(arm.number), [63, 56, 79, 293]);
  assert.equal(x86.number("futex_waitv"), 449);
  assert.equal(arm.number("open"), undefined);
  assert.equal(x86.number("no_such_call"), undefined);
});

Deno.test("a number and its name lead to each other, and a number without a name has one that says so", () => {
  for (const architecture of ARCHITECTURES) {
    const table = syscallTable(architecture);
    assert.ok(table.numbers.length > 300);
    for (const number of table.numbers) {
      assert.ok(number < SYSCALL_NUMBERS);
      assert.equal(table.number(table.name(number)), number);
    }
    assert.equal(table.name(511), "syscall_511");
  }
});

Deno.test("calls of 32-bit programs lead to the same call of 64-bit ones", () => {
  const { compat, number } = syscallTable("x86_64");
  // i386: 3 read, 5 open, 140 _llseek, 192 mmap2, 195 stat64, 199 getuid32, 300 fstatat64, 403 clock_gettime64.
  const expected = [
    "read",
    "open",
    "lseek",
    "mmap",
    "stat",
    "getuid",
    "newfstatat",
    "clock_gettime",
  ];
  assert.deepEqual(
    [3, 5, 140, 192, 195, 199, 300, 403].map((call) => compat[call]),
    expected.map(number),
  );
  // waitpid exists for 32-bit programs alone.
  assert.equal(compat[7], NO_NUMBER);
  assert.equal(compat[511], NO_NUMBER);
});
