import assert from "node:assert/strict";
import fc from "fast-check";
import { compareResourceVersions, objectKey, resourcePath } from "./resource.ts";

const PODS = { group: "", version: "v1", plural: "pods", kind: "Pod", namespaced: true };
const CONFIGS = {
  group: "podconfig.example.com",
  version: "v1alpha1",
  plural: "podconfigmapconfigs",
  kind: "PodConfigMapConfig",
  namespaced: true,
};
const NODES = { group: "", version: "v1", plural: "nodes", kind: "Node", namespaced: false };

Deno.test("resourcePath spells core and group paths, collections, objects and subresources", () => {
  assert.equal(resourcePath(PODS), "/api/v1/pods");
  assert.equal(resourcePath(PODS, { namespace: "a" }), "/api/v1/namespaces/a/pods");
  assert.equal(resourcePath(PODS, { namespace: "a", name: "b" }), "/api/v1/namespaces/a/pods/b");
  assert.equal(
    resourcePath(CONFIGS, { namespace: "a", name: "b", subresource: "status" }),
    "/apis/podconfig.example.com/v1alpha1/namespaces/a/podconfigmapconfigs/b/status",
  );
});

Deno.test("resourcePath leaves the namespace out for cluster-scoped types", () => {
  assert.equal(resourcePath(NODES, { namespace: "a", name: "n" }), "/api/v1/nodes/n");
});

Deno.test("resourcePath keeps names that need escaping inside their path segment", () => {
  assert.equal(
    resourcePath(PODS, { namespace: "a/b", name: "../x?y" }),
    "/api/v1/namespaces/a%2Fb/pods/..%2Fx%3Fy",
  );
});

Deno.test("objectKey joins namespace and name, and is the name alone for cluster-scoped objects", () => {
  assert.equal(objectKey("ns", "pod"), "ns/pod");
  assert.equal(objectKey("", "node"), "node");
});

Deno.test("compareResourceVersions orders as integers do, past 2^53 too", () => {
  fc.assert(fc.property(fc.bigInt({ min: 0n }), fc.bigInt({ min: 0n }), (a, b) => {
    const expected = a < b ? -1 : a > b ? 1 : 0;
    assert.equal(Math.sign(compareResourceVersions(`${a}`, `${b}`)), expected);
  }));
  assert.ok(compareResourceVersions("9007199254740992", "9007199254740993") < 0);
  assert.ok(compareResourceVersions("", "0") < 0);
});
