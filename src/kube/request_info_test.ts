import assert from "node:assert/strict";
import { KubeApiError } from "../runtime/ports/errors.ts";
import type { HttpMethod } from "../runtime/ports/rest.ts";
import { describeRequest, explainForbidden } from "./request_info.ts";

const describe = (method: HttpMethod, path: string, query = "") => {
  const info = describeRequest({ method, path, querystring: new URLSearchParams(query) });
  return [info.verb, info.group, info.resource, info.namespace, info.name];
};

Deno.test("requests read as the API server's authorizer reads them", () => {
  const group = "podconfig.example.com";
  const base = `/apis/${group}/v1alpha1/namespaces/a/podconfigmapconfigs`;
  assert.deepEqual(describe("GET", "/api/v1/pods"), ["list", "", "pods", "", ""]);
  assert.deepEqual(describe("GET", "/api/v1/pods", "watch=1"), ["watch", "", "pods", "", ""]);
  assert.deepEqual(describe("GET", "/api/v1/pods", "watch=0"), ["list", "", "pods", "", ""]);
  assert.deepEqual(describe("PATCH", `${base}/x/status`), [
    "patch",
    group,
    "podconfigmapconfigs/status",
    "a",
    "x",
  ]);
  assert.deepEqual(describe("POST", base), ["create", group, "podconfigmapconfigs", "a", ""]);
  assert.deepEqual(describe("DELETE", base)[0], "deletecollection");
  assert.deepEqual(describe("DELETE", `${base}/x`)[0], "delete");
  assert.deepEqual(describe("PUT", "/api/v1/namespaces/a/status"), [
    "update",
    "",
    "namespaces/status",
    "",
    "a",
  ]);
  assert.deepEqual(describe("GET", "/api/v1/namespaces/a"), ["get", "", "namespaces", "", "a"]);
  assert.deepEqual(describe("GET", "/version"), ["get", "", "", "", ""]);
});

const denied = (message: string, causes: { reason: string }[] = []) =>
  new KubeApiError({ status: 403, reason: "Forbidden", message, details: { causes } });
const message =
  'pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group "" at the cluster scope';

Deno.test("a denial by RBAC names the rule that is missing", () => {
  assert.equal(
    explainForbidden(denied(message), { method: "GET", path: "/api/v1/pods" }),
    'needs RBAC rule: apiGroups [""] resources ["pods"] verbs ["list"] at the cluster scope ' +
      'for user "system:serviceaccount:a:b"',
  );
  assert.equal(
    explainForbidden(denied('User "x" cannot patch resource "leases"'), {
      method: "PATCH",
      path: "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l",
    }),
    'needs RBAC rule: apiGroups ["coordination.k8s.io"] resources ["leases"] verbs ["patch"] ' +
      'in namespace "ns" for user "x"',
  );
  assert.equal(
    explainForbidden(denied('User "x" cannot get path "/metrics"'), {
      method: "GET",
      path: "/metrics",
    }),
    'needs RBAC rule: nonResourceURLs ["/metrics"] verbs ["get"] for user "x"',
  );
});

Deno.test("other refusals are not blamed on RBAC", () => {
  const request = { method: "POST", path: "/api/v1/namespaces/a/configmaps" } as const;
  assert.equal(
    explainForbidden(denied("exceeded quota: q, requested: count=1"), request),
    undefined,
  );
  const terminating = denied(message, [{ reason: "NamespaceTerminating" }]);
  assert.equal(explainForbidden(terminating, request), undefined);
  const missing = new KubeApiError({ status: 404, message });
  assert.equal(explainForbidden(missing, request), undefined);
});
