/** Kubernetes resource types, their URL paths, and the keys under which objects are cached. Pure. */

export interface ResourceType {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  /** Lower-case plural, as in the URL: `pods`. */
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface ResourceAddress {
  /** Without it, the path spans all namespaces (list and watch). */
  readonly namespace?: string;
  /** Without it, the path is the collection's. */
  readonly name?: string;
  /** Such as `status`; needs `name`. */
  readonly subresource?: string;
}

/** Absolute URL path of a collection, an object or a subresource. */
export function resourcePath(type: ResourceType, at: ResourceAddress = {}): string {
  let path = type.group === "" ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  if (type.namespaced && at.namespace) path += `/namespaces/${encodeURIComponent(at.namespace)}`;
  path += `/${type.plural}`;
  if (at.name) {
    path += `/${encodeURIComponent(at.name)}`;
    if (at.subresource) path += `/${at.subresource}`;
  }
  return path;
}

/** `ns/name`, or `name` where there is no namespace. Names hold no slash, so keys never meet. */
export function objectKey(namespace: string, name: string): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}

/**
 * Order of two resourceVersions of one type: negative when `a` is older, 0 when equal, positive when newer.
 * They are decimal integers without leading zeros and may pass 2^53, so length decides, then the
 * digits. An empty one (nothing seen yet) is older than all.
 */
export function compareResourceVersions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}
