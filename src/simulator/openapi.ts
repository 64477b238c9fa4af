/**
 * OpenAPI v3 documents of what is served, as far as kubectl needs them: it learns from them that the
 * server validates fields itself (`create`, `apply`) and prints their descriptions (`explain`).
 *
 * Guarantees: one document per group version at `/openapi/v3/<root>`, its parameters, kinds and, for
 * custom resources, the schema of their CRD. Built-in kinds have their top-level fields alone. Strategic
 * merge patches are not announced, so that kubectl computes them from its own types. There is no
 * `/openapi/v2`: clients fall back from v2 to v3 or the other way round.
 */
import type { JsonObject } from "../runtime/ports/rest.ts";
import { apiVersionOf, type ServedType } from "./types.ts";

/** The document at `path`, or undefined when there is none. */
export function openApi(path: string, types: readonly ServedType[]): JsonObject | undefined {
  const prefix = "/openapi/v3";
  if (path === prefix || path === `${prefix}/`) return index(types);
  if (!path.startsWith(`${prefix}/`)) return undefined;
  const root = path.slice(prefix.length + 1);
  const members = types.filter((type) => rootOf(type) === root);
  return members.length === 0 ? undefined : document(root, members);
}

/** `api/v1`, `apis/<group>/<version>`. */
function rootOf(type: ServedType): string {
  return `${type.group === "" ? "api" : "apis"}/${apiVersionOf(type)}`;
}

function index(types: readonly ServedType[]): JsonObject {
  const roots = [...new Set(types.map(rootOf))];
  return {
    paths: Object.fromEntries(
      roots.map((root) => [root, { serverRelativeURL: `/openapi/v3/${root}` }]),
    ),
  };
}

function document(root: string, types: readonly ServedType[]): JsonObject {
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: "v1.37.2" },
    paths: Object.fromEntries(types.flatMap((type) => pathsOf(root, type))),
    components: {
      schemas: {
        ...Object.fromEntries(types.flatMap(schemasOf)),
        [OBJECT_META]: OBJECT_META_SCHEMA,
        [LIST_META]: LIST_META_SCHEMA,
      },
    },
  };
}

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const OBJECT_META = `${META}.ObjectMeta`;
const LIST_META = `${META}.ListMeta`;

function reference(name: string): JsonObject {
  return { $ref: `#/components/schemas/${name}` };
}

/** `com.example.group.v1.Kind`, `io.k8s.api.core.v1.Pod`. */
function schemaName(type: ServedType): string {
  const group = type.group === "" ? "io.k8s.api.core" : type.group.split(".").reverse().join(".");
  return `${group}.${type.version}.${type.kind}`;
}

function groupVersionKind(type: ServedType, kind = type.kind): JsonObject {
  return {
    "x-kubernetes-group-version-kind": [{ group: type.group, version: type.version, kind }],
  };
}

function query(name: string, description: string, type = "string"): JsonObject {
  return { name, in: "query", description, schema: { type, uniqueItems: true } };
}

const WRITE_PARAMETERS: readonly JsonObject[] = [
  query("dryRun", "All: everything is done but the change is not kept."),
  query("fieldManager", "Who makes the change."),
  query("fieldValidation", "Ignore, Warn or Strict: what to do about unknown and repeated fields."),
];

function operation(type: ServedType, action: string, extra: JsonObject = {}): JsonObject {
  const gvk = { group: type.group, version: type.version, kind: type.kind };
  return {
    tags: [apiVersionOf(type)],
    description: `${action} ${type.kind}`,
    operationId: `${action}${type.version}${type.kind}`,
    responses: {
      "200": {
        description: "OK",
        content: { "application/json": { schema: reference(schemaName(type)) } },
      },
    },
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": gvk,
    ...extra,
  };
}

function pathsOf(root: string, type: ServedType): [string, JsonObject][] {
  const scope = type.namespaced ? `/${root}/namespaces/{namespace}` : `/${root}`;
  const body = { content: { "*/*": { schema: reference(schemaName(type)) } }, required: true };
  const write = { parameters: [...WRITE_PARAMETERS] };
  const patch = {
    ...write,
    requestBody: {
      content: {
        "application/json-patch+json": { schema: { type: "object" } },
        "application/merge-patch+json": { schema: { type: "object" } },
      },
      required: true,
    },
  };
  const parameters = ["name", ...(type.namespaced ? ["namespace"] : [])].map((name) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string", uniqueItems: true },
  }));
  return [
    [`${scope}/${type.plural}`, {
      get: operation(type, "list"),
      post: operation(type, "post", { ...write, requestBody: body }),
      parameters: parameters.slice(1),
    }],
    [`${scope}/${type.plural}/{name}`, {
      get: operation(type, "get"),
      put: operation(type, "put", { ...write, requestBody: body }),
      patch: operation(type, "patch", patch),
      delete: operation(type, "delete", { parameters: [...WRITE_PARAMETERS] }),
      parameters,
    }],
  ];
}

function schemasOf(type: ServedType): [string, JsonObject][] {
  return [
    [schemaName(type), kindSchema(type)],
    [`${schemaName(type)}List`, {
      type: "object",
      description: `${type.listKind} is a list of ${type.kind}.`,
      required: ["items"],
      properties: {
        ...typeFields(),
        metadata: { allOf: [reference(LIST_META)], description: "Standard list metadata." },
        items: { type: "array", items: { allOf: [reference(schemaName(type))] } },
      },
      ...groupVersionKind(type, type.listKind),
    }],
  ];
}

function typeFields(): JsonObject {
  return {
    apiVersion: { type: "string", description: "The versioned schema of this object." },
    kind: { type: "string", description: "The REST resource this object represents." },
  };
}

function kindSchema(type: ServedType): JsonObject {
  const custom = type.custom?.schema as JsonObject | undefined;
  const own = (custom?.properties ?? BUILT_IN_FIELDS[type.kind] ?? {}) as JsonObject;
  return {
    ...(custom ?? { type: "object", "x-kubernetes-preserve-unknown-fields": true }),
    properties: {
      ...own,
      ...typeFields(),
      metadata: { allOf: [reference(OBJECT_META)], description: "Standard object's metadata." },
    },
    ...groupVersionKind(type),
  };
}

function field(type: string, description: string): JsonObject {
  return { type, description };
}

const TEXT_MAP: JsonObject = { type: "object", additionalProperties: { type: "string" } };

const SPEC_AND_STATUS: JsonObject = {
  spec: field("object", "What is wanted."),
  status: field("object", "What was last observed."),
};

const BUILT_IN_FIELDS: Readonly<Record<string, JsonObject>> = {
  ConfigMap: {
    data: { ...TEXT_MAP, description: "The configuration data, as text." },
    binaryData: { ...TEXT_MAP, description: "The configuration data, as base64." },
    immutable: field("boolean", "If true, data and binaryData cannot be changed any more."),
  },
  Secret: {
    data: { ...TEXT_MAP, description: "The secret data, as base64." },
    stringData: { ...TEXT_MAP, description: "The secret data as text; write-only." },
    type: field("string", "What the secret is for."),
    immutable: field("boolean", "If true, the data cannot be changed any more."),
  },
  Pod: SPEC_AND_STATUS,
  Namespace: SPEC_AND_STATUS,
  Node: SPEC_AND_STATUS,
  Lease: { spec: field("object", "Who holds the lease, since when and for how long.") },
  CustomResourceDefinition: SPEC_AND_STATUS,
};

const OBJECT_META_SCHEMA: JsonObject = {
  type: "object",
  description: "ObjectMeta is metadata that all persisted resources have.",
  properties: {
    name: field("string", "Unique within a namespace."),
    generateName: field("string", "A prefix, to be made unique by the server."),
    namespace: field("string", "The space within which each name is unique."),
    uid: field("string", "Unique in time and space."),
    resourceVersion: field("string", "The version of this object that clients compare."),
    generation: {
      type: "integer",
      format: "int64",
      description: "Counts changes of what is wanted.",
    },
    creationTimestamp: { type: "string", format: "date-time", description: "When it was created." },
    deletionTimestamp: { type: "string", format: "date-time", description: "When it is to go." },
    deletionGracePeriodSeconds: { type: "integer", format: "int64", description: "Time to end." },
    labels: { ...TEXT_MAP, description: "Keys and values to select by." },
    annotations: { ...TEXT_MAP, description: "Keys and values that nothing selects by." },
    finalizers: {
      type: "array",
      items: { type: "string" },
      description: "Who has to agree before the object goes.",
    },
    ownerReferences: {
      type: "array",
      items: { type: "object" },
      description: "Objects this one depends on.",
    },
    managedFields: {
      type: "array",
      items: { type: "object" },
      description: "Which manager set which field.",
    },
  },
};

const LIST_META_SCHEMA: JsonObject = {
  type: "object",
  description: "ListMeta describes a list.",
  properties: {
    continue: field("string", "Token of the next page."),
    remainingItemCount: { type: "integer", format: "int64", description: "What is left." },
    resourceVersion: field("string", "The version of the list."),
  },
};
