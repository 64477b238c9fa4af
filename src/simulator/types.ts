/**
 * The types that the simulated API server knows: the built-in ones and those that
 * CustomResourceDefinitions add while it runs.
 */
import type { Schema } from "./schema.ts";
import type { TypeName } from "./status.ts";

export interface ServedType extends TypeName {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** `status`, `binding`. */
  readonly subresources: readonly string[];
  readonly verbs: readonly string[];
  /** Where its objects are stored: "group/plural"; two served types may share one (Events). */
  readonly storage: string;
  /** Version in which objects are stored, as `apiVersion`. */
  readonly storageApiVersion: string;
  readonly custom?: CustomType;
}

/** What a CustomResourceDefinition's version adds. */
export interface CustomType {
  readonly crd: string;
  readonly schema: Schema | undefined;
  readonly preserveUnknown: boolean;
  readonly selectableFields: readonly string[];
  readonly printerColumns: readonly PrinterColumn[];
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  readonly description?: string;
  readonly format?: string;
  readonly priority?: number;
}

export const ALL_VERBS: readonly string[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

export function apiVersionOf(type: { group: string; version: string }): string {
  return type.group === "" ? type.version : `${type.group}/${type.version}`;
}

interface Definition {
  readonly group?: string;
  readonly version?: string;
  readonly plural: string;
  readonly kind: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly namespaced?: boolean;
  readonly subresources?: readonly string[];
  readonly verbs?: readonly string[];
  readonly storage?: string;
  readonly storageApiVersion?: string;
}

function builtIn(definition: Definition): ServedType {
  const { group = "", version = "v1", plural, kind } = definition;
  return {
    group,
    version,
    plural,
    singular: kind.toLowerCase(),
    kind,
    listKind: `${kind}List`,
    shortNames: definition.shortNames ?? [],
    categories: definition.categories ?? [],
    namespaced: definition.namespaced ?? true,
    subresources: definition.subresources ?? [],
    verbs: definition.verbs ?? ALL_VERBS,
    storage: definition.storage ?? (group === "" ? plural : `${group}/${plural}`),
    storageApiVersion: definition.storageApiVersion ?? apiVersionOf({ group, version }),
  };
}

export const NAMESPACES = builtIn({
  plural: "namespaces",
  kind: "Namespace",
  shortNames: ["ns"],
  namespaced: false,
  subresources: ["status", "finalize"],
  verbs: ALL_VERBS.filter((verb) => verb !== "deletecollection"),
});
export const PODS = builtIn({
  plural: "pods",
  kind: "Pod",
  shortNames: ["po"],
  categories: ["all"],
  subresources: ["status", "binding"],
});
export const CONFIG_MAPS = builtIn({
  plural: "configmaps",
  kind: "ConfigMap",
  shortNames: ["cm"],
});
export const CRDS = builtIn({
  group: "apiextensions.k8s.io",
  plural: "customresourcedefinitions",
  kind: "CustomResourceDefinition",
  shortNames: ["crd", "crds"],
  categories: ["api-extensions"],
  namespaced: false,
  subresources: ["status"],
});

const EVENT_STORAGE = { storage: "events", storageApiVersion: "v1", shortNames: ["ev"] };

export const BUILT_IN_TYPES: readonly ServedType[] = [
  NAMESPACES,
  PODS,
  CONFIG_MAPS,
  builtIn({ plural: "secrets", kind: "Secret" }),
  builtIn({ plural: "serviceaccounts", kind: "ServiceAccount", shortNames: ["sa"] }),
  builtIn({
    plural: "nodes",
    kind: "Node",
    shortNames: ["no"],
    namespaced: false,
    subresources: ["status"],
  }),
  builtIn({ plural: "events", kind: "Event", ...EVENT_STORAGE }),
  builtIn({ group: "events.k8s.io", plural: "events", kind: "Event", ...EVENT_STORAGE }),
  builtIn({ group: "coordination.k8s.io", plural: "leases", kind: "Lease" }),
  CRDS,
];

/** Look-ups by path and by kind. Changed only when a CustomResourceDefinition comes or goes. */
export class TypeRegistry {
  readonly #byPath = new Map<string, ServedType>();
  readonly #byKind = new Map<string, ServedType>();
  readonly #groupVersions = new Map<string, number>();

  constructor(types: readonly ServedType[] = BUILT_IN_TYPES) {
    for (const type of types) this.add(type);
  }

  add(type: ServedType): void {
    const apiVersion = apiVersionOf(type);
    const path = `${apiVersion}/${type.plural}`;
    if (!this.#byPath.has(path)) {
      this.#groupVersions.set(apiVersion, (this.#groupVersions.get(apiVersion) ?? 0) + 1);
    }
    this.#byPath.set(path, type);
    this.#byKind.set(`${apiVersion}/${type.kind}`, type);
  }

  remove(type: ServedType): void {
    const apiVersion = apiVersionOf(type);
    if (!this.#byPath.delete(`${apiVersion}/${type.plural}`)) return;
    this.#byKind.delete(`${apiVersion}/${type.kind}`);
    const left = (this.#groupVersions.get(apiVersion) ?? 1) - 1;
    if (left > 0) this.#groupVersions.set(apiVersion, left);
    else this.#groupVersions.delete(apiVersion);
  }

  byPath(apiVersion: string, plural: string): ServedType | undefined {
    return this.#byPath.get(`${apiVersion}/${plural}`);
  }

  byKind(apiVersion: string, kind: string): ServedType | undefined {
    return this.#byKind.get(`${apiVersion}/${kind}`);
  }

  /** Whether any type of "v1" or "group/version" is served. */
  hasGroupVersion(apiVersion: string): boolean {
    return this.#groupVersions.has(apiVersion);
  }

  /** All served types, in order of registration. */
  values(): Iterable<ServedType> {
    return this.#byPath.values();
  }
}
