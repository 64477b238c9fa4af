/**
 * API objects as the simulator holds them: parsed JSON, deeply frozen, shared between the store, the
 * event history and every reader. Their JSON text is made once an object and kept as long as it lives.
 */
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";

export interface OwnerRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerRef[];
  readonly finalizers?: readonly string[];
}

/** A stored object: `apiVersion` and `kind` always there, everything beyond `metadata` by its type. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/** An object under construction. */
export interface MutableMeta {
  name: string;
  generateName?: string;
  namespace?: string;
  uid: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerRef[];
  finalizers?: string[];
}

/** "ns/name", or "name" for cluster-scoped objects: the order of list answers is that of these keys. */
export function storeKey(namespace: string, name: string): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}

/** Freezes `value` and everything in it; stops at what is frozen already. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}

/** A copy that its receiver may change. `undefined` members are dropped, as JSON would. */
export function cloneJson<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(cloneJson) as T;
  const copy: Record<string, unknown> = {};
  for (const key in value) {
    const item = value[key];
    if (item !== undefined) setMember(copy, key, cloneJson(item));
  }
  return copy as T;
}

/** `target[key] = value`, also for the key `__proto__`, which is a valid key of a ConfigMap. */
export function setMember<T>(target: Record<string, T>, key: string, value: T): void {
  if (key !== "__proto__") target[key] = value;
  else {Object.defineProperty(target, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });}
}

/** Whether two JSON values are the same; the order of members does not matter. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  const keys = Object.keys(left);
  if (keys.length !== Object.keys(right).length) return false;
  return keys.every((key) => Object.hasOwn(right, key) && sameJson(left[key], right[key]));
}

/** The same object at another place in history. */
export function withMeta(object: KubeObject, change: Partial<MutableMeta>): KubeObject {
  return deepFreeze({ ...object, metadata: { ...object.metadata, ...change } as ObjectMeta });
}

/** Without the named members of `metadata`. */
export function withoutMeta(object: KubeObject, ...names: (keyof ObjectMeta)[]): KubeObject {
  const metadata = { ...object.metadata } as Record<string, unknown>;
  for (const name of names) delete metadata[name];
  return deepFreeze({ ...object, metadata: metadata as unknown as ObjectMeta });
}

const texts = new WeakMap<KubeObject, string>();

/** JSON text of an object, with `kind` and `apiVersion`. Made once. */
export function textOf(object: KubeObject): string {
  const known = texts.get(object);
  if (known !== undefined) return known;
  const text = JSON.stringify(object);
  texts.set(object, text);
  return text;
}

const encoder = new TextEncoder();

export function encode(text: string): Uint8Array {
  return encoder.encode(text);
}

export function isRecord(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A member of a nested object, or undefined where the path ends early. */
export function at(value: unknown, ...path: string[]): JsonValue {
  let current: unknown = value;
  for (const key of path) {
    if (!isRecord(current)) return undefined;
    current = current[key];
  }
  return current as JsonValue;
}

/** Seconds are the API's resolution for creation and deletion times. */
export function timestamp(ms: number): string {
  return `${new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(0, 19)}Z`;
}
