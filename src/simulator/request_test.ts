import assert from "node:assert/strict";
import { flagOf, parsePath, verbOf } from "./request.ts";
import { StatusError } from "./status.ts";
import { TypeRegistry } from "./types.ts";

const registry = new TypeRegistry();

function parsed(path: string): string {
  const { type, namespace, name, subresource } = parsePath(path, registry);
  return [type.plural, namespace, name, subresource].join("|");
}

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof StatusError) return `${error.code} ${error.plainText ? "text" : "Status"}`;
    throw error;
  }
  return "accepted";
}

Deno.test("a path names type, namespace, object and subresource", () => {
  const cases: Record<string, string> = {
    "/api/v1/pods": "pods|||",
    "/api/v1/namespaces/n/pods": "pods|n||",
    "/api/v1/namespaces/n/pods/p": "pods|n|p|",
    "/api/v1/namespaces/n/pods/p/status": "pods|n|p|status",
    "/api/v1/namespaces": "namespaces|||",
    "/api/v1/namespaces/n": "namespaces||n|",
    "/api/v1/namespaces/n/status": "namespaces||n|status",
    "/api/v1/namespaces/n/finalize": "namespaces||n|finalize",
    "/api/v1/nodes/a.b": "nodes||a.b|",
    "/apis/coordination.k8s.io/v1/namespaces/n/leases/l": "leases|n|l|",
    "/api/v1/namespaces/n/configmaps/a%3Ab": "configmaps|n|a:b|",
  };
  for (const [path, expected] of Object.entries(cases)) assert.equal(parsed(path), expected, path);
});

Deno.test("paths of no group are 404 in plain text, unknown resources of a group a Status", () => {
  const cases: Record<string, string> = {
    "/nope": "404 text",
    "/apis/nope.io/v1/things": "404 text",
    "/apis/v1/pods": "404 text",
    "/api/coordination.k8s.io/v1/leases": "404 text",
    "/api/v1/nope": "404 Status",
    "/api/v1/pods/p": "404 Status",
    "/api/v1/namespaces/n/nodes": "404 Status",
    "/api/v1/namespaces/n/configmaps/c/status": "404 Status",
    "/api/v1/namespaces/n/pods/p/status/more": "404 Status",
  };
  for (const [path, expected] of Object.entries(cases)) {
    assert.equal(refusal(() => parsePath(path, registry)), expected, path);
  }
});

Deno.test("a method on a path is a verb, or 405", () => {
  const verb = (method: string, path: string, watch = false) =>
    verbOf(method, parsePath(path, registry), watch);
  assert.equal(verb("GET", "/api/v1/pods"), "list");
  assert.equal(verb("GET", "/api/v1/pods", true), "watch");
  assert.equal(verb("GET", "/api/v1/namespaces/n/pods/p", true), "get");
  assert.equal(verb("POST", "/api/v1/namespaces/n/pods"), "create");
  assert.equal(verb("DELETE", "/api/v1/namespaces/n/pods"), "deletecollection");
  assert.equal(verb("PUT", "/api/v1/namespaces/n/pods/p/status"), "update");
  const refused: [string, string][] = [
    ["POST", "/api/v1/pods"],
    ["DELETE", "/api/v1/pods"],
    ["DELETE", "/api/v1/namespaces"],
    ["PUT", "/api/v1/namespaces/n/pods"],
    ["POST", "/api/v1/namespaces/n/pods/p"],
    ["DELETE", "/api/v1/namespaces/n/pods/p/status"],
    ["GET", "/api/v1/namespaces/n/pods/p/binding"],
    ["OPTIONS", "/api/v1/namespaces/n/pods/p"],
  ];
  for (const [method, path] of refused) {
    assert.equal(refusal(() => verb(method, path)), "405 Status", `${method} ${path}`);
  }
});

Deno.test("flags of a query are read as Go does: anything but nothing, 0 and false is true", () => {
  const flag = (text: string) => flagOf(new URLSearchParams(text), "watch");
  assert.deepEqual(["watch=1", "watch=true", "watch=abc"].map(flag), [true, true, true]);
  assert.deepEqual(["watch=", "watch=0", "watch=False"].map(flag), [false, false, false]);
  assert.equal(flag("other=1"), undefined);
});
