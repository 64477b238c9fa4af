import assert from "node:assert/strict";
import { seededRandom } from "../lib/random.ts";
import { nodeOfIdentity, processIdentity } from "./identity.ts";

const HOST = { podName: "", podNamespace: "", nodeName: "", hostName: "my_laptop" };

Deno.test("an identity names its node, in a Pod and outside of one", () => {
  const random = seededRandom(1);
  const inPod = {
    podName: "c-0",
    podNamespace: "system",
    nodeName: "node-1.example",
    hostName: "x",
  };
  assert.equal(processIdentity(inPod, random), "system/c-0_node-1.example");
  const cases = [
    [inPod, "node-1.example"],
    [{ ...inPod, podNamespace: "" }, "node-1.example"],
    [{ ...inPod, podName: "" }, "node-1.example"],
    [HOST, "my-laptop"],
    [{ ...HOST, nodeName: "node-2" }, "node-2"],
  ] as const;
  for (const [parts, node] of cases) {
    assert.equal(nodeOfIdentity(processIdentity(parts, random)), node);
  }
  const two = [processIdentity(HOST, random), processIdentity(HOST, random)];
  assert.notEqual(two[0], two[1]);
});

Deno.test("an identity of another program names no node", () => {
  const goProgram = "laptop_5f0c1a52-9f0e-4b8e-8f2a-0123456789ab";
  for (const other of [goProgram, "", "somebody", "_node", "pod_", "a_b_c_d", "a_b_not-eight"]) {
    assert.equal(nodeOfIdentity(other), undefined, other);
  }
});
