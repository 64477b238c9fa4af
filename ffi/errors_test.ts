import assert from "node:assert/strict";
import { BpfError, checked, errnoName, UnsupportedFeature, VerifierError } from "./errors.ts";

Deno.test("checked() passes results on, and names the errno of a negative one", () => {
  assert.equal(checked(7, "open the map x"), 7);
  assert.throws(() => checked(-1, "open the map x"), {
    name: "BpfError",
    errno: "EPERM",
    message: "Cannot open the map x: EPERM",
  });
});

Deno.test("an errno without a name keeps its number", () => {
  assert.equal(errnoName(4095), "E4095");
});

Deno.test("BpfError ends with the last thing that libbpf said", () => {
  const error = new BpfError("load x", "EINVAL", { details: ["first", "last"] });
  assert.equal(error.message, "Cannot load x: EINVAL (last)");
  assert.deepEqual(error.details, ["first", "last"]);
});

Deno.test("VerifierError gives the verifier's reason, and the log whole", () => {
  const log = "0: (b7) r0 = 1\nR1 invalid mem access\nprocessed 1 insns (limit 1000000)\n";
  const error = new VerifierError("load x", "EACCES", { log });
  assert.equal(error.message, "Cannot load x: EACCES (R1 invalid mem access)");
  assert.equal(error.log, log);
  assert.ok(error instanceof BpfError);
});

Deno.test("UnsupportedFeature is not a failure, and says since when there is what lacks", () => {
  const error: unknown = new UnsupportedFeature("links to cgroups", "5.7");
  assert.ok(error instanceof UnsupportedFeature && !(error instanceof BpfError));
  assert.equal(error.minimumKernel, "5.7");
  assert.match(error.message, /links to cgroups: the kernel lacks it \(in mainline since 5\.7\)/);
});
