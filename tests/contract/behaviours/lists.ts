/** Lists: selectors, order, pages and versions. */
import assert from "node:assert/strict";
import { type Behaviour, type Json, MERGE, refused, type World } from "../world.ts";

async function makeMany(t: World, labels: Record<string, Record<string, string>>): Promise<void> {
  for (const [name, set] of Object.entries(labels)) {
    await t.create(t.configMaps(), { metadata: { name, labels: { suite: "lists", ...set } } });
  }
}

async function names(t: World, path: string, query: Record<string, string>): Promise<string[]> {
  return (await t.get(path, query)).items.map((item: Json) => item.metadata.name);
}

export const lists: readonly Behaviour[] = [
  {
    name: "a list has kind, version and items in the order of their names",
    async run(t) {
      await makeMany(t, { b: {}, a: {}, "a.b": {}, "a-b": {} });
      const list = await t.get(t.configMaps(), { labelSelector: "suite=lists" });
      assert.equal(list.kind, "ConfigMapList");
      assert.equal(list.apiVersion, "v1");
      assert.match(list.metadata.resourceVersion, /^[1-9][0-9]*$/);
      const found = list.items.map((item: Json) => item.metadata.name);
      assert.deepEqual(found, ["a", "a-b", "a.b", "b"]);
    },
  },
  {
    name: "label selectors select by equality, sets and existence",
    async run(t) {
      await makeMany(t, {
        a: { app: "web", tier: "1" },
        b: { app: "db", tier: "2" },
        c: { tier: "3" },
        d: { app: "" },
      });
      const expectations: Record<string, string[]> = {
        "app=web": ["a"],
        "app==db": ["b"],
        "app!=web": ["b", "c", "d"],
        "app": ["a", "b", "d"],
        "!app": ["c"],
        "app in (web, db)": ["a", "b"],
        "app notin (web,db)": ["c", "d"],
        "app in ()": ["d"],
        "app=": ["d"],
        "tier>1": ["b", "c"],
        "tier<2": ["a"],
        "app,tier!=2": ["a", "d"],
        "app in (web),tier notin (2)": ["a"],
      };
      for (const [selector, expected] of Object.entries(expectations)) {
        const labelSelector = `suite=lists,${selector}`;
        assert.deepEqual(await names(t, t.configMaps(), { labelSelector }), expected, selector);
      }
    },
  },
  {
    name: "a broken label selector is a bad request that says what was found",
    async run(t) {
      const expectations: Record<string, string> = {
        "a b c": "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        "a=b=c": "found '=', expected: ',' or 'end of string'",
        "a in b": "unable to parse requirement: found 'b' expected: '('",
        "a in (b": "unable to parse requirement: found '', expected: ',' or ')'",
        "a in (b c)": "unable to parse requirement: found 'c', expected: ',' or ')'",
        "a=(": "unable to parse requirement: found '(', expected: identifier",
        "=x": "found '=', expected: !, identifier, or 'end of string'",
        ",": "found ',', expected: !, identifier, or 'end of string'",
        "a,": "found '', expected: identifier after ','",
        "!": "unable to parse requirement: found '', expected: identifier",
        "a>x": "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' " +
          "operators, the value must be an integer",
      };
      for (const [labelSelector, message] of Object.entries(expectations)) {
        await refused(t.get(t.configMaps(), { labelSelector }), {
          code: 400,
          reason: "BadRequest",
          message,
        });
      }
    },
  },
  {
    name: "field selectors know name and namespace, and for Pods node and phase",
    async run(t) {
      await makeMany(t, { a: {}, b: {} });
      assert.deepEqual(await names(t, t.configMaps(), { fieldSelector: "metadata.name=a" }), ["a"]);
      const notA = await names(t, t.configMaps(), {
        fieldSelector: `metadata.name!=a,metadata.namespace=${t.namespace}`,
        labelSelector: "suite=lists",
      });
      assert.deepEqual(notA, ["b"]);
      const spec = { containers: [{ name: "c", image: "i" }] };
      await t.create(t.pods(), { metadata: { name: "p" }, spec: { nodeName: "n1", ...spec } });
      await t.create(t.pods(), { metadata: { name: "q" }, spec: { nodeName: "n2", ...spec } });
      assert.deepEqual(await names(t, t.pods(), { fieldSelector: "spec.nodeName=n1" }), ["p"]);
      const pending = { fieldSelector: "status.phase=Pending,spec.nodeName!=n1" };
      assert.deepEqual(await names(t, t.pods(), pending), ["q"]);
      await refused(t.get(t.configMaps(), { fieldSelector: "data.k=v" }), {
        code: 400,
        reason: "BadRequest",
        message:
          '"data.k" is not a known field selector: only "metadata.name", "metadata.namespace"',
      });
      await refused(t.get(t.pods(), { fieldSelector: "spec.bogus=1" }), {
        code: 400,
        reason: "BadRequest",
        message: "field label not supported: spec.bogus",
      });
      await refused(t.get(t.pods(), { fieldSelector: "spec.nodeName" }), {
        code: 400,
        reason: "BadRequest",
        message: "invalid selector: 'spec.nodeName'; can't understand 'spec.nodeName'",
      });
    },
  },
  {
    name: "pages follow each other by continue, as of the first page's version",
    async run(t) {
      await makeMany(t, { a: {}, b: {}, c: {}, d: {}, e: {} });
      const query = {
        labelSelector: "",
        limit: "2",
        fieldSelector: "metadata.name!=kube-root-ca.crt",
      };
      const first = await t.get(t.configMaps(), { limit: "2" });
      assert.equal(first.items.length, 2);
      assert.ok(first.metadata.remainingItemCount >= 3);
      assert.notEqual(first.metadata.continue, "");
      // What changes between the pages is not seen.
      await t.delete(t.configMaps("d"));
      await t.create(t.configMaps(), { metadata: { name: "cc" } });
      const rest = await t.get(t.configMaps(), { continue: first.metadata.continue });
      assert.equal(rest.metadata.resourceVersion, first.metadata.resourceVersion);
      assert.equal(rest.metadata.continue ?? "", "");
      const all = [...first.items, ...rest.items].map((item: Json) => item.metadata.name);
      assert.deepEqual(all.filter((name) => name.length === 1), ["a", "b", "c", "d", "e"]);
      assert.ok(!all.includes("cc"));
      // With a selector the server does not know how many are left.
      const selected = await t.get(t.configMaps(), query);
      assert.equal(selected.items.length, 2);
      assert.equal(selected.metadata.remainingItemCount, undefined);
    },
  },
  {
    name: "a token that is none is a bad request",
    async run(t) {
      await refused(t.get(t.configMaps(), { limit: "1", continue: "nonsense" }), {
        code: 400,
        reason: "BadRequest",
        message: /continue key is not valid/,
      });
    },
  },
  {
    name: "a token of forgotten history is 410",
    async run(t) {
      await makeMany(t, { a: {}, b: {}, c: {} });
      const first = await t.get(t.configMaps(), { limit: "1" });
      await t.patch(t.configMaps("c"), MERGE, { data: { k: "new" } });
      await t.forgetHistory();
      await refused(
        t.get(t.configMaps(), { limit: "10", continue: first.metadata.continue }),
        { code: 410, reason: "Expired", message: /^The provided continue parameter is too old/ },
      );
    },
  },
  {
    name: "resourceVersion 0 may be answered from any cache, a version of the future is refused",
    async run(t) {
      await makeMany(t, { a: {} });
      const list = await t.get(t.configMaps(), { resourceVersion: "0" });
      assert.equal(list.kind, "ConfigMapList");
      const current = await t.get(t.configMaps());
      const exact = await t.get(t.configMaps(), {
        resourceVersion: current.metadata.resourceVersion,
        resourceVersionMatch: "Exact",
      });
      assert.equal(exact.metadata.resourceVersion, current.metadata.resourceVersion);
      const resourceVersion = String(BigInt(current.metadata.resourceVersion) + 100_000n);
      const error = await refused(t.get(t.configMaps(), { resourceVersion }), {
        code: 504,
        reason: "Timeout",
        message: /Too large resource version/,
      });
      assert.ok(error.hasCause("ResourceVersionTooLarge"));
    },
  },
  {
    name: "versions and their matching are checked",
    async run(t) {
      await refused(t.get(t.configMaps(), { resourceVersion: "x" }), {
        code: 400,
        reason: "BadRequest",
        message: /resourceVersion: Invalid value: "x"/,
      });
      await refused(t.get(t.configMaps(), { resourceVersionMatch: "Exact" }), {
        code: 422,
        reason: "Invalid",
        message: /resourceVersionMatch: Forbidden/,
      });
    },
  },
];
