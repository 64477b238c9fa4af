import assert from "node:assert/strict";
import type { KubeObject, ObjectMeta } from "./objects.ts";
import {
  byteLength,
  dedupeOwners,
  namespaceNameProblems,
  qualifiedNameProblems,
  subdomainProblems,
  validateMeta,
  validateMetaUpdate,
} from "./validate_meta.ts";

function objectOf(metadata: Partial<ObjectMeta>): KubeObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", uid: "u", ...metadata } };
}

function fields(metadata: Partial<ObjectMeta>): string[] {
  return validateMeta(objectOf(metadata), subdomainProblems).map(({ field }) => field);
}

Deno.test("names: subdomains up to 253 characters, namespaces are labels up to 63", () => {
  for (const name of ["a", "a.b", "0", "a-b.c", "a".repeat(253)]) {
    assert.deepEqual(subdomainProblems(name), [], name);
  }
  for (const name of ["A", "-a", "a-", "a..b", ".a", "a_b", "a".repeat(254)]) {
    assert.equal(subdomainProblems(name).length, 1, name);
  }
  assert.deepEqual(namespaceNameProblems("a".repeat(63)), []);
  assert.equal(namespaceNameProblems("a".repeat(64)).length, 1);
  assert.deepEqual(namespaceNameProblems("a.b"), ["must not contain dots"]);
});

Deno.test("qualified names: an optional prefix and a name of 63 characters", () => {
  const longest = `${"p".repeat(253)}/${"n".repeat(63)}`;
  for (const key of ["a", "A_b.c-d", "example.com/a", longest]) {
    assert.deepEqual(qualifiedNameProblems(key), [], key);
  }
  for (
    const key of ["a b", "a/b/c", "n".repeat(64), "Example.com/a", "/a", `${"p".repeat(254)}/a`]
  ) {
    assert.equal(qualifiedNameProblems(key).length, 1, key);
  }
  // An empty name is both missing and misshapen.
  assert.equal(qualifiedNameProblems("a/").length, 2);
  assert.equal(qualifiedNameProblems("").length, 2);
});

Deno.test("labels: values up to 63 characters, empty allowed", () => {
  assert.deepEqual(fields({ labels: { a: "", b: "v".repeat(63), c: "A_.-z" } }), []);
  assert.deepEqual(fields({ labels: { a: "v".repeat(64) } }), ["metadata.labels"]);
  assert.deepEqual(fields({ labels: { a: "-v" } }), ["metadata.labels"]);
});

Deno.test("annotations: 256 KiB in all, keys and values counted as UTF-8; keys may have capitals", () => {
  const limit = 256 * 1024;
  assert.deepEqual(fields({ annotations: { "Example.com/A": "x" } }), []);
  assert.deepEqual(fields({ annotations: { a: "x".repeat(limit - 1) } }), []);
  assert.deepEqual(fields({ annotations: { a: "x".repeat(limit) } }), ["metadata.annotations"]);
  assert.deepEqual(fields({ annotations: { a: "é".repeat(limit / 2) } }), ["metadata.annotations"]);
});

Deno.test("byteLength() counts as an encoder does", () => {
  for (const text of ["", "abc", "é", "€", "😀", "a😀é€z"]) {
    assert.equal(byteLength(text), new TextEncoder().encode(text).length, text);
  }
});

Deno.test("finalizers: qualified, or one of the standard three", () => {
  const standard = ["kubernetes", "orphan", "foregroundDeletion", "example.com/mine"];
  assert.deepEqual(fields({ finalizers: standard }), []);
  assert.deepEqual(fields({ finalizers: ["example.com/mine", "mine"] }), [
    "metadata.finalizers[1]",
  ]);
});

Deno.test("owners: complete, at most one controller, never an Event; each once", () => {
  const owner = { apiVersion: "v1", kind: "Pod", name: "p", uid: "1" };
  assert.deepEqual(fields({ ownerReferences: [owner] }), []);
  assert.deepEqual(fields({ ownerReferences: [{ ...owner, uid: "" }] }), [
    "metadata.ownerReferences[0].uid",
  ]);
  assert.deepEqual(fields({ ownerReferences: [{ ...owner, kind: "Event" }] }), [
    "metadata.ownerReferences[0]",
  ]);
  const two = ["1", "2"].map((uid) => ({ ...owner, uid, controller: true }));
  assert.deepEqual(fields({ ownerReferences: two }), ["metadata.ownerReferences"]);
  const { owners, twice } = dedupeOwners([owner, { ...owner }, { ...owner, name: "q" }]);
  assert.deepEqual(owners.map(({ name }) => name), ["p", "q"]);
  assert.deepEqual(twice, ["1"]);
});

Deno.test("an update may not change what is fixed, nor add finalizers to what is being deleted", () => {
  const old = objectOf({ namespace: "n", creationTimestamp: "2026-01-01T00:00:00Z" });
  const change = (metadata: Partial<ObjectMeta>, before = old) =>
    validateMetaUpdate(objectOf({ ...before.metadata, ...metadata }), before)
      .map(({ field }) => field);
  assert.deepEqual(change({ labels: { a: "b" } }), []);
  assert.deepEqual(change({ uid: "other" }), ["metadata.uid"]);
  assert.deepEqual(change({ deletionTimestamp: "2026-01-01T00:00:00Z" }), [
    "metadata.deletionTimestamp",
  ]);
  const dying = objectOf({ deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: ["a.b/c"] });
  assert.deepEqual(change({ finalizers: [] }, dying), []);
  assert.deepEqual(change({ finalizers: ["a.b/c", "a.b/d"] }, dying), ["metadata.finalizers"]);
  assert.deepEqual(change({ finalizers: ["a.b/c"] }), []);
});
