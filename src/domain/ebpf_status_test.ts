import { strictEqual as equal } from "node:assert/strict";
import { ebpfStatus } from "./ebpf_status.ts";
import { projectPod } from "./projections.ts";

function podWith(status: string | undefined, nodeName = "node"): ReturnType<typeof projectPod> {
  const conditions = status === undefined
    ? []
    : [{ type: "podconfig.example.com/EbpfApplied", status, reason: "R", message: "m" }];
  return projectPod({ spec: { nodeName }, status: { conditions } });
}

Deno.test("ebpfStatus() folds the agent's report and whether there is an agent", () => {
  equal(ebpfStatus(podWith(undefined), true), "pending");
  equal(ebpfStatus(podWith("Unknown"), true), "pending");
  equal(ebpfStatus(podWith("True"), true), "applied");
  equal(ebpfStatus(podWith("False"), true), "failed");
  equal(ebpfStatus(podWith(undefined), false), "unserved");
  equal(ebpfStatus(podWith("True"), false), "unserved");
});

Deno.test("ebpfStatus() keeps a failure although the failing agent is not ready", () => {
  equal(ebpfStatus(podWith("False"), false), "failed");
});

Deno.test("ebpfStatus() does not miss an agent for a Pod without a node", () => {
  equal(ebpfStatus(podWith(undefined, ""), false), "pending");
});
