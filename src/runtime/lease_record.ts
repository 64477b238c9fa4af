/**
 * The content of a `coordination.k8s.io/v1` Lease, as client-go's leader election reads and writes it.
 * Pure. Fields of the Lease that are not ours survive an update.
 */
import type { JsonObject, JsonValue } from "./ports/rest.ts";
import type { ResourceType } from "./resource.ts";

export const LEASE_TYPE: ResourceType = {
  group: "coordination.k8s.io",
  version: "v1",
  plural: "leases",
  kind: "Lease",
  namespaced: true,
};

export interface LeaseRecord {
  /** Empty when nobody holds the lease. */
  readonly holder: string;
  readonly durationSeconds: number;
  /** Changes of holder since the lease was made. */
  readonly transitions: number;
  /** MicroTime, verbatim. */
  readonly acquireTime: string;
  readonly renewTime: string;
}

export function isLease(answer: JsonValue): boolean {
  return objectOf(answer).kind === LEASE_TYPE.kind;
}

/** What a Lease says; missing and malformed fields are read as client-go reads missing ones. */
export function readRecord(lease: JsonValue): LeaseRecord {
  const spec = objectOf(objectOf(lease).spec);
  return {
    holder: textOf(spec.holderIdentity),
    durationSeconds: numberOf(spec.leaseDurationSeconds),
    transitions: numberOf(spec.leaseTransitions),
    acquireTime: textOf(spec.acquireTime),
    renewTime: textOf(spec.renewTime),
  };
}

/** A Lease that says `record`; based on `lease` when there is one (its resourceVersion is the precondition). */
export function writeRecord(
  at: { namespace: string; name: string },
  lease: JsonValue,
  record: LeaseRecord,
): JsonObject {
  const known = objectOf(lease);
  return {
    ...known,
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { ...objectOf(known.metadata), name: at.name, namespace: at.namespace },
    spec: {
      ...objectOf(known.spec),
      holderIdentity: record.holder,
      leaseDurationSeconds: record.durationSeconds,
      acquireTime: record.acquireTime,
      renewTime: record.renewTime,
      leaseTransitions: record.transitions,
    },
  };
}

export function sameRecord(a: LeaseRecord, b: LeaseRecord): boolean {
  return a.holder === b.holder && a.durationSeconds === b.durationSeconds &&
    a.transitions === b.transitions && a.acquireTime === b.acquireTime &&
    a.renewTime === b.renewTime;
}

function objectOf(value: JsonValue): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}

function textOf(value: JsonValue): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: JsonValue): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
