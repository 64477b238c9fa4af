/**
 * CustomResourceDefinitions to served types, and the conditions that the API server gives them. Pure.
 */
import type { JsonValue } from "../runtime/ports/rest.ts";
import { at, isRecord, type KubeObject } from "./objects.ts";
import type { Schema } from "./schema.ts";
import { ALL_VERBS, type PrinterColumn, type ServedType } from "./types.ts";

/** One served type for each served version. */
export function typesOf(crd: KubeObject): ServedType[] {
  const versions = listAt(crd, "spec", "versions");
  const group = textAt(crd, "spec", "group");
  const plural = textAt(crd, "spec", "names", "plural");
  const stored = versions.find((version) => at(version, "storage") === true);
  const kind = textAt(crd, "spec", "names", "kind");
  return versions.filter((version) => at(version, "served") === true).map((version) => ({
    group,
    version: textAt(version, "name"),
    plural,
    singular: textAt(crd, "spec", "names", "singular") || kind.toLowerCase(),
    kind,
    listKind: textAt(crd, "spec", "names", "listKind") || `${kind}List`,
    shortNames: listAt(crd, "spec", "names", "shortNames").map(String),
    categories: listAt(crd, "spec", "names", "categories").map(String),
    namespaced: textAt(crd, "spec", "scope") === "Namespaced",
    subresources: isRecord(at(version, "subresources", "status")) ? ["status"] : [],
    verbs: ALL_VERBS,
    storage: `${group}/${plural}`,
    storageApiVersion: `${group}/${textAt(stored, "name")}`,
    custom: {
      crd: crd.metadata.name,
      schema: at(version, "schema", "openAPIV3Schema") as Schema | undefined,
      preserveUnknown: at(crd, "spec", "preserveUnknownFields") === true,
      selectableFields: listAt(version, "selectableFields").map((field) =>
        textAt(field, "jsonPath")
      ),
      printerColumns: listAt(version, "additionalPrinterColumns") as unknown as PrinterColumn[],
    },
  }));
}

/** The definition once its names are accepted and it is served. */
export function established(crd: KubeObject, now: string): KubeObject {
  const names = at(crd, "spec", "names");
  const conditions = [
    {
      type: "NamesAccepted",
      status: "True",
      lastTransitionTime: now,
      reason: "NoConflicts",
      message: "no conflicts found",
    },
    {
      type: "Established",
      status: "True",
      lastTransitionTime: now,
      reason: "InitialNamesAccepted",
      message: "the initial names have been accepted",
    },
  ];
  const storedVersions = at(crd, "status", "storedVersions") ?? [];
  return { ...crd, status: { conditions, acceptedNames: names, storedVersions } };
}

function textAt(value: unknown, ...path: string[]): string {
  const found = at(value, ...path);
  return typeof found === "string" ? found : "";
}

function listAt(value: unknown, ...path: string[]): readonly JsonValue[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? found : [];
}
