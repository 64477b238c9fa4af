/** Paths, methods, media types, discovery and views. */
import assert from "node:assert/strict";
import { type Behaviour, type Json, refused } from "../world.ts";

const NOT_SERVED = {
  code: 404,
  reason: "NotFound",
  message: "the server could not find the requested resource",
} as const;

const NOT_ALLOWED = {
  code: 405,
  reason: "MethodNotAllowed",
  message: "the server does not allow this method on the requested resource",
} as const;

const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/** A length-delimited field of a protobuf message. */
function field(number: number, content: string | number[]): number[] {
  const bytes = typeof content === "string" ? [...new TextEncoder().encode(content)] : content;
  return [number * 8 + 2, bytes.length, ...bytes];
}

export const protocol: readonly Behaviour[] = [
  {
    name: "unknown resources and groups are 404",
    async run(t) {
      await refused(t.get("/api/v1/nonsense"), NOT_SERVED);
      await refused(t.create("/api/v1/nonsense", {}), NOT_SERVED);
      await refused(t.get(`${t.configMaps("a")}/nonsense`), { code: 404, reason: "NotFound" });
      await refused(t.get(`${t.configMaps("a")}/status`), NOT_SERVED);
      const error = await t.get("/apis/no.such.group/v1/things").then(
        () => assert.fail("it was found"),
        (error) => error,
      );
      assert.equal(error.status, 404);
    },
  },
  {
    name: "methods that a path does not have are 405",
    async run(t) {
      await refused(t.call("PUT", t.configMaps(), { body: {} }), NOT_ALLOWED);
      await refused(t.create(t.configMaps("a"), {}), NOT_ALLOWED);
      await refused(t.create("/api/v1/configmaps", {}), NOT_ALLOWED);
    },
  },
  {
    name: "bodies must be of a known media type",
    async run(t) {
      await refused(
        t.call("POST", t.configMaps(), { contentType: "text/plain", rawBody: "x" }),
        {
          code: 415,
          reason: "UnsupportedMediaType",
          message: "the body of the request was in an unknown format - accepted media types " +
            "include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        },
      );
    },
  },
  {
    name: "a body may be YAML, or protobuf as kubectl create sends it",
    async run(t) {
      const yaml = await t.call("POST", t.configMaps(), {
        contentType: "application/yaml",
        rawBody: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: 'on'}\n",
      });
      assert.deepEqual(yaml.data, { k: "on" });
      await refused(
        t.call("POST", t.configMaps(), {
          contentType: "application/yaml",
          rawBody: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {k: on}\n",
        }),
        { code: 400, reason: "BadRequest", message: /cannot unmarshal bool into Go struct field/ },
      );
      const meta = [...field(1, "p"), ...field(11, [...field(1, "app"), ...field(2, "web")])];
      const configMap = [
        ...field(1, meta),
        ...field(2, [...field(1, "k"), ...field(2, "v")]),
        ...field(3, [...field(1, "b"), ...field(2, [0, 255])]),
        // immutable: true
        0x20,
        1,
      ];
      const type = [...field(1, "v1"), ...field(2, "ConfigMap")];
      const magic = [0x6b, 0x38, 0x73, 0];
      const made = await t.call("POST", t.configMaps(), {
        contentType: "application/vnd.kubernetes.protobuf",
        rawBody: Uint8Array.from([...magic, ...field(1, type), ...field(2, configMap)]),
      });
      assert.equal(made.metadata.name, "p");
      assert.deepEqual(made.metadata.labels, { app: "web" });
      assert.deepEqual(made.data, { k: "v" });
      assert.deepEqual(made.binaryData, { b: "AP8=" });
      assert.equal(made.immutable, true);
    },
  },
  {
    name: "a body of more than three MiB is too large",
    async run(t) {
      const data = { k: "x".repeat(3 * 1024 * 1024) };
      await refused(t.create(t.configMaps(), { metadata: { name: "a" }, data }), {
        code: 413,
        reason: "RequestEntityTooLarge",
        message: "Request entity too large: limit is 3145728",
      });
    },
  },
  {
    name: "answers can be had in known media types only",
    async run(t) {
      await refused(t.call("GET", t.configMaps(), { accept: "text/csv" }), {
        code: 406,
        reason: "NotAcceptable",
        message: /^406: Not Acceptable\n\nAvailable representations: application\/json/,
      });
    },
  },
  {
    name: "a body must be JSON of the path's kind",
    async run(t) {
      await refused(t.call("POST", t.configMaps(), { rawBody: "{" }), {
        code: 400,
        reason: "BadRequest",
      });
      await refused(t.create(t.configMaps(), { apiVersion: "v1", kind: "Secret" }), {
        code: 400,
        reason: "BadRequest",
      });
    },
  },
  {
    name: "discovery lists groups, versions and resources",
    async run(t) {
      const versions = await t.get("/api");
      assert.deepEqual(versions.versions, ["v1"]);
      const groups = await t.get("/apis");
      assert.equal(groups.kind, "APIGroupList");
      const lease = groups.groups.find((group: Json) => group.name === "coordination.k8s.io");
      assert.equal(lease.preferredVersion.groupVersion, "coordination.k8s.io/v1");
      const core = await t.get("/api/v1");
      assert.equal(core.kind, "APIResourceList");
      const configMaps = core.resources.find((resource: Json) => resource.name === "configmaps");
      assert.deepEqual(configMaps.shortNames, ["cm"]);
      assert.equal(configMaps.namespaced, true);
      assert.deepEqual([...configMaps.verbs].sort(), [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
      ]);
      const status = core.resources.find((resource: Json) => resource.name === "pods/status");
      assert.deepEqual(status.verbs, ["get", "patch", "update"]);
      const one = await t.get("/apis/coordination.k8s.io");
      assert.equal(one.kind, "APIGroup");
      const version = await t.get("/version");
      assert.equal(version.major, "1");
    },
  },
  {
    name: "discovery comes in one document when that is asked for",
    async run(t) {
      const core = await t.call("GET", "/api", { accept: AGGREGATED });
      assert.equal(core.kind, "APIGroupDiscoveryList");
      const [{ versions: [v1] }] = core.items;
      assert.equal(v1.version, "v1");
      const pods = v1.resources.find((resource: Json) => resource.resource === "pods");
      assert.equal(pods.scope, "Namespaced");
      assert.equal(pods.responseKind.kind, "Pod");
      assert.ok(pods.subresources.some((sub: Json) => sub.subresource === "status"));
      const named = await t.call("GET", "/apis", { accept: AGGREGATED });
      assert.ok(named.items.some((group: Json) => group.metadata.name === "events.k8s.io"));
    },
  },
  {
    name: "lists and objects can be had as tables",
    async run(t) {
      await t.create(t.configMaps(), {
        metadata: { name: "a", labels: { x: "1" } },
        data: { k: "v" },
      });
      const query = { labelSelector: "x=1" };
      const table = await t.call("GET", t.configMaps(), { accept: TABLE, query });
      assert.equal(table.kind, "Table");
      assert.equal(table.apiVersion, "meta.k8s.io/v1");
      assert.match(table.metadata.resourceVersion, /^[1-9]/);
      const columns = table.columnDefinitions.map((c: Json) => `${c.name} ${c.type} ${c.priority}`);
      assert.deepEqual(columns, ["Name string 0", "Data string 0", "Age string 0"]);
      const [row] = table.rows;
      assert.deepEqual(row.cells.slice(0, 2), ["a", 1]);
      assert.match(row.cells[2], /^\d+s$/);
      assert.equal(row.object.kind, "PartialObjectMetadata");
      assert.equal(row.object.data, undefined);
      const whole = await t.call("GET", t.configMaps("a"), {
        accept: TABLE,
        query: { includeObject: "Object" },
      });
      assert.deepEqual(whole.rows[0].object.data, { k: "v" });
      await t.create(t.pods(), {
        metadata: { name: "p" },
        spec: { nodeName: "n", containers: [{ name: "c", image: "i" }, { name: "d", image: "i" }] },
      });
      const pods = await t.call("GET", t.pods(), { accept: TABLE });
      assert.deepEqual(pods.rows[0].cells.slice(0, 4), ["p", "0/2", "Pending", "0"]);
      assert.deepEqual(pods.rows[0].cells.slice(5), ["<none>", "n", "<none>", "<none>"]);
    },
  },
  {
    name: "lists and objects can be had as metadata alone",
    async run(t) {
      await t.create(t.configMaps(), {
        metadata: { name: "a", labels: { x: "1" } },
        data: { k: "v" },
      });
      const view = (as: string) => `application/json;as=${as};g=meta.k8s.io;v=v1`;
      const list = await t.call("GET", t.configMaps(), {
        accept: view("PartialObjectMetadataList"),
        query: { labelSelector: "x=1" },
      });
      assert.equal(list.kind, "PartialObjectMetadataList");
      assert.equal(list.items[0].kind, "PartialObjectMetadata");
      assert.equal(list.items[0].data, undefined);
      const one = await t.call("GET", t.configMaps("a"), { accept: view("PartialObjectMetadata") });
      assert.equal(one.kind, "PartialObjectMetadata");
      assert.equal(one.metadata.name, "a");
    },
  },
];
