/** Metadata that the server keeps, optimistic concurrency, and refusals of single objects. */
import assert from "node:assert/strict";
import { type Behaviour, MERGE, refused } from "../world.ts";

export const objects: readonly Behaviour[] = [
  {
    name: "creation fills uid, resourceVersion, creationTimestamp and namespace",
    async run(t) {
      const made = await t.create(t.configMaps(), { metadata: { name: "a" }, data: { k: "v" } });
      assert.equal(made.kind, "ConfigMap");
      assert.equal(made.apiVersion, "v1");
      assert.equal(made.metadata.namespace, t.namespace);
      assert.match(made.metadata.uid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      assert.match(made.metadata.resourceVersion, /^[1-9][0-9]*$/);
      assert.match(made.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      assert.equal(made.metadata.generation, undefined);
      const { metadata: { managedFields: _, ...metadata }, ...rest } = await t.get(
        t.configMaps("a"),
      );
      const { metadata: { managedFields: __, ...madeMetadata }, ...madeRest } = made;
      assert.deepEqual({ metadata, ...rest }, { metadata: madeMetadata, ...madeRest });
    },
  },
  {
    name: "values of server-owned metadata in a creation are ignored",
    async run(t) {
      const made = await t.create(t.configMaps(), {
        metadata: {
          name: "a",
          uid: "11111111-1111-1111-1111-111111111111",
          generation: 7,
          creationTimestamp: "2001-01-01T00:00:00Z",
          deletionTimestamp: "2001-01-01T00:00:00Z",
        },
      });
      assert.notEqual(made.metadata.uid, "11111111-1111-1111-1111-111111111111");
      assert.notEqual(made.metadata.creationTimestamp, "2001-01-01T00:00:00Z");
      assert.equal(made.metadata.deletionTimestamp, undefined);
    },
  },
  {
    name: "a second creation of a name is AlreadyExists",
    async run(t) {
      await t.create(t.configMaps(), { metadata: { name: "a" } });
      await refused(t.create(t.configMaps(), { metadata: { name: "a" } }), {
        code: 409,
        reason: "AlreadyExists",
        message: 'configmaps "a" already exists',
        details: { name: "a", kind: "configmaps" },
      });
    },
  },
  {
    name: "a creation that sets resourceVersion is refused",
    async run(t) {
      const body = { metadata: { name: "a", resourceVersion: "5" } };
      const error = await t.create(t.configMaps(), body).then(() => undefined, (error) => error);
      assert.match(error.message, /resourceVersion should not be set on objects to be created/);
    },
  },
  {
    name: "an absent object is NotFound",
    async run(t) {
      await refused(t.get(t.configMaps("absent")), {
        code: 404,
        reason: "NotFound",
        message: 'configmaps "absent" not found',
        details: { name: "absent", kind: "configmaps" },
      });
      await refused(t.replace(t.configMaps("absent"), { metadata: { name: "absent" } }), {
        code: 404,
        reason: "NotFound",
        details: { name: "absent", kind: "configmaps" },
      });
      await refused(t.patch(t.configMaps("absent"), MERGE, { data: { k: "v" } }), {
        code: 404,
        reason: "NotFound",
        message: 'configmaps "absent" not found',
      });
      await refused(t.delete(t.configMaps("absent")), { code: 404, reason: "NotFound" });
    },
  },
  {
    name: "a creation in an absent namespace is NotFound of the namespace; a list there is empty",
    async run(t) {
      const path = "/api/v1/namespaces/no-such-namespace/configmaps";
      await refused(t.create(path, { metadata: { name: "a" } }), {
        code: 404,
        reason: "NotFound",
        message: 'namespaces "no-such-namespace" not found',
        details: { name: "no-such-namespace", kind: "namespaces" },
      });
      assert.deepEqual((await t.get(path)).items, []);
    },
  },
  {
    name: "an update with an old resourceVersion is a Conflict, with the current one it succeeds",
    async run(t) {
      const first = await t.create(t.configMaps(), { metadata: { name: "a" }, data: { k: "1" } });
      const second = await t.replace(t.configMaps("a"), { ...first, data: { k: "2" } });
      assert.ok(BigInt(second.metadata.resourceVersion) > BigInt(first.metadata.resourceVersion));
      assert.equal(second.metadata.uid, first.metadata.uid);
      await refused(t.replace(t.configMaps("a"), { ...first, data: { k: "3" } }), {
        code: 409,
        reason: "Conflict",
        message: 'Operation cannot be fulfilled on configmaps "a": the object has been modified; ' +
          "please apply your changes to the latest version and try again",
        details: { name: "a", kind: "configmaps" },
      });
      assert.deepEqual((await t.get(t.configMaps("a"))).data, { k: "2" });
    },
  },
  {
    name: "an update without resourceVersion overwrites a ConfigMap",
    async run(t) {
      await t.create(t.configMaps(), { metadata: { name: "a" }, data: { k: "1" } });
      await t.replace(t.configMaps("a"), { metadata: { name: "a" }, data: { j: "2" } });
      assert.deepEqual((await t.get(t.configMaps("a"))).data, { j: "2" });
    },
  },
  {
    name: "an update with another uid is a Conflict",
    async run(t) {
      const made = await t.create(t.configMaps(), { metadata: { name: "a" } });
      const uid = "11111111-1111-1111-1111-111111111111";
      await refused(t.replace(t.configMaps("a"), { metadata: { name: "a", uid } }), {
        code: 409,
        reason: "Conflict",
        message: `Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, ` +
          `Code: 4, Key: /registry/configmaps/${t.namespace}/a, ResourceVersion: 0, ` +
          `AdditionalErrorMsg: Precondition failed: UID in precondition: ${uid}, ` +
          `UID in object meta: ${made.metadata.uid}`,
      });
    },
  },
  {
    name: "an update that changes nothing keeps resourceVersion",
    async run(t) {
      const made = await t.create(t.configMaps(), { metadata: { name: "a" }, data: { k: "v" } });
      const same = await t.replace(t.configMaps("a"), made);
      assert.equal(same.metadata.resourceVersion, made.metadata.resourceVersion);
      const patched = await t.patch(t.configMaps("a"), MERGE, { data: { k: "v" } });
      assert.equal(patched.metadata.resourceVersion, made.metadata.resourceVersion);
    },
  },
  {
    name: "name and namespace of body and path must agree",
    async run(t) {
      await t.create(t.configMaps(), { metadata: { name: "a" } });
      await refused(t.replace(t.configMaps("a"), { metadata: { name: "b" } }), {
        code: 400,
        reason: "BadRequest",
        message: "the name of the object (b) does not match the name on the URL (a)",
      });
      await refused(
        t.create(t.configMaps(), { metadata: { name: "b", namespace: "elsewhere" } }),
        {
          code: 400,
          reason: "BadRequest",
          message:
            "the namespace of the provided object does not match the namespace sent on the request",
        },
      );
      await refused(t.create(t.configMaps(), { metadata: {} }), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueRequired",
          message: "Required value: name or generateName is required",
          field: "metadata.name",
        }],
      });
    },
  },
  {
    name: "generateName makes a name of five more characters",
    async run(t) {
      const made = await t.create(t.configMaps(), { metadata: { generateName: "made-" } });
      assert.match(made.metadata.name, /^made-[a-z0-9]{5}$/);
      assert.equal(made.metadata.generateName, "made-");
    },
  },
  {
    name: "names must be DNS subdomains",
    async run(t) {
      const sentence =
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, " +
        "'-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', " +
        "regex used for validation is " +
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
      await refused(t.create(t.configMaps(), { metadata: { name: "A_b" } }), {
        code: 422,
        reason: "Invalid",
        message: `ConfigMap "A_b" is invalid: metadata.name: Invalid value: "A_b": ${sentence}`,
        details: { name: "A_b", kind: "ConfigMap" },
        causes: [{
          reason: "FieldValueInvalid",
          message: `Invalid value: "A_b": ${sentence}`,
          field: "metadata.name",
        }],
      });
      const long = "a".repeat(254);
      await refused(t.create(t.configMaps(), { metadata: { name: long } }), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueInvalid",
          message: `Invalid value: "${long}": must be no more than 253 characters`,
          field: "metadata.name",
        }],
      });
      await t.create(t.configMaps(), { metadata: { name: long.slice(1) } });
    },
  },
  {
    name: "labels, annotations, finalizers and owners are checked",
    async run(t) {
      const create = (metadata: Record<string, string | object>) =>
        t.create(t.configMaps(), { metadata: { name: "a", ...metadata } } as never);
      await refused(create({ labels: { "a b": "x", ok: "-bad" } }), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueInvalid",
          message:
            `Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
          field: "metadata.labels",
        }, {
          reason: "FieldValueInvalid",
          message:
            `Invalid value: "-bad": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
          field: "metadata.labels",
        }],
      });
      await refused(create({ annotations: { k: "x".repeat(256 * 1024) } }), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueTooLong",
          message: "Too long: may not be more than 262144 bytes",
          field: "metadata.annotations",
        }],
      });
      await refused(create({ finalizers: ["unqualified"] }), {
        code: 422,
        reason: "Invalid",
        message: /metadata\.finalizers/,
      });
      await refused(
        create({ ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "p", uid: "" }] }),
        {
          code: 422,
          reason: "Invalid",
          causes: [{
            reason: "FieldValueRequired",
            message: "Required value: must not be empty",
            field: "metadata.ownerReferences[0].uid",
          }],
        },
      );
      const owner = { apiVersion: "v1", kind: "Pod", controller: true };
      await refused(
        create({
          ownerReferences: [{ ...owner, name: "p", uid: "1" }, { ...owner, name: "q", uid: "2" }],
        }),
        {
          code: 422,
          reason: "Invalid",
          message: /Only one reference can have Controller set to true/,
        },
      );
    },
  },
  {
    name: "a dry run answers as if, and keeps nothing",
    async run(t) {
      const query = { dryRun: "All" };
      const made = await t.create(t.configMaps(), { metadata: { name: "a" } }, query);
      assert.equal(made.metadata.name, "a");
      assert.equal(typeof made.metadata.uid, "string");
      assert.equal(await t.exists(t.configMaps("a")), false);
      await t.create(t.configMaps(), { metadata: { name: "a" }, data: { k: "v" } });
      await refused(t.create(t.configMaps(), { metadata: { name: "a" } }, query), {
        code: 409,
        reason: "AlreadyExists",
      });
      const patched = await t.patch(t.configMaps("a"), MERGE, { data: { k: "w" } }, query);
      assert.deepEqual(patched.data, { k: "w" });
      await t.call("DELETE", t.configMaps("a"), { query });
      assert.deepEqual((await t.get(t.configMaps("a"))).data, { k: "v" });
      await refused(t.create(t.configMaps(), { metadata: { name: "b" } }, { dryRun: "Some" }), {
        code: 422,
        reason: "Invalid",
        message: /dryRun: Unsupported value: \["Some"\]: supported values: "All"/,
      });
    },
  },
  {
    name: "fieldValidation=Strict refuses unknown and repeated fields; by default they are dropped",
    async run(t) {
      const body = { metadata: { name: "a", bogus: 1 }, extra: 2, data: { k: "v" } };
      await refused(t.create(t.configMaps(), body, { fieldValidation: "Strict" }), {
        code: 400,
        reason: "BadRequest",
        message: 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding ' +
          'error: unknown field "metadata.bogus", unknown field "extra"',
      });
      await refused(
        t.call("POST", t.configMaps(), {
          rawBody: '{"metadata":{"name":"a"},"data":{"k":"1","k":"2"}}',
          query: { fieldValidation: "Strict" },
        }),
        {
          code: 400,
          reason: "BadRequest",
          message: 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding ' +
            'error: duplicate field "data.k"',
        },
      );
      const made = await t.create(t.configMaps(), body);
      assert.equal(made.extra, undefined);
      assert.equal(made.metadata.bogus, undefined);
      await refused(
        t.create(t.configMaps(), { metadata: { name: "b" } }, { fieldValidation: "X" }),
        {
          code: 422,
          reason: "Invalid",
          message: /fieldValidation: Unsupported value: "X"/,
        },
      );
    },
  },
  {
    name: "names of namespaces are DNS labels, and Pods need containers",
    async run(t) {
      await refused(t.create("/api/v1/namespaces", { metadata: { name: "a.b" } }), {
        code: 422,
        reason: "Invalid",
        message:
          'Namespace "a.b" is invalid: metadata.name: Invalid value: "a.b": must not contain dots',
      });
      await refused(t.create(t.pods(), { metadata: { name: "p" }, spec: { containers: [] } }), {
        code: 422,
        reason: "Invalid",
        causes: [{
          reason: "FieldValueRequired",
          message: "Required value",
          field: "spec.containers",
        }],
      });
    },
  },
  {
    name: "Pods count generations of their spec, and their status is a subresource",
    async run(t) {
      const made = await t.create(t.pods(), {
        metadata: { name: "p" },
        spec: { nodeName: "n", containers: [{ name: "c", image: "i" }] },
        status: { phase: "Failed" },
      });
      assert.equal(made.metadata.generation, 1);
      assert.equal(made.status.phase, "Pending");
      assert.equal(made.spec.restartPolicy, "Always");
      const running = await t.patch(`${t.pods("p")}/status`, MERGE, {
        metadata: { labels: { from: "status" } },
        status: { phase: "Running", podIP: "10.0.0.1", podIPs: [{ ip: "10.0.0.1" }] },
      });
      assert.equal(running.status.phase, "Running");
      const labelled = await t.patch(t.pods("p"), MERGE, {
        metadata: { labels: { x: "1" } },
        status: { phase: "Failed" },
      });
      assert.equal(labelled.status.phase, "Running");
      assert.equal(labelled.metadata.generation, 1);
      assert.equal(labelled.metadata.labels.x, "1");
      await refused(
        t.patch(t.pods("p"), MERGE, { spec: { nodeName: "other" } }),
        { code: 422, reason: "Invalid", message: /pod updates may not change fields other than/ },
      );
    },
  },
];
