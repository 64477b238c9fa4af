/**
 * Reads manifests: YAML or JSON, several documents a file, `List` objects taken apart.
 *
 * Every problem names the file and the line. Nothing is checked here beyond "is an object with a
 * kind"; what the objects say is the caller's affair.
 */
import {
  type DocumentOptions,
  parseAllDocuments,
  type ParseOptions,
  type ScalarTag,
  type SchemaOptions,
} from "yaml";
import type { Problem } from "../api/decode.ts";
import type { Shell } from "./shell.ts";

/** YAML 1.1 as kubectl reads it: `yes` is true and `<<` merges, but 12:30 and 2001-01-01 are strings. */
const AS_KUBECTL: ParseOptions & DocumentOptions & SchemaOptions = {
  version: "1.1",
  customTags: (tags) =>
    tags.filter((tag) =>
      typeof tag === "string" ||
      !(tag.tag === "tag:yaml.org,2002:timestamp" || (isScalarTag(tag) && tag.format === "TIME"))
    ),
};

/** Errors told of one document: the first has mostly caused the others. */
const PARSE_ERRORS_MAX = 3;

export interface Manifest {
  /** As the user named it; `stdin` for `-`. */
  readonly file: string;
  /** 1-based position of the document in its file. */
  readonly document: number;
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: Readonly<Record<string, unknown>>;
}

/** @throws {ManifestError} naming every file that cannot be read and every document that is no manifest. */
export async function readManifests(
  files: readonly string[],
  shell: Pick<Shell, "readTextFile" | "readStandardInput">,
): Promise<Manifest[]> {
  const manifests: Manifest[] = [];
  const problems: string[] = [];
  for (const path of files) {
    const file = path === "-" ? "stdin" : path;
    try {
      const text = path === "-" ? await shell.readStandardInput() : await shell.readTextFile(path);
      manifests.push(...parseManifests(text, file, problems));
    } catch (error) {
      // Deno adds the system's number of the error, and the path anew.
      const reason = (error as Error).message.replace(/ \(os error \d+\)[\s\S]*$/, "");
      problems.push(`Cannot read ${file}: ${reason}`);
    }
  }
  if (problems.length > 0) throw new ManifestError(problems);
  return manifests;
}

export class ManifestError extends Error {
  override readonly name = "ManifestError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

function parseManifests(text: string, file: string, problems: string[]): Manifest[] {
  const manifests: Manifest[] = [];
  const broken = /[\0\ufffd]/.exec(text);
  if (broken !== null) {
    const line = text.slice(0, broken.index).split("\n").length;
    problems.push(`Cannot parse ${file}: not a text in UTF-8, see line ${line}`);
    return manifests;
  }
  parseAllDocuments(text, AS_KUBECTL).forEach((document, index) => {
    const position = index + 1;
    if (document.errors.length > 0) {
      for (const { message } of document.errors.slice(0, PARSE_ERRORS_MAX)) {
        problems.push(`Cannot parse ${file}: ${message.split("\n")[0]?.replace(/:$/, "")}`);
      }
      const more = document.errors.length - PARSE_ERRORS_MAX;
      if (more > 0) problems.push(`Cannot parse ${file}: ${more} more such errors`);
      return;
    }
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: 100 });
    } catch (error) {
      problems.push(`Cannot parse ${file}, document ${position}: ${(error as Error).message}`);
      return;
    }
    // An empty document, such as after a trailing `---`.
    if (value === null || value === undefined) return;
    collect(value, { file, document: position }, { manifests, problems });
  });
  return manifests;
}

function collect(
  value: unknown,
  at: { file: string; document: number },
  into: { manifests: Manifest[]; problems: string[] },
): void {
  const where = `${at.file}, document ${at.document}`;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    into.problems.push(`Cannot use ${where}: not an object`);
    return;
  }
  const object = value as Record<string, unknown>;
  const { kind, apiVersion } = object;
  if (typeof kind !== "string" || typeof apiVersion !== "string") {
    into.problems.push(`Cannot use ${where}: apiVersion and kind are required`);
    return;
  }
  if (kind.endsWith("List") && Array.isArray(object["items"])) {
    for (const item of object["items"]) collect(item, at, into);
    return;
  }
  const metadata = (object["metadata"] ?? {}) as Record<string, unknown>;
  const text = (field: string) =>
    typeof metadata[field] === "string" ? metadata[field] as string : "";
  into.manifests.push({
    ...at,
    apiVersion,
    kind,
    namespace: text("namespace"),
    name: text("name"),
    object,
  });
}

function isScalarTag(tag: object): tag is ScalarTag {
  return "format" in tag;
}

const NAME_PART = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

/** What an API server would say against the metadata of a namespaced object such as a Pod. */
export function metadataProblems(manifest: Manifest): Problem[] {
  const metadata = manifest.object["metadata"] ?? {};
  if (typeof metadata !== "object" || Array.isArray(metadata)) {
    return [{ path: "metadata", message: `must be a map, got ${JSON.stringify(metadata)}` }];
  }
  const { name, namespace, labels, annotations } = metadata as Record<string, unknown>;
  const problems: Problem[] = [];
  if (name === undefined || name === null || name === "") {
    problems.push({ path: "metadata.name", message: "is required" });
  } else if (!isName(name, 253)) {
    const message = `must be a name in lower case, got ${JSON.stringify(name)}`;
    problems.push({ path: "metadata.name", message });
  }
  if (namespace !== undefined && namespace !== null && namespace !== "") {
    if (!isName(namespace, 63) || namespace.includes(".")) {
      const message = `must be a namespace's name, got ${JSON.stringify(namespace)}`;
      problems.push({ path: "metadata.namespace", message });
    }
  }
  problems.push(...stringMapProblems("metadata.labels", labels));
  problems.push(...stringMapProblems("metadata.annotations", annotations));
  return problems;
}

function isName(value: unknown, max: number): value is string {
  return typeof value === "string" && value.length <= max &&
    value.split(".").every((part) => NAME_PART.test(part));
}

/** YAML reads `version: 1.0` as a number, which the API server refuses. */
function stringMapProblems(path: string, value: unknown): Problem[] {
  if (value === undefined || value === null) return [];
  if (typeof value !== "object" || Array.isArray(value)) {
    return [{ path, message: `must be a map, got ${JSON.stringify(value)}` }];
  }
  return Object.entries(value).filter(([, text]) => typeof text !== "string").map((
    [key, text],
  ) => ({
    path: `${path}[${JSON.stringify(key)}]`,
    message: `must be a string, got ${JSON.stringify(text)}: quote it`,
  }));
}
