/**
 * Decoding: from JSON of anywhere to checked values, or to everything that is wrong with it.
 *
 * Guarantees: all problems at once, each with its field path; defaults applied as the API server
 * applies them; a null field is an absent one, as it is there. Fields that the schema does not know (of another version
 * of the CRD, misspelled) are dropped and named as warnings, never an error. Never throws for bad input.
 */
import type { z } from "zod";
import { STRUCTURAL_SCHEMA, type StructuralSchema } from "./crd.ts";
import { pcmcSchema, type PodConfigMapConfig } from "./schema.ts";
import { type PcmcSpec, specSchema } from "./spec_schema.ts";
import { type PcmcStatus, statusSchema } from "./status_schema.ts";

export interface Problem {
  /** Such as `spec.ebpfConfig.l4Firewall.allowedPorts[3]`. */
  readonly path: string;
  /** Reads on from the path: `must be 1..65535, got 70000`. */
  readonly message: string;
}

export type Decoded<T> =
  | { readonly ok: true; readonly value: T; readonly warnings: readonly Problem[] }
  | {
    readonly ok: false;
    readonly problems: readonly Problem[];
    readonly warnings: readonly Problem[];
  };

type Path = readonly PropertyKey[];

/** Decodes a whole object, as a manifest holds it. */
export function decodePcmc(input: unknown): Decoded<PodConfigMapConfig> {
  return decode(pcmcSchema, input, []);
}

/** Decodes `spec` alone; paths begin with `spec`. An absent spec is an empty one. */
export function decodeSpec(input: unknown): Decoded<PcmcSpec> {
  return decode(specSchema, input ?? {}, ["spec"]);
}

/**
 * What eBPF programs depend on, apart from the rest of the spec, so that a mistake elsewhere in it (a template
 * that does not parse) opens no port.
 */
export function decodeEbpfPart(
  input: unknown,
): Decoded<Pick<PcmcSpec, "podSelector" | "ebpfConfig">> {
  const { podSelector, ebpfConfig } = (input ?? {}) as Record<string, unknown>;
  return decode(ebpfPartSchema, { podSelector, ebpfConfig }, ["spec"]);
}

const ebpfPartSchema = specSchema.pick({ podSelector: true, ebpfConfig: true });

/** The status as it stands; an unusable one counts as none: it is ours to write anew. */
export function decodeStatus(input: unknown): PcmcStatus {
  const result = statusSchema.safeParse(withoutNulls(input ?? {}));
  return result.success ? result.data : {};
}

/** `spec.labelsToInclude[0]: must be a label key, got "-"` */
export function formatProblem({ path, message }: Problem): string {
  return path === "" ? message : `${path}: ${message}`;
}

function decode<T>(schema: z.ZodType<T>, input: unknown, base: Path): Decoded<T> {
  const value = withoutNulls(input);
  const warnings: Problem[] = [];
  const problems: Problem[] = [];
  inspectKeys(value, { schema: schemaAt(base), path: base, warnings, problems });
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success && problems.length === 0) return { ok: true, value: result.data, warnings };
  for (const issue of result.error?.issues ?? []) {
    const path = [...base, ...issue.path];
    problems.push({ path: formatPath(path), message: describe(issue, schemaAt(path)) });
  }
  return { ok: false, problems, warnings };
}

/** Drops null members of objects, at any depth; a null in a list stays, and is an error. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  // Not by assignment: `__proto__` is a possible key.
  return Object.fromEntries(
    Object.entries(value).filter(([, member]) => member !== null)
      .map(([key, member]) => [key, withoutNulls(member)]),
  );
}

function schemaAt(path: Path): StructuralSchema | undefined {
  let node: StructuralSchema | undefined = STRUCTURAL_SCHEMA;
  for (const step of path) {
    if (node === undefined) return undefined;
    if (typeof step === "number") node = node.items;
    else if (node.properties === undefined) node = node.additionalProperties;
    else node = Object.hasOwn(node.properties, step) ? node.properties[String(step)] : undefined;
  }
  return node;
}

interface KeyInspection {
  readonly schema: StructuralSchema | undefined;
  readonly path: Path;
  readonly warnings: Problem[];
  readonly problems: Problem[];
}

/** Finds what zod passes over in silence: fields it does not know, and the map key `__proto__`. */
function inspectKeys(value: unknown, at: KeyInspection): void {
  const { schema, path, warnings, problems } = at;
  if (typeof value !== "object" || value === null || schema === undefined) return;
  if (Array.isArray(value)) {
    value.forEach((item, index) =>
      inspectKeys(item, { ...at, schema: schema.items, path: [...path, index] })
    );
    return;
  }
  for (const [key, member] of Object.entries(value)) {
    const below = [...path, key];
    if (schema.additionalProperties !== undefined) {
      if (key !== "__proto__") continue;
      problems.push({ path: formatPath(below), message: "must not have the key __proto__" });
    } else if (schema.properties === undefined) return;
    else if (Object.hasOwn(schema.properties, key)) {
      inspectKeys(member, { ...at, schema: schema.properties[key], path: below });
    } else warnings.push({ path: formatPath(below), message: "unknown field, ignored" });
  }
}

/** `a.b[0]["odd key"]` */
export function formatPath(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[A-Za-z_]\w*$/.test(String(step))) {
      text += text === "" ? String(step) : `.${String(step)}`;
    } else text += `[${JSON.stringify(step)}]`;
  }
  return text;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a map",
  record: "a map",
};

function describe(issue: z.core.$ZodIssue, schema: StructuralSchema | undefined): string {
  const got = `got ${show(issue.input)}`;
  switch (issue.code) {
    case "invalid_type":
      if (issue.input === undefined) return "is required";
      return `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}, ${got}`;
    case "too_big":
    case "too_small":
      return describeBound(issue, schema);
    case "invalid_value":
      return issue.values.length === 1
        ? `must be ${String(issue.values[0])}, ${got}`
        : `must be one of ${issue.values.map(String).join(", ")}, ${got}`;
    case "custom":
      return issue.message;
    default:
      return `${issue.message}, ${got}`;
  }
}

function describeBound(
  issue: z.core.$ZodIssueTooBig | z.core.$ZodIssueTooSmall,
  schema: StructuralSchema | undefined,
): string {
  const { input } = issue;
  if (Array.isArray(input)) {
    const limit = issue.code === "too_big"
      ? `at most ${issue.maximum}`
      : `at least ${issue.minimum}`;
    return `must have ${limit} entries, has ${input.length}`;
  }
  if (typeof input === "string") return "must not be empty";
  return `must be ${schema?.minimum}..${schema?.maximum}, got ${show(input)}`;
}

/** A value for people: JSON, cut short. */
function show(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value);
  return json.length <= 80 ? json : `${json.slice(0, 80)}...`;
}
