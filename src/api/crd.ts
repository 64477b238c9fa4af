/**
 * The CustomResourceDefinition, derived from the schema.
 *
 * Guarantees: a structural schema, made of a closed set of keywords; a schema change that OpenAPI
 * cannot express fails here, not in a cluster. Pure: `scripts/manifests.ts` writes the file.
 */
import { z } from "zod";
import { assert } from "../lib/assert.ts";
import { pcmcSchema } from "./schema.ts";
import { API_GROUP, API_VERSION, PCMC_KIND, PCMC_PLURAL } from "./well_known.ts";

/** One node of a structural schema. */
export interface StructuralSchema {
  readonly type: "object" | "array" | "string" | "integer" | "boolean";
  readonly description?: string;
  readonly properties?: Readonly<Record<string, StructuralSchema>>;
  readonly additionalProperties?: StructuralSchema;
  readonly items?: StructuralSchema;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly "x-kubernetes-validations"?: readonly Readonly<Record<string, string>>[];
  readonly "x-kubernetes-list-type"?: "set" | "map" | "atomic";
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-map-type"?: "atomic" | "granular";
}

const SCALAR_KEYWORDS = new Set([
  "type",
  "description",
  "required",
  "enum",
  "default",
  "format",
  "pattern",
  "minimum",
  "maximum",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "maxProperties",
  "x-kubernetes-validations",
  "x-kubernetes-list-type",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-map-type",
]);

type Raw = Readonly<Record<string, unknown>>;

function toStructural(raw: Raw, path: string): StructuralSchema {
  const node: Record<string, unknown> = {};
  for (const [keyword, value] of Object.entries(raw)) {
    if (keyword === "properties") {
      node[keyword] = Object.fromEntries(
        Object.entries(value as Record<string, Raw>)
          .map(([name, child]) => [name, toStructural(child, `${path}.${name}`)]),
      );
    } else if (keyword === "items" || keyword === "additionalProperties") {
      node[keyword] = toStructural(value as Raw, `${path}.${keyword}`);
    } else if (keyword === "pattern") {
      // JavaScript writes a slash of a pattern escaped; RE2 needs no escape.
      node[keyword] = (value as string).replaceAll("\\/", "/");
    } else {
      assert(SCALAR_KEYWORDS.has(keyword), `schema ${path}: ${keyword} has no place in a CRD`);
      node[keyword] = value;
    }
  }
  assert(typeof node["type"] === "string", `schema ${path} has no single type`);
  return node as unknown as StructuralSchema;
}

function deriveRoot(): StructuralSchema {
  const raw = z.toJSONSchema(pcmcSchema, { target: "openapi-3.0", io: "input" }) as Raw;
  const properties = raw["properties"] as Record<string, Raw>;
  return {
    description: String(raw["description"]),
    type: "object",
    properties: {
      apiVersion: { type: "string", description: "Group and version of this representation." },
      kind: { type: "string", description: "Kind of this object." },
      // The API server has its own schema of metadata and accepts no other.
      metadata: { type: "object" },
      spec: toStructural(properties["spec"] as Raw, "spec"),
      status: toStructural(properties["status"] as Raw, "status"),
    },
  };
}

/** The schema of the CRD's only version. */
export const STRUCTURAL_SCHEMA: StructuralSchema = deriveRoot();

const conditionColumn = (type: string, field: string) =>
  `.status.conditions[?(@.type=="${type}")].${field}`;

const PRINTER_COLUMNS = [
  { name: "Ready", type: "string", jsonPath: conditionColumn("Ready", "status") },
  { name: "Pods", type: "integer", jsonPath: ".status.matchedPods" },
  { name: "ConfigMaps", type: "integer", jsonPath: ".status.configMaps" },
  { name: "eBPF", type: "string", jsonPath: conditionColumn("EbpfApplied", "status") },
  { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  { name: "Reason", type: "string", jsonPath: conditionColumn("Ready", "reason"), priority: 1 },
];

/** The manifest as `kubectl apply` takes it. */
export function customResourceDefinition() {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${PCMC_PLURAL}.${API_GROUP}` },
    spec: {
      group: API_GROUP,
      scope: "Namespaced",
      names: {
        kind: PCMC_KIND,
        listKind: `${PCMC_KIND}List`,
        plural: PCMC_PLURAL,
        singular: PCMC_KIND.toLowerCase(),
        shortNames: ["pcmc"],
        categories: ["podconfig"],
      },
      versions: [{
        name: API_VERSION,
        served: true,
        storage: true,
        additionalPrinterColumns: PRINTER_COLUMNS,
        schema: { openAPIV3Schema: STRUCTURAL_SCHEMA },
        subresources: { status: {} },
      }],
    },
  };
}
