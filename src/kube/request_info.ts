/**
 * What a request asks of Kubernetes, in RBAC's terms, and what rule would have allowed it. Pure.
 */
import { KubeApiError } from "../runtime/ports/errors.ts";
import type { RequestOptions } from "../runtime/ports/rest.ts";

export interface RequestInfo {
  readonly verb: string;
  /** Empty for the core group. */
  readonly group: string;
  /** Plural name, with the subresource after a slash; empty when the path is not a resource's. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

type Request = Pick<RequestOptions, "method" | "path" | "querystring">;

/** Reads a request as kube-apiserver's authorizer does. */
export function describeRequest(request: Request): RequestInfo {
  const parts = request.path.split("/").filter((part) => part !== "").map(decodeURIComponent);
  const core = parts[0] === "api";
  const isResource = (core && parts.length >= 3) || (parts[0] === "apis" && parts.length >= 4);
  if (!isResource) {
    const verb = request.method.toLowerCase();
    return { verb, group: "", resource: "", namespace: "", name: "" };
  }
  const group = core ? "" : parts[1] ?? "";
  let rest = parts.slice(core ? 2 : 3);
  let namespace = "";
  // `namespaces/x` itself, its status and its finalizer are resources; anything below is in x.
  const inNamespace = rest[0] === "namespaces" && rest.length >= 3 &&
    rest[2] !== "status" && rest[2] !== "finalize";
  if (inNamespace) {
    namespace = rest[1] ?? "";
    rest = rest.slice(2);
  }
  const [plural = "", name = "", subresource] = rest;
  return {
    verb: verbOf(request, name),
    group,
    resource: subresource === undefined ? plural : `${plural}/${subresource}`,
    namespace,
    name,
  };
}

function verbOf(request: Request, name: string): string {
  const watch = request.querystring?.get("watch") ?? "";
  switch (request.method) {
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return name === "" ? "deletecollection" : "delete";
    default:
      if (watch === "1" || watch === "true") return "watch";
      return name === "" ? "list" : "get";
  }
}

/**
 * Which RBAC rule a 403 asks for, such as
 * `needs RBAC rule: apiGroups [""] resources ["pods"] verbs ["list"] at the cluster scope`.
 * Undefined when RBAC was not what refused it (a quota, an admission webhook, a namespace on its
 * way out).
 */
export function explainForbidden(error: KubeApiError, request: Request): string | undefined {
  if (error.status !== 403) return undefined;
  const denial = /\bcannot [a-z]+ (?:resource|path) "/.test(error.message);
  if (!denial || error.hasCause("NamespaceTerminating")) return undefined;
  const info = describeRequest(request);
  const list = (...items: string[]) => `[${items.map((item) => JSON.stringify(item)).join(", ")}]`;
  const user = /User "([^"]+)"/.exec(error.message)?.[1];
  const whom = user === undefined ? "" : ` for user ${JSON.stringify(user)}`;
  if (info.resource === "") {
    return `needs RBAC rule: nonResourceURLs ${list(request.path)} verbs ${list(info.verb)}${whom}`;
  }
  const where = info.namespace === ""
    ? "at the cluster scope"
    : `in namespace ${JSON.stringify(info.namespace)}`;
  return `needs RBAC rule: apiGroups ${list(info.group)} resources ${list(info.resource)} ` +
    `verbs ${list(info.verb)} ${where}${whom}`;
}

/** The same refusal; where a rule is missing, its message names that. */
export function withMissingRule(error: KubeApiError, request: Request): KubeApiError {
  const rule = explainForbidden(error, request);
  if (rule === undefined) return error;
  const { status, reason, details, retryAfterMs } = error;
  const message = `${error.message}; ${rule}`;
  return new KubeApiError({
    status,
    reason,
    message,
    details,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
