import assert from "node:assert/strict";
import {
  BpfError,
  LayoutError,
  LibraryError,
  UnsupportedFeature,
  VerifierError,
} from "../../../ffi/mod.ts";
import { EbpfError, type FailureReason } from "../ports.ts";
import { orUndo, type Step, toEbpfError } from "./failures.ts";

Deno.test("each error gets the reason that its step gives it", () => {
  const cases: [unknown, Step, FailureReason][] = [
    [new LibraryError("x"), "load", "LibraryMissing"],
    [new UnsupportedFeature("x", "5.7"), "attach", "UnsupportedKernel"],
    [new LayoutError("x", []), "load", "LoadFailed"],
    [new VerifierError("x", "EACCES", { log: "R1 invalid" }), "load", "LoadFailed"],
    [new VerifierError("x", "EINVAL", { log: "R1 invalid" }), "load", "LoadFailed"],
    [new BpfError("x", "EPERM"), "load", "NotPermitted"],
    [new BpfError("x", "EPERM"), "attach", "AttachConflict"],
    [new BpfError("x", "EPERM"), "bpffs", "BpffsUnavailable"],
    [new BpfError("x", "ENOLINK"), "attach", "CgroupNotFound"],
    [new BpfError("x", "EINVAL"), "attach", "AttachFailed"],
    [new BpfError("x", "E2BIG"), "map", "CapacityExceeded"],
    [new BpfError("x", "ENOMEM"), "load", "CapacityExceeded"],
    [new TypeError("x"), "load", "InternalError"],
    [new EbpfError("AnotherAgent", "x"), "load", "AnotherAgent"],
  ];
  for (const [error, step, reason] of cases) {
    assert.equal(toEbpfError(error, step).reason, reason, `${error} ${step}`);
  }
});

Deno.test("a message is cut, and its cause kept", () => {
  const cause = new BpfError("x".repeat(5_000), "EIO");
  const error = toEbpfError(cause, "map");
  assert.equal(error.message.length, 400);
  assert.equal(error.cause, cause);
});

Deno.test("what undoes may fail without hiding the first failure", async () => {
  const first = new Error("first");
  await assert.rejects(
    orUndo(() => Promise.reject(first), () => {
      throw new Error("second");
    }),
    first,
  );
});
