/** JSON, merge and strategic merge patches, and what patches may not say. */
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

const REJECTED = {
  code: 422,
  reason: "Invalid",
  message: "the server rejected our request due to an error in our request",
} as const;

const MODIFIED =
  'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply ' +
  "your changes to the latest version and try again";

function make(t: World, rest: JsonObject = {}): Promise<Json> {
  return t.create(t.configMaps(), { metadata: { name: "a" }, data: { k: "v" }, ...rest });
}

function podWith(containers: JsonValue[], metadata: JsonObject = {}): JsonObject {
  return { metadata: { name: "p", ...metadata }, spec: { nodeName: "n", containers } };
}

export const patches: readonly Behaviour[] = [
  {
    name: "a JSON patch adds, replaces, removes, moves, copies and tests",
    async run(t) {
      await make(t, { data: { a: "1", "b.c": "2", d: "3" } });
      const patched = await t.patch(t.configMaps("a"), JSON_PATCH, [
        { op: "test", path: "/data/a", value: "1" },
        { op: "add", path: "/data/new", value: "x" },
        { op: "replace", path: "/data/b.c", value: "y" },
        { op: "remove", path: "/data/a" },
        { op: "move", from: "/data/d", path: "/data/e" },
        { op: "copy", from: "/data/e", path: "/data/f" },
        { op: "add", path: "/metadata/labels", value: {} },
        { op: "add", path: "/metadata/labels/example.com~1x", value: "z" },
      ]);
      assert.deepEqual(patched.data, { new: "x", "b.c": "y", e: "3", f: "3" });
      assert.deepEqual(patched.metadata.labels, { "example.com/x": "z" });
    },
  },
  {
    name: "a JSON patch replaces an absent key of a map as if it were there",
    async run(t) {
      await make(t);
      const path = "/data/absent";
      const patched = await t.patch(t.configMaps("a"), JSON_PATCH, [
        { op: "replace", path, value: "x" },
      ]);
      assert.deepEqual(patched.data, { k: "v", absent: "x" });
    },
  },
  {
    name: "a JSON patch that does not apply changes nothing",
    async run(t) {
      const made = await make(t);
      const attempts: JsonObject[] = [
        { op: "remove", path: "/data/absent" },
        { op: "test", path: "/data/k", value: "other" },
        { op: "test", path: "/data/absent", value: "x" },
        { op: "add", path: "/binaryData/x", value: "AA==" },
        { op: "move", from: "/data/absent", path: "/data/x" },
        { op: "nonsense", path: "/data/x", value: "1" },
        { op: "add", path: "data", value: "1" },
        { op: "remove", path: "" },
      ];
      for (const attempt of attempts) {
        const ops = [{ op: "add", path: "/data/first", value: "1" }, attempt];
        await refused(t.patch(t.configMaps("a"), JSON_PATCH, ops), { ...REJECTED, details: {} });
      }
      const after = await t.get(t.configMaps("a"));
      assert.equal(after.metadata.resourceVersion, made.metadata.resourceVersion);
    },
  },
  {
    name: "a JSON patch must be a list, a merge patch an object",
    async run(t) {
      await make(t);
      await refused(t.patch(t.configMaps("a"), JSON_PATCH, { data: {} }), {
        code: 400,
        reason: "BadRequest",
        message: /cannot unmarshal object into Go value of type \[\]/,
      });
      await refused(t.patch(t.configMaps("a"), MERGE, []), {
        code: 400,
        reason: "BadRequest",
        message: /cannot unmarshal array into Go value of type map/,
      });
      await refused(
        t.call("PATCH", t.configMaps("a"), { contentType: MERGE, rawBody: '{"data":' }),
        { code: 400, reason: "BadRequest" },
      );
    },
  },
  {
    name: "a patch with an old resourceVersion is a Conflict, with the current one it applies",
    async run(t) {
      const made = await make(t);
      const add = (path: string, value: string) => ({ op: "add", path, value });
      const old = made.metadata.resourceVersion;
      const second = await t.patch(t.configMaps("a"), JSON_PATCH, [
        add("/metadata/resourceVersion", old),
        add("/metadata/uid", made.metadata.uid),
        add("/data/k", "2"),
      ]);
      assert.deepEqual(second.data, { k: "2" });
      const expected = {
        code: 409,
        reason: "Conflict",
        message: MODIFIED,
        details: { name: "a", kind: "configmaps" },
      };
      await refused(
        t.patch(t.configMaps("a"), JSON_PATCH, [
          add("/metadata/resourceVersion", old),
          add("/data/k", "3"),
        ]),
        expected,
      );
      const merge = { metadata: { resourceVersion: old }, data: { k: "3" } };
      await refused(t.patch(t.configMaps("a"), MERGE, merge), expected);
      await refused(t.patch(t.configMaps("a"), STRATEGIC, merge), expected);
      assert.deepEqual((await t.get(t.configMaps("a"))).data, { k: "2" });
    },
  },
  {
    name: "a patch with another object's uid is refused",
    async run(t) {
      const made = await make(t);
      const uid = "11111111-1111-1111-1111-111111111111";
      const expected = {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueInvalid",
          message: `Invalid value: "${uid}": field is immutable`,
          field: "metadata.uid",
        }],
      };
      await refused(
        t.patch(t.configMaps("a"), JSON_PATCH, [
          { op: "add", path: "/metadata/uid", value: uid },
          { op: "add", path: "/data/k", value: "2" },
        ]),
        expected,
      );
      await refused(t.patch(t.configMaps("a"), MERGE, { metadata: { uid } }), expected);
      // The version is checked first.
      await refused(
        t.patch(t.configMaps("a"), MERGE, { metadata: { uid, resourceVersion: "1" } }),
        { code: 409, reason: "Conflict" },
      );
      assert.equal((await t.get(t.configMaps("a"))).metadata.uid, made.metadata.uid);
    },
  },
  {
    name: "a recreated object refuses what was meant for its predecessor",
    async run(t) {
      const first = await make(t);
      await t.delete(t.configMaps("a"));
      const second = await make(t);
      assert.notEqual(second.metadata.uid, first.metadata.uid);
      await refused(
        t.patch(t.configMaps("a"), JSON_PATCH, [
          { op: "add", path: "/metadata/resourceVersion", value: first.metadata.resourceVersion },
          { op: "add", path: "/metadata/uid", value: first.metadata.uid },
          { op: "add", path: "/data/k", value: "2" },
        ]),
        { code: 409, reason: "Conflict" },
      );
      await refused(
        t.delete(t.configMaps("a"), { preconditions: { uid: first.metadata.uid } }),
        { code: 409, reason: "Conflict" },
      );
    },
  },
  {
    name: "a patch cannot rename or move an object",
    async run(t) {
      await make(t);
      await refused(t.patch(t.configMaps("a"), MERGE, { metadata: { name: "b" } }), {
        code: 400,
        reason: "BadRequest",
        message: "the name of the object (b) does not match the name on the URL (a)",
      });
      await refused(t.patch(t.configMaps("a"), MERGE, { metadata: { namespace: "b" } }), {
        code: 400,
        reason: "BadRequest",
        message:
          "the namespace of the provided object does not match the namespace sent on the request",
      });
    },
  },
  {
    name: "a merge patch merges maps, replaces lists, and null removes",
    async run(t) {
      await make(t, { data: { a: "1", b: "2" } });
      const patched = await t.patch(t.configMaps("a"), MERGE, {
        metadata: { labels: { x: "1", y: null }, annotations: { n: "1" } },
        data: { a: null, c: "3" },
      });
      assert.deepEqual(patched.data, { b: "2", c: "3" });
      assert.deepEqual(patched.metadata.labels, { x: "1" });
      const bare = await t.patch(t.configMaps("a"), MERGE, {
        metadata: { labels: null },
        data: null,
      });
      assert.equal(bare.data, undefined);
      assert.equal(bare.metadata.labels, undefined);
      assert.deepEqual(bare.metadata.annotations, { n: "1" });
    },
  },
  {
    name: "a strategic patch merges containers by name and owners by uid",
    async run(t) {
      const image = (name: string, image: string) => ({ name, image });
      // Owners that exist: the collector would take the Pod otherwise.
      const owner = async (name: string) => {
        const { metadata: { uid } } = await t.create(t.configMaps(), { metadata: { name } });
        return { apiVersion: "v1", kind: "ConfigMap", name, uid };
      };
      const [first, second] = [await owner("first"), await owner("second")];
      await t.create(
        t.pods(),
        podWith([image("one", "a"), image("two", "b")], {
          finalizers: ["example.com/x"],
          ownerReferences: [first],
        }),
      );
      const patched = await t.patch(t.pods("p"), STRATEGIC, {
        metadata: {
          finalizers: ["example.com/y"],
          ownerReferences: [second],
        },
        spec: { containers: [{ name: "two", image: "c" }] },
      });
      const images = patched.spec.containers.map((c: Json) => `${c.name}=${c.image}`);
      assert.deepEqual(images, ["one=a", "two=c"]);
      assert.deepEqual([...patched.metadata.finalizers].sort(), ["example.com/x", "example.com/y"]);
      const owners = patched.metadata.ownerReferences.map((owner: Json) => owner.uid);
      assert.deepEqual(owners.sort(), [first.uid, second.uid].sort());
      const removed = await t.patch(t.pods("p"), STRATEGIC, {
        metadata: {
          "$deleteFromPrimitiveList/finalizers": ["example.com/x", "example.com/y"],
          ownerReferences: [{ uid: first.uid, $patch: "delete" }],
        },
      });
      assert.equal(removed.metadata.finalizers, undefined);
      assert.deepEqual(removed.metadata.ownerReferences.map((owner: Json) => owner.uid), [
        second.uid,
      ]);
    },
  },
  {
    name: "a strategic patch of conditions merges by type and keeps the others",
    async run(t) {
      await t.create(t.pods(), podWith([{ name: "c", image: "i" }]));
      const status = (conditions: JsonObject[]) =>
        t.patch(`${t.pods("p")}/status`, STRATEGIC, { status: { conditions } });
      await status([{ type: "Ready", status: "False" }, { type: "X", status: "True" }]);
      const after = await status([{ type: "Ready", status: "True" }]);
      const seen = after.status.conditions.map((c: Json) => `${c.type}=${c.status}`);
      assert.deepEqual(seen.sort(), ["Ready=True", "X=True"]);
    },
  },
  {
    name: "a strategic patch replaces a map on demand, and refuses unknown directives",
    async run(t) {
      await make(t, { data: { a: "1", b: "2" } });
      const replaced = await t.patch(t.configMaps("a"), STRATEGIC, {
        data: { $patch: "replace", c: "3" },
      });
      assert.deepEqual(replaced.data, { c: "3" });
      const error = await t.patch(t.configMaps("a"), STRATEGIC, { data: { $patch: "nonsense" } })
        .then(() => assert.fail("it was accepted"), (error) => error);
      assert.equal(error.status, 500);
      assert.match(error.message, /unknown patch type: nonsense in map: map\[\$patch:nonsense\]/);
    },
  },
  {
    name: "a patch whose result does not fit the type is refused",
    async run(t) {
      await make(t);
      for (const type of [STRATEGIC, MERGE]) {
        for (const data of [[], { k: 1 }, "text"]) {
          const error = await refused(t.patch(t.configMaps("a"), type, { data }), {
            code: 422,
            reason: "Invalid",
          });
          assert.deepEqual(error.causes.map(({ field }) => field), ["patch"], error.message);
        }
      }
    },
  },
  {
    name: "patches that end in nothing, or in a null among texts, are refused",
    async run(t) {
      await make(t);
      await refused(
        t.patch(t.configMaps("a"), JSON_PATCH, [{ op: "replace", path: "", value: null }]),
        REJECTED,
      );
      const error = await refused(
        t.patch(t.configMaps("a"), JSON_PATCH, [
          { op: "add", path: "/metadata/finalizers", value: [null] },
        ]),
        { code: 422, reason: "Invalid" },
      );
      const fields = error.causes.map(({ field }) => field ?? "");
      assert.ok(fields.every((field) => field.startsWith("metadata.finalizers")), error.message);
    },
  },
  {
    name: "a strategic patch deletes and adds in one, and checks the order that it asks for",
    async run(t) {
      const x = (name: string) => `example.com/${name}`;
      await t.create(t.configMaps(), { metadata: { name: "a", finalizers: [x("a"), x("b")] } });
      const patched = await t.patch(t.configMaps("a"), STRATEGIC, {
        metadata: {
          "$deleteFromPrimitiveList/finalizers": [x("a")],
          finalizers: [x("c")],
          "$setElementOrder/finalizers": [x("c"), x("b")],
        },
      });
      assert.deepEqual(patched.metadata.finalizers, [x("c"), x("b")]);
      const error = await t.patch(t.configMaps("a"), STRATEGIC, {
        metadata: {
          finalizers: [x("c"), x("b")],
          "$setElementOrder/finalizers": [x("b"), x("c")],
        },
      }).then(() => assert.fail("it was accepted"), (error) => error);
      assert.equal(error.status, 500);
      assert.match(error.message, /doesn't match \$setElementOrder list/);
      await t.patch(t.configMaps("a"), MERGE, { metadata: { finalizers: null } });
    },
  },
  {
    name: "a patch of an unknown media type is 415",
    async run(t) {
      await make(t);
      await refused(
        t.call("PATCH", t.configMaps("a"), { contentType: "text/plain", rawBody: "{}" }),
        {
          code: 415,
          reason: "UnsupportedMediaType",
          message: "415: Unsupported Media Type",
        },
      );
    },
  },
];
