/**
 * `meta.k8s.io/v1` Table and PartialObjectMetadata: the views of objects that clients ask for with the
 * `as=` parameter of `Accept`; kubectl prints what these cells say.
 *
 * Guarantees: the column names, types, formats, priorities and cells of kube-apiserver for the types it
 * knows, a name and an age for the rest, `additionalPrinterColumns` for custom resources. Column
 * descriptions are shorter than the server's.
 */
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";
import { humanAge } from "./human_duration.ts";
import { compileJsonPath } from "./json_path.ts";
import { isObject } from "./schema.ts";
import { type BuiltInColumn, builtInColumns } from "./table_columns.ts";
import type { PrinterColumn, ServedType } from "./types.ts";

export type TableColumn = BuiltInColumn;

/** A custom resource's columns are those of its CRD, else those of the type. */
export function tableColumns(type: ServedType): readonly TableColumn[] {
  if (type.custom === undefined) return builtInColumns(type.group, type.plural);
  const columns: readonly PrinterColumn[] = type.custom.printerColumns.length > 0
    ? type.custom.printerColumns
    : [{ name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" }];
  return [NAME_COLUMN, ...columns.map(customColumn)];
}

const NAME_COLUMN: TableColumn = {
  name: "Name",
  type: "string",
  format: "name",
  description: "Name must be unique within a namespace.",
  cell: (object) => metadataOf(object).name ?? "",
};

function customColumn(column: PrinterColumn): TableColumn {
  const path = compileJsonPath(column.jsonPath);
  return {
    name: column.name,
    type: column.type,
    format: column.format ?? "",
    description: column.description ??
      `Custom resource definition column (in JSONPath format): ${column.jsonPath}`,
    priority: column.priority ?? 0,
    cell: (object, now) => customCell(column.type, path(object), now),
  };
}

function customCell(type: string, found: readonly JsonValue[], now: number): JsonValue {
  const [value] = found;
  if (value === undefined || value === null) return null;
  switch (type) {
    case "integer":
      return typeof value === "number" ? Math.trunc(value) : null;
    case "number":
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "date":
      return humanAge(String(value), now);
    default:
      // Several matches of one path are joined with commas.
      return found.map((item) => typeof item === "string" ? item : JSON.stringify(item)).join(",");
  }
}

export type IncludeObject = "None" | "Metadata" | "Object";

export interface TableOptions {
  readonly columns: readonly TableColumn[];
  /** `metadata` of the table: the list's, or `{ resourceVersion }` of the one object. */
  readonly listMetadata: JsonObject;
  /** The `includeObject` parameter; the server's default is Metadata. */
  readonly includeObject: IncludeObject;
  /** Wall clock in ms, for ages. */
  readonly now: number;
  /** False for all but the first event of a watch, which carry `columnDefinitions: null`. */
  readonly withDefinitions: boolean;
}

/** One row per object. */
export function toTable(objects: readonly JsonObject[], options: TableOptions): JsonObject {
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: options.listMetadata,
    columnDefinitions: options.withDefinitions
      ? options.columns.map(({ name, type, format, description, priority }) => ({
        name,
        type,
        format: format ?? "",
        description,
        priority: priority ?? 0,
      }))
      : null,
    rows: objects.map((object) => ({
      cells: options.columns.map((column) => column.cell(object, options.now) ?? null),
      object: rowObject(object, options.includeObject),
    })),
  };
}

function rowObject(object: JsonObject, include: IncludeObject): JsonValue {
  if (include === "None") return null;
  return include === "Object" ? object : toPartialObjectMetadata(object);
}

/** The metadata alone, as `as=PartialObjectMetadata` asks. */
export function toPartialObjectMetadata(object: JsonObject): JsonObject {
  return {
    kind: "PartialObjectMetadata",
    apiVersion: "meta.k8s.io/v1",
    metadata: object.metadata,
  };
}

function metadataOf(object: JsonObject): JsonObject {
  return isObject(object.metadata) ? object.metadata : {};
}

/** How a client wants objects: whole, as a table, or their metadata. */
export type View = "whole" | "table" | "metadata";

/**
 * The first view of an `Accept` header that can be served; `undefined` when none can (406). Protobuf,
 * CBOR and other versions of the views cannot.
 */
export function negotiateView(accept: string | undefined): View | undefined {
  for (const clause of (accept || "*/*").split(",")) {
    const [media = "", ...parameters] = clause.split(";").map((part) => part.trim());
    if (!["application/json", "*/*", "application/*"].includes(media)) continue;
    const value = (name: string) =>
      parameters.find((parameter) => parameter.startsWith(`${name}=`))?.slice(name.length + 1);
    const as = value("as");
    if (as === undefined) return "whole";
    if (value("g") !== "meta.k8s.io" || value("v") !== "v1") continue;
    if (as === "Table") return "table";
    if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return "metadata";
  }
  return undefined;
}
