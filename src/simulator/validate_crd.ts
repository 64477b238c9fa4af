/** Defaults and checks of a CustomResourceDefinition, as far as a broken one would mislead. Pure. */
import { at, isRecord, type KubeObject } from "./objects.ts";
import { type FieldCause, fieldInvalid, fieldRequired, fieldUnsupported } from "./status.ts";

export function defaultCrd(draft: Record<string, unknown>): void {
  defaultNames(draft);
  const versions = at(draft["spec"], "versions");
  const stored = Array.isArray(versions)
    ? versions.filter((version) => at(version, "storage") === true).map((version) =>
      at(version, "name")
    )
    : [];
  draft["status"] = {
    conditions: null,
    acceptedNames: { plural: "", kind: "" },
    storedVersions: stored,
  };
}

export function defaultNames(draft: Record<string, unknown>): void {
  const spec = draft["spec"];
  if (!isRecord(spec) || !isRecord(spec["names"])) return;
  const names = spec["names"];
  const kind = typeof names["kind"] === "string" ? names["kind"] : "";
  spec["names"] = { ...names };
  spec["names"]["singular"] ??= kind.toLowerCase();
  spec["names"]["listKind"] ??= `${kind}List`;
  spec["conversion"] ??= { strategy: "None" };
}

export function validateCrd(object: KubeObject): FieldCause[] {
  const causes: FieldCause[] = [];
  const group = at(object, "spec", "group");
  const plural = at(object, "spec", "names", "plural");
  if (`${plural}.${group}` !== object.metadata.name) {
    const why = 'must be spec.names.plural+"."+spec.group';
    causes.push(fieldInvalid("metadata.name", object.metadata.name, why));
  }
  if (!at(object, "spec", "names", "kind")) causes.push(fieldRequired("spec.names.kind"));
  const scope = at(object, "spec", "scope");
  if (!scope) causes.push(fieldRequired("spec.scope"));
  else if (scope !== "Namespaced" && scope !== "Cluster") {
    causes.push(fieldUnsupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  }
  const versions = at(object, "spec", "versions");
  const list = Array.isArray(versions) ? versions : [];
  if (list.filter((version) => at(version, "storage") === true).length !== 1) {
    const why = "must have exactly one version marked as storage version";
    causes.push(fieldInvalid("spec.versions", list, why));
  }
  list.forEach((version, index) => {
    if (!isRecord(at(version, "schema", "openAPIV3Schema"))) {
      const field = `spec.versions[${index}].schema.openAPIV3Schema`;
      causes.push(fieldRequired(field, "schemas are required"));
    }
  });
  return causes;
}
