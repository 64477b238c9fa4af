/**
 * kubeconfig files as kubectl reads them: parsing and merging. Pure; `kubeconfig_context.ts` makes
 * sense of a context, `load.ts` does the reading.
 *
 * Merging is client-go's: of entries with one name the first file's counts, whole; `current-context`
 * is the first that is set. Entries remember their file: paths in them are relative to it.
 */
import { parseDocument } from "yaml";

/** A kubeconfig, or an in-cluster environment, that cannot be used as it is. */
export class KubeconfigError extends Error {
  override readonly name = "KubeconfigError";
}

export type Fields = Readonly<Record<string, unknown>>;

export interface Entry {
  readonly file: string;
  readonly fields: Fields;
}

export interface Kubeconfig {
  /** Files read, for messages. */
  readonly files: readonly string[];
  readonly currentContext: string;
  readonly clusters: ReadonlyMap<string, Entry>;
  readonly users: ReadonlyMap<string, Entry>;
  readonly contexts: ReadonlyMap<string, Entry>;
}

/** @throws {KubeconfigError} naming `file` and the field. */
export function parseKubeconfig(text: string, file: string): Kubeconfig {
  const fail = (reason: string, cause?: unknown): never => {
    throw new KubeconfigError(`Cannot read kubeconfig ${file}: ${reason}`, { cause });
  };
  const document = parseDocument(text, { uniqueKeys: false });
  const [error] = document.errors;
  // The parser's own message quotes the line, which may hold a secret.
  if (error) fail(`not YAML at line ${error.linePos?.[0].line ?? "?"} (${error.code})`);
  const root: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  if (!isFields(root)) return fail("not a mapping");
  const { kind = "Config", apiVersion = "v1" } = root;
  if (kind !== "Config" || apiVersion !== "v1") {
    fail(`kind and apiVersion are ${kind}, ${apiVersion} in place of Config, v1`);
  }
  const currentContext = root["current-context"] ?? "";
  if (typeof currentContext !== "string") return fail("current-context is not a string");
  const entries = (list: string, inner: string): Map<string, Entry> => {
    const found = new Map<string, Entry>();
    const items = root[list] ?? [];
    if (!Array.isArray(items)) return fail(`${list} is not a list`);
    for (const [index, item] of items.entries()) {
      const at = `${list}[${index}]`;
      if (!isFields(item)) return fail(`${at} is not a mapping`);
      const name = item["name"];
      if (typeof name !== "string" || name === "") return fail(`${at}.name is missing`);
      const fields = item[inner] ?? {};
      if (!isFields(fields)) return fail(`${at}.${inner} is not a mapping`);
      // As in client-go, of two entries of one name in one file the last counts.
      found.set(name, { file, fields });
    }
    return found;
  };
  return {
    files: [file],
    currentContext,
    clusters: entries("clusters", "cluster"),
    users: entries("users", "user"),
    contexts: entries("contexts", "context"),
  };
}

/** Earlier files win. */
export function mergeKubeconfigs(configs: readonly Kubeconfig[]): Kubeconfig {
  const merge = (part: "clusters" | "users" | "contexts"): Map<string, Entry> => {
    const merged = new Map<string, Entry>();
    for (const config of configs) {
      for (const [name, entry] of config[part]) {
        if (!merged.has(name)) merged.set(name, entry);
      }
    }
    return merged;
  };
  return {
    files: configs.flatMap((config) => config.files),
    currentContext: configs.find((config) => config.currentContext !== "")?.currentContext ?? "",
    clusters: merge("clusters"),
    users: merge("users"),
    contexts: merge("contexts"),
  };
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
