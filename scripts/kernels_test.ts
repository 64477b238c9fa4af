import assert from "node:assert/strict";
import { leftOutTests } from "./kernels.ts";

const OUTPUT = `Linux 6.1.0-53-cloud-amd64
counts ... ok (12ms)
needs a newer kernel [needs Linux 6.12] ... ignored (0ms)
ran on this one [needs Linux 6.1] ... ignored (0ms)
older, too [needs Linux 5.10] ... ignored (0ms)
lacks something else [needs libbpf 1.x, Linux 6.12] ... ignored (0ms)
compiled [needs Debian clang version 14.0.6] ... ignored (0ms)
another protocol [needs MPTCP] ... ignored (0ms)
says nothing ... ignored (0ms)
`;

Deno.test("a test may be left out for a newer kernel, or for what is listed", () => {
  assert.deepEqual(leftOutTests(OUTPUT).map(({ accepted }) => accepted), [
    true,
    false,
    false,
    false,
    true,
    true,
    false,
  ]);
});

Deno.test("nothing counts as newer on a kernel that did not say its version", () => {
  const [first] = leftOutTests(OUTPUT.split("\n").slice(1).join("\n"));
  assert.equal(first?.accepted, false);
});
