/** Sets of Pod fields, as template analysis gives them (`template/reach.ts`). Pure. */
import type { FieldPath, FieldPaths } from "./template/mod.ts";

/** Paths from the Pod's root, each with all that is below it; "all": the whole Pod. */
export type PodFields = FieldPaths | "all";

export function unionOfFields(one: PodFields, other: PodFields): PodFields {
  if (one === "all" || other === "all") return "all";
  const added = other.filter((path) => !isCovered(one, path));
  const kept = one.filter((path) => !isCovered(added, path));
  return [...kept, ...added];
}

/** Whether whatever `needed` names is among `fields`. */
export function coversFields(fields: PodFields, needed: PodFields): boolean {
  if (fields === "all") return true;
  return needed !== "all" && needed.every((path) => isCovered(fields, path));
}

/** `*` stands for every element, and so covers each of them. */
function isCovered(fields: FieldPaths, path: FieldPath): boolean {
  return fields.some((prefix) =>
    prefix.length <= path.length &&
    prefix.every((step, index) => step === "*" || step === path[index])
  );
}
