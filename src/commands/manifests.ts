/**
 * Reads manifests: YAML or JSON, several documents a file, `List` objects taken apart.
 *
 * Every problem names the file and the line. Nothing is checked here beyond "is an object with a
 * kind"; what the objects say is the caller's affair.
 */
import { parseAllDocuments } from "yaml";
import type { Shell } from "./shell.ts";

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
      problems.push(`Cannot read ${file}: ${(error as Error).message}`);
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
  parseAllDocuments(text, { prettyErrors: true }).forEach((document, index) => {
    const position = index + 1;
    if (document.errors.length > 0) {
      for (const { message } of document.errors) {
        problems.push(`Cannot parse ${file}: ${message.split("\n")[0]?.replace(/:$/, "")}`);
      }
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
