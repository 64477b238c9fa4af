/** CustomResourceDefinitions: serving, pruning, defaulting, validation, status, versions of objects. */
import assert from "node:assert/strict";
import type { JsonObject, JsonValue } from "../../../src/runtime/ports/rest.ts";
import {
  type Behaviour,
  type Json,
  JSON_PATCH,
  MERGE,
  refused,
  STRATEGIC,
  type World,
} from "../world.ts";
import { SCHEMA_VIOLATIONS } from "../schema_violations.ts";
import { widgetCrd } from "../widget_crd.ts";

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

function isTrue(object: Json, type: string): boolean {
  return object.status?.conditions?.some((condition: Json) =>
    condition.type === type && condition.status === "True"
  ) ?? false;
}

const SHARED_GROUP = "shared.example.com";

/** Serves Widgets of `group`, if nobody has yet, and gives the collection's path. */
async function serveWidgets(t: World, group = SHARED_GROUP): Promise<string> {
  await t.create(CRDS, widgetCrd(group)).catch((error) => {
    if (error.status !== 409) throw error;
  });
  const path = `/apis/${group}/v1/namespaces/${t.namespace}/widgets`;
  // The API server serves a new type a moment after it says that it is established, and refuses at first.
  await t.eventually("the widgets are served", async () => {
    return isTrue(await t.get(`${CRDS}/widgets.${group}`), "Established") &&
      await t.get(path).then(() => true, () => false);
  });
  return path;
}

/** A group for behaviours that change the definition. */
function ownGroup(t: World): string {
  return `${t.namespace}.example.com`;
}

function widget(spec: JsonValue, name = "w", group = SHARED_GROUP): JsonObject {
  return { apiVersion: `${group}/v1`, kind: "Widget", metadata: { name }, spec };
}

export const customResources: readonly Behaviour[] = [
  {
    name: "a definition is established, then served and discovered, until it is deleted",
    async run(t) {
      const group = ownGroup(t);
      const path = await serveWidgets(t, group);
      const crd = await t.get(`${CRDS}/widgets.${group}`);
      assert.ok(isTrue(crd, "NamesAccepted"));
      assert.equal(crd.status.acceptedNames.listKind, "WidgetList");
      assert.deepEqual(crd.status.storedVersions, ["v1"]);
      const { resources } = await t.get(`/apis/${group}/v1`);
      assert.deepEqual(resources.map((resource: Json) => resource.name).sort(), [
        "widgets",
        "widgets/status",
      ]);
      const list = await t.get(path);
      assert.equal(list.kind, "WidgetList");
      assert.equal(list.apiVersion, `${group}/v1`);
      await t.create(path, widget({ req: "x" }, "w", group));
      await t.delete(`${CRDS}/widgets.${group}`);
      await t.eventually("the widgets are gone", async () => !await t.exists(path));
      await t.eventually(
        "the definition is gone",
        async () => !await t.exists(`${CRDS}/widgets.${group}`),
      );
    },
  },
  {
    name: "unknown fields are pruned, and refused when validation is strict",
    async run(t) {
      const path = await serveWidgets(t);
      const spec = { req: "x", unk: 1, nested: { y: 1 }, lmap: [{ k: "a", z: 1 }], any: { q: 1 } };
      const made = await t.create(path, { ...widget(spec), extra: {} });
      assert.equal(made.extra, undefined);
      assert.deepEqual(made.spec, {
        req: "x",
        color: "red",
        nuldef: "d",
        nested: { a: 7 },
        lmap: [{ k: "a", v: 3 }],
        any: { q: 1 },
      });
      await refused(t.create(path, widget(spec, "s"), { fieldValidation: "Strict" }), {
        code: 400,
        reason: "BadRequest",
        message: 'Widget in version "v1" cannot be handled as a Widget: strict decoding error: ' +
          'unknown field "spec.lmap[0].z", unknown field "spec.nested.y", unknown field "spec.unk"',
      });
    },
  },
  {
    name: "defaults fill what is missing or null where null is not allowed",
    async run(t) {
      const path = await serveWidgets(t);
      const spec = { req: "x", nul: null, nuldef: null, str: null, nested: { o: {} } };
      const made = await t.create(path, widget(spec));
      assert.deepEqual(made.spec, {
        req: "x",
        color: "red",
        nul: null,
        nuldef: "d",
        nested: { a: 7, o: { z: 1 } },
      });
    },
  },
  {
    name: "each rule of the schema is enforced, in the server's words",
    async run(t) {
      const path = await serveWidgets(t);
      for (const [fields, cause] of SCHEMA_VIOLATIONS) {
        const spec = { req: "x", ...fields };
        await refused(t.create(path, widget(spec)), {
          code: 422,
          reason: "Invalid",
          causes: cause,
        });
      }
      await refused(t.create(path, widget({})), {
        code: 422,
        reason: "Invalid",
        message: `Widget.${SHARED_GROUP} "w" is invalid: spec.req: Required value`,
        details: { name: "w", group: SHARED_GROUP, kind: "Widget" },
        causes: [{
          reason: "FieldValueRequired",
          message: "Required value",
          field: "spec.req",
        }],
      });
      await refused(t.create(path, widget({ req: "x", n: 11, color: "blue" })), {
        code: 422,
        reason: "Invalid",
        message: /is invalid: \[spec\..*, spec\..*\]$/,
      });
    },
  },
  {
    name: "an old violation that a change does not touch is let pass",
    async run(t) {
      const group = ownGroup(t);
      const path = await serveWidgets(t, group);
      const crd = `${CRDS}/widgets.${group}`;
      await t.create(path, widget({ req: "x", n: 9, arr: ["a"] }, "w", group));
      await t.patch(crd, JSON_PATCH, [{
        op: "replace",
        path: "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/n/maximum",
        value: 5,
      }]);
      await t.eventually("the new schema acts", async () => {
        const query = { dryRun: "All" };
        return await t.create(path, widget({ req: "x", n: 9 }, "probe", group), query)
          .then(() => false, () => true);
      });
      await t.patch(`${path}/w`, MERGE, { spec: { arr: ["b"] } });
      await refused(t.patch(`${path}/w`, MERGE, { spec: { n: 8 } }), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueInvalid",
          message: "Invalid value: 8: spec.n in body should be less than or equal to 5",
          field: "spec.n",
        }],
      });
    },
  },
  {
    name: "spec and status are written through paths of their own, and spec counts generations",
    async run(t) {
      const path = await serveWidgets(t);
      const made = await t.create(path, { ...widget({ req: "x" }), status: { seen: 1 } });
      assert.equal(made.status, undefined);
      assert.equal(made.metadata.generation, 1);
      const seen = await t.patch(`${path}/w/status`, MERGE, {
        metadata: { labels: { no: "1" } },
        spec: { req: "z" },
        status: { seen: 2 },
      });
      assert.deepEqual(seen.status, { seen: 2 });
      assert.equal(seen.spec.req, "x");
      assert.equal(seen.metadata.generation, 1);
      assert.equal(seen.metadata.labels, undefined);
      const labelled = await t.patch(`${path}/w`, MERGE, {
        metadata: { labels: { x: "1" } },
        status: { seen: 3 },
      });
      assert.deepEqual(labelled.status, { seen: 2 });
      assert.equal(labelled.metadata.generation, 1);
      const changed = await t.patch(`${path}/w`, MERGE, { spec: { n: 5 } });
      assert.equal(changed.metadata.generation, 2);
      const replaced = await t.replace(`${path}/w/status`, {
        ...changed,
        spec: { req: "other" },
        status: { seen: 4 },
      });
      assert.deepEqual(replaced.status, { seen: 4 });
      assert.equal(replaced.spec.req, "x");
      assert.equal((await t.get(`${path}/w/status`)).kind, "Widget");
    },
  },
  {
    name: "a status patch is bound to a version, but its uid says nothing",
    async run(t) {
      const path = await serveWidgets(t);
      const made = await t.create(path, widget({ req: "x" }));
      const { uid, resourceVersion } = made.metadata;
      await t.patch(`${path}/w/status`, MERGE, {
        metadata: { uid, resourceVersion },
        status: { seen: 1 },
      });
      await refused(
        t.patch(`${path}/w/status`, MERGE, {
          metadata: { uid, resourceVersion },
          status: { seen: 2 },
        }),
        { code: 409, reason: "Conflict" },
      );
      // The status path takes over the stored metadata before anybody compares uids.
      const other = "11111111-1111-1111-1111-111111111111";
      const metadata = { uid: other };
      const after = await t.patch(`${path}/w/status`, MERGE, { metadata, status: { seen: 2 } });
      assert.equal(after.metadata.uid, uid);
      assert.deepEqual(after.status, { seen: 2 });
      await refused(
        t.replace(`${path}/w/status`, { ...after, metadata: { ...after.metadata, uid: other } }),
        {
          code: 409,
          reason: "Conflict",
        },
      );
    },
  },
  {
    name: "an update must give the version it was made from",
    async run(t) {
      const path = await serveWidgets(t);
      await t.create(path, widget({ req: "x" }));
      await refused(t.replace(`${path}/w`, widget({ req: "y" })), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueInvalid",
          message: "Invalid value: 0: must be specified for an update",
          field: "metadata.resourceVersion",
        }],
      });
    },
  },
  {
    name: "custom resources have no strategic merge",
    async run(t) {
      const path = await serveWidgets(t);
      await t.create(path, widget({ req: "x" }));
      await refused(t.patch(`${path}/w`, STRATEGIC, { spec: { req: "y" } }), {
        code: 415,
        reason: "UnsupportedMediaType",
        message: "the body of the request was in an unknown format - accepted media types " +
          "include: application/json-patch+json, application/merge-patch+json, " +
          "application/apply-patch+yaml",
      });
    },
  },
  {
    name: "declared fields select, in lists and watches",
    async run(t) {
      const path = await serveWidgets(t);
      await t.create(path, widget({ req: "x", color: "green" }, "g"));
      await t.create(path, widget({ req: "x" }, "r"));
      const { items } = await t.get(path, { fieldSelector: "spec.color=green" });
      assert.deepEqual(items.map((item: Json) => item.metadata.name), ["g"]);
      await refused(t.get(path, { fieldSelector: "spec.req=x" }), {
        code: 400,
        reason: "BadRequest",
        message: "field label not supported: spec.req",
      });
      await using watch = await t.watch(path, { fieldSelector: "spec.color=green" });
      await watch.see(1);
      await t.patch(`${path}/g`, MERGE, { spec: { color: "red" } });
      assert.deepEqual(await watch.see(2), ["ADDED g", "DELETED g"]);
    },
  },
  {
    name: "printer columns make the table",
    async run(t) {
      const path = await serveWidgets(t);
      await t.create(path, widget({ req: "x", n: 3 }));
      await t.patch(`${path}/w/status`, MERGE, {
        status: { conditions: [{ type: "Ready", status: "False" }] },
      });
      const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
      const table = await t.call("GET", path, { accept });
      const columns = table.columnDefinitions.map((c: Json) => `${c.name}:${c.type}:${c.priority}`);
      assert.deepEqual(columns, [
        "Name:string:0",
        "Color:string:0",
        "N:integer:0",
        "Ready:string:0",
        "Wide:string:1",
        "Age:date:0",
      ]);
      assert.deepEqual(table.rows[0].cells.slice(0, 5), ["w", "red", 3, "False", null]);
    },
  },
  {
    name: "a deletion counts as a change of generation and waits for finalizers",
    async run(t) {
      const path = await serveWidgets(t);
      const body = widget({ req: "x" });
      const metadata = { name: "w", finalizers: ["example.com/hold"] };
      await t.create(path, { ...body, metadata });
      const marked = await t.delete(`${path}/w`);
      assert.equal(marked.metadata.generation, 2);
      assert.notEqual(marked.metadata.deletionTimestamp, undefined);
      await t.patch(`${path}/w`, MERGE, { metadata: { finalizers: [] } });
      assert.equal(await t.exists(`${path}/w`), false);
    },
  },
  {
    name: "a body must name the kind and the version of its path",
    async run(t) {
      const path = await serveWidgets(t);
      await refused(t.create(path, { metadata: { name: "w" }, spec: { req: "x" } }), {
        code: 400,
        reason: "BadRequest",
        message: /Object 'Kind' is missing/,
      });
      const wrong = { ...widget({ req: "x" }), kind: "Gadget" };
      await refused(t.create(path, wrong), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueInvalid",
          message: 'Invalid value: "Gadget": must be Widget',
          field: "kind",
        }],
      });
    },
  },
  {
    name: "a broken definition is refused",
    async run(t) {
      const good = widgetCrd(ownGroup(t)) as Json;
      await refused(t.create(CRDS, { ...good, metadata: { name: "other" } }), {
        code: 422,
        reason: "Invalid",
        message:
          /metadata\.name: Invalid value: "other": must be spec\.names\.plural\+"\."\+spec\.group/,
      });
      await refused(t.create(CRDS, { ...good, spec: { ...good.spec, scope: "Everywhere" } }), {
        code: 422,
        reason: "Invalid",
        message: /spec\.scope: Unsupported value: "Everywhere"/,
      });
    },
  },
];
