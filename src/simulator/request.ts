/**
 * Requests and responses of the simulated API server, below HTTP and below the REST port: both fronts
 * (in process, and over HTTP) speak these. Also: which resource a path names, and the verb of a method on it.
 */
import type { JsonValue } from "../runtime/ports/rest.ts";
import { methodNotAllowed, pathNotFound, resourceNotFound } from "./status.ts";
import { apiVersionOf, type ServedType, type TypeRegistry } from "./types.ts";

export interface ApiRequest {
  readonly method: string;
  /** Absolute, without a query; percent-encoded as on the wire. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly accept?: string;
  readonly contentType?: string;
  /** The body's bytes, or the body parsed already. Not both. */
  readonly bodyBytes?: Uint8Array;
  readonly bodyJson?: JsonValue;
  /** Who asks, for the write log. */
  readonly user: string;
  /** Aborting it ends a watch. */
  readonly signal?: AbortSignal;
}

/** A body that is made in the form its receiver needs. */
export interface ApiBody {
  text(): string;
  /** A copy that its receiver may change. */
  value(): JsonValue;
}

export interface ApiResponse {
  /** HTTP status code. */
  readonly status: number;
  readonly contentType: string;
  /** Texts of `Warning: 299` headers. */
  readonly warnings: readonly string[];
  /** Seconds, as `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** The answer, unless it is a watch. */
  readonly body?: ApiBody;
  /** A watch: newline-delimited JSON. */
  readonly stream?: ReadableStream<Uint8Array>;
}

export type Verb =
  | "get"
  | "list"
  | "watch"
  | "create"
  | "update"
  | "patch"
  | "delete"
  | "deletecollection";

/** What a path below `/api` or `/apis` names. */
export interface Target {
  readonly type: ServedType;
  /** Empty for cluster-scoped types and for lists over all namespaces. */
  readonly namespace: string;
  /** Empty for collections. */
  readonly name: string;
  readonly subresource: string;
}

/** @throws {StatusError} 404 as the server words it for paths of no group and for unknown resources. */
export function parsePath(path: string, registry: TypeRegistry): Target {
  const parts = path.split("/").slice(1).map(decodeSegment);
  const root = parts.shift();
  if (root !== "api" && root !== "apis") throw pathNotFound();
  const apiVersion = parts.splice(0, root === "api" ? 1 : 2).join("/");
  if (!registry.hasGroupVersion(apiVersion) || (root === "api") === apiVersion.includes("/")) {
    throw pathNotFound();
  }
  if (parts.at(-1) === "") parts.pop();
  let namespace = "";
  // `namespaces/x/status` is a Namespace's subresource, `namespaces/x/pods` a collection within it.
  const inside = parts[0] === "namespaces" && parts[2] !== undefined &&
    (apiVersion !== "v1" || !["status", "finalize"].includes(parts[2]));
  if (inside) namespace = parts.splice(0, 2)[1] ?? "";
  const [plural = "", name = "", subresource = "", ...rest] = parts;
  const type = registry.byPath(apiVersion, plural);
  if (type === undefined || rest.length > 0) throw resourceNotFound();
  const misplaced = type.namespaced ? namespace === "" && name !== "" : namespace !== "";
  if (misplaced) throw resourceNotFound();
  if (subresource !== "" && !type.subresources.includes(subresource)) throw resourceNotFound();
  return { type, namespace, name, subresource };
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** @throws {StatusError} 405 */
export function verbOf(method: string, target: Target, watch: boolean): Verb {
  const verb = target.subresource !== ""
    ? SUBRESOURCE_VERBS[target.subresource]?.[method]
    : target.name !== ""
    ? OBJECT_VERBS[method]
    : collectionVerb(method, target, watch);
  if (verb === undefined || (target.subresource === "" && !target.type.verbs.includes(verb))) {
    throw methodNotAllowed();
  }
  return verb;
}

function collectionVerb(method: string, target: Target, watch: boolean): Verb | undefined {
  if (method === "GET") return watch ? "watch" : "list";
  if (target.type.namespaced && target.namespace === "") return undefined;
  return ({ POST: "create", DELETE: "deletecollection" } as const)[method as "POST"];
}

const OBJECT_VERBS: Readonly<Record<string, Verb>> = {
  GET: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

const SUBRESOURCE_VERBS: Readonly<Record<string, Readonly<Record<string, Verb>>>> = {
  status: { GET: "get", PUT: "update", PATCH: "patch" },
  binding: { POST: "create" },
  finalize: { PUT: "update" },
};

/** "pods" or "leases.coordination.k8s.io", with the version where it matters. */
export function describeTarget({ type, namespace, name, subresource }: Target): string {
  const place = [namespace, name, subresource].filter((part) => part !== "").join("/");
  return `${apiVersionOf(type)} ${type.plural}${place === "" ? "" : ` ${place}`}`;
}

/** Go's reading of a boolean query parameter. */
export function flagOf(query: URLSearchParams, name: string): boolean | undefined {
  const value = query.get(name);
  if (value === null) return undefined;
  return !["", "0", "false"].includes(value.toLowerCase());
}
