/**
 * Discovery documents: which groups, versions and resources are served.
 *
 * Guarantees: `/version`, `/api`, `/apis`, `/apis/<group>`, `/api/v1`, `/apis/<group>/<version>`, and the
 * aggregated form (apidiscovery.k8s.io/v2) of `/api` and `/apis` when `Accept` asks for it first.
 * It keeps no state: the caller hands in what is served at the moment.
 */
import type { JsonObject } from "../runtime/ports/rest.ts";
import type { ServedType } from "./types.ts";

export interface Discovered {
  readonly contentType: string;
  readonly body: JsonObject;
}

const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/** Version of Kubernetes whose behaviour is simulated. */
export const KUBERNETES_VERSION = { major: "1", minor: "37", gitVersion: "v1.37.2" };

/**
 * The document at `path`, or undefined when there is none. `served` is in the order of preference: the
 * first version of a group is its preferred one.
 */
export function discover(
  path: string,
  accept: string | undefined,
  served: readonly ServedType[],
): Discovered | undefined {
  const [, root, group, version, ...rest] = path.replace(/\/$/, "").split("/");
  if (rest.length > 0) return undefined;
  if (root === "version" && group === undefined) return json(versionInfo());
  if (root === "api") {
    const core = served.filter((resource) => resource.group === "");
    if (group === undefined) {
      return wantsAggregated(accept) ? aggregated(core) : json(apiVersions(core));
    }
    return version === undefined ? resourceList("", group, served) : undefined;
  }
  if (root !== "apis") return undefined;
  if (group === undefined) {
    const named = served.filter((resource) => resource.group !== "");
    return wantsAggregated(accept)
      ? aggregated(named)
      : json({ kind: "APIGroupList", apiVersion: "v1", groups: groupsOf(named).map(apiGroup) });
  }
  if (version !== undefined) return resourceList(group, version, served);
  const known = groupsOf(served).find(({ name }) => name === group && name !== "");
  return known && json({ kind: "APIGroup", apiVersion: "v1", ...apiGroup(known) });
}

function json(body: JsonObject): Discovered {
  return { contentType: "application/json", body };
}

function wantsAggregated(accept = ""): boolean {
  // In the order of preference: plain JSON before it means that the old form is wanted.
  for (const clause of accept.split(",")) {
    const parts = clause.split(";").map((part) => part.trim());
    if (parts[0] !== "application/json" && parts[0] !== "*/*") continue;
    if (!parts.some((part) => part.startsWith("as="))) return false;
    if (
      ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"].every((part) =>
        parts.includes(part)
      )
    ) {
      return true;
    }
  }
  return false;
}

function versionInfo(): JsonObject {
  return {
    ...KUBERNETES_VERSION,
    gitCommit: "simulated",
    gitTreeState: "clean",
    buildDate: "1970-01-01T00:00:00Z",
    goVersion: "none",
    compiler: "none",
    platform: "simulator/none",
  };
}

function apiVersions(core: readonly ServedType[]): JsonObject {
  return {
    kind: "APIVersions",
    versions: [...new Set(core.map((resource) => resource.version))],
    serverAddressByClientCIDRs: [],
  };
}

interface Group {
  name: string;
  versions: string[];
}

function groupsOf(served: readonly ServedType[]): Group[] {
  const groups = new Map<string, Group>();
  for (const { group, version } of served) {
    const known = groups.get(group) ?? { name: group, versions: [] };
    if (!known.versions.includes(version)) known.versions.push(version);
    groups.set(group, known);
  }
  return [...groups.values()];
}

function groupVersion(group: string, version: string): JsonObject {
  return { groupVersion: group === "" ? version : `${group}/${version}`, version };
}

function apiGroup({ name, versions }: Group): JsonObject {
  return {
    name,
    versions: versions.map((version) => groupVersion(name, version)),
    preferredVersion: groupVersion(name, versions[0] ?? ""),
  };
}

function resourceList(
  group: string,
  version: string,
  served: readonly ServedType[],
): Discovered | undefined {
  const resources = served.filter((resource) =>
    resource.group === group && resource.version === version
  );
  if (resources.length === 0) return undefined;
  return json({
    kind: "APIResourceList",
    // The core group's list has none in the real server either.
    ...(group === "" ? {} : { apiVersion: "v1" }),
    groupVersion: group === "" ? version : `${group}/${version}`,
    resources: resources.flatMap((resource) => [
      {
        name: resource.plural,
        singularName: resource.singular,
        namespaced: resource.namespaced,
        kind: resource.kind,
        verbs: [...resource.verbs],
        ...names(resource),
      },
      ...resource.subresources.map((name) => ({
        name: `${resource.plural}/${name}`,
        singularName: "",
        namespaced: resource.namespaced,
        kind: resource.kind,
        verbs: subresourceVerbs(name),
      })),
    ]),
  });
}

function subresourceVerbs(name: string): string[] {
  if (name === "binding") return ["create"];
  return name === "finalize" ? ["update"] : ["get", "patch", "update"];
}

function names(resource: ServedType): JsonObject {
  return {
    ...(resource.shortNames.length > 0 ? { shortNames: [...resource.shortNames] } : {}),
    ...(resource.categories.length > 0 ? { categories: [...resource.categories] } : {}),
  };
}

function aggregated(served: readonly ServedType[]): Discovered {
  const body: JsonObject = {
    kind: "APIGroupDiscoveryList",
    apiVersion: "apidiscovery.k8s.io/v2",
    metadata: {},
    items: groupsOf(served).map(({ name, versions }) => ({
      metadata: name === "" ? {} : { name },
      versions: versions.map((version) => ({
        version,
        resources: served
          .filter((resource) => resource.group === name && resource.version === version)
          .map(aggregatedResource),
        freshness: "Current",
      })),
    })),
  };
  return { contentType: AGGREGATED, body };
}

function aggregatedResource(resource: ServedType): JsonObject {
  const responseKind = {
    group: resource.group,
    version: resource.version,
    kind: resource.kind,
  };
  const subresources = resource.subresources;
  return {
    resource: resource.plural,
    responseKind,
    scope: resource.namespaced ? "Namespaced" : "Cluster",
    singularResource: resource.singular,
    verbs: [...resource.verbs],
    ...names(resource),
    ...(subresources.length === 0 ? {} : {
      subresources: subresources.map((name) => ({
        subresource: name,
        responseKind,
        verbs: subresourceVerbs(name),
      })),
    }),
  };
}
