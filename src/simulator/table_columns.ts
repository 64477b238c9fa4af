/**
 * The table columns of built-in types, with the cells kube-apiserver's printers give. Types that are
 * not here show name and age.
 */
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";
import { humanAge } from "./human_duration.ts";
import { podReady, podRestarts, podStatus } from "./pod_summary.ts";
import { isObject } from "./schema.ts";

/** `cell` gets the object and the wall clock in ms. */
export interface BuiltInColumn {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description: string;
  /** 0: always shown; 1: with `-o wide`. */
  readonly priority?: number;
  cell(object: JsonObject, now: number): JsonValue;
}

type Cell = BuiltInColumn["cell"];

export function builtInColumns(group: string, plural: string): readonly BuiltInColumn[] {
  return COLUMNS[`${group}/${plural}`] ?? [NAME, AGE];
}

/** Follows keys through objects; undefined where the way ends. */
function at(value: JsonValue, ...keys: string[]): JsonValue {
  return keys.reduce<JsonValue>((found, key) => isObject(found) ? found[key] : undefined, value);
}

function text(value: JsonValue): string {
  return typeof value === "string" ? value : "";
}

function orNone(value: JsonValue): string {
  return text(value) || "<none>";
}

function column(name: string, description: string, cell: Cell, priority = 0): BuiltInColumn {
  return { name, type: "string", description, priority, cell };
}

const created: Cell = (object, now) =>
  humanAge(text(at(object, "metadata", "creationTimestamp")), now);

const NAME: BuiltInColumn = {
  name: "Name",
  type: "string",
  format: "name",
  description: "Name must be unique within a namespace.",
  cell: (object) => text(at(object, "metadata", "name")),
};

const AGE = column("Age", "The time since the object was created.", created);

function count(value: JsonValue): number {
  return isObject(value) ? Object.keys(value).length : 0;
}

const POD_COLUMNS: readonly BuiltInColumn[] = [
  NAME,
  column("Ready", "The aggregate readiness state of this pod for accepting traffic.", podReady),
  column("Status", "The aggregate status of the containers in this pod.", podStatus),
  column(
    "Restarts",
    "The number of times the containers in this pod have been restarted.",
    podRestarts,
  ),
  AGE,
  column("IP", "podIP address allocated to the pod.", (pod) => {
    const first = at(pod, "status", "podIPs");
    return orNone(Array.isArray(first) ? at(first[0], "ip") : at(pod, "status", "podIP"));
  }, 1),
  column(
    "Node",
    "NodeName indicates in which node this pod is scheduled.",
    (pod) => orNone(at(pod, "spec", "nodeName")),
    1,
  ),
  column(
    "Nominated Node",
    "nominatedNodeName is set only when this pod preempts other pods on the node.",
    (pod) => orNone(at(pod, "status", "nominatedNodeName")),
    1,
  ),
  column(
    "Readiness Gates",
    "If specified, all readiness gates will be evaluated for pod readiness.",
    readinessGates,
    1,
  ),
];

function readinessGates(pod: JsonObject): string {
  const gates = at(pod, "spec", "readinessGates");
  if (!Array.isArray(gates) || gates.length === 0) return "<none>";
  const conditions = at(pod, "status", "conditions");
  const open = gates.filter((gate) =>
    Array.isArray(conditions) &&
    conditions.some((condition) =>
      at(condition, "type") === at(gate, "conditionType") && at(condition, "status") === "True"
    )
  );
  return `${open.length}/${gates.length}`;
}

/** `core` and `events.k8s.io` events name the same things differently. */
function eventField(object: JsonObject, core: string, modern: string): JsonValue {
  return at(object, core) ?? at(object, modern);
}

function eventTimes(object: JsonObject): { first: string; last: string } {
  const first = text(eventField(object, "firstTimestamp", "deprecatedFirstTimestamp")) ||
    text(at(object, "eventTime"));
  const last = text(at(object, "series", "lastObservedTime")) ||
    text(eventField(object, "lastTimestamp", "deprecatedLastTimestamp")) || first;
  return { first, last };
}

function eventObject(object: JsonObject): string {
  const regarding = eventField(object, "involvedObject", "regarding");
  const kind = text(at(regarding, "kind")).toLowerCase();
  const name = text(at(regarding, "name"));
  return name === "" ? kind : `${kind}/${name}`;
}

function eventSource(object: JsonObject): string {
  const source = eventField(object, "source", "deprecatedSource");
  const component = text(at(source, "component")) ||
    text(eventField(object, "reportingComponent", "reportingController"));
  const host = text(at(source, "host")) || text(at(object, "reportingInstance"));
  return host === "" ? component : `${component}, ${host}`;
}

const EVENT_COLUMNS: readonly BuiltInColumn[] = [
  column(
    "Last Seen",
    "The time at which the most recent occurrence of this event was recorded.",
    (event, now) => humanAge(eventTimes(event).last, now),
  ),
  column("Type", "Type of this event (Normal, Warning).", (event) => text(at(event, "type"))),
  column("Reason", "Why the event came about.", (event) => text(at(event, "reason"))),
  column("Object", "The object that this event is about.", eventObject),
  column(
    "Subobject",
    "The part of the object, if it is about one.",
    (event) => text(at(eventField(event, "involvedObject", "regarding"), "fieldPath")),
    1,
  ),
  column("Source", "The component reporting this event.", eventSource, 1),
  column(
    "Message",
    "A human-readable description of the status of this operation.",
    (event) => text(eventField(event, "message", "note")).trim(),
  ),
  column(
    "First Seen",
    "The time at which the event was first recorded.",
    (event, now) => humanAge(eventTimes(event).first, now),
    1,
  ),
  column(
    "Count",
    "The number of times this event has occurred.",
    (event) => at(event, "series", "count") ?? eventField(event, "count", "deprecatedCount") ?? 1,
    1,
  ),
  { ...NAME, priority: 1 },
];

function crdVersions(crd: JsonObject): string {
  const versions = at(crd, "spec", "versions");
  if (!Array.isArray(versions)) return "";
  return versions.filter((version) => at(version, "served") === true)
    .map((version) =>
      `${text(at(version, "name"))}${at(version, "storage") === true ? "(storage)" : ""}`
    ).join(",");
}

function crdEstablished(crd: JsonObject): boolean {
  const conditions = at(crd, "status", "conditions");
  return Array.isArray(conditions) &&
    conditions.some((condition) =>
      at(condition, "type") === "Established" && at(condition, "status") === "True"
    );
}

function crdShortNames(crd: JsonObject): string {
  const names = at(crd, "spec", "names", "shortNames");
  return Array.isArray(names) ? names.join(",") : "";
}

const CRD_COLUMNS: readonly BuiltInColumn[] = [
  NAME,
  column("Scope", "Cluster/Namespaced", (crd) => text(at(crd, "spec", "scope"))),
  column("Versions", "Served versions", crdVersions),
  {
    ...column("Created At", "When the object was created.", (crd) => {
      return text(at(crd, "metadata", "creationTimestamp"));
    }),
    type: "date",
  },
  column("Group", "API group", (crd) => text(at(crd, "spec", "group")), 1),
  column("Kind", "CustomResource kind", (crd) => text(at(crd, "spec", "names", "kind")), 1),
  column("ShortNames", "Short names", crdShortNames, 1),
  {
    ...column("Established", "Established status", crdEstablished, 1),
    type: "boolean",
  },
];

function nodeStatus(node: JsonObject): string {
  const conditions = at(node, "status", "conditions");
  const ready = Array.isArray(conditions)
    ? conditions.find((condition) => at(condition, "type") === "Ready")
    : undefined;
  const status = ready === undefined
    ? "Unknown"
    : at(ready, "status") === "True"
    ? "Ready"
    : "NotReady";
  return at(node, "spec", "unschedulable") === true ? `${status},SchedulingDisabled` : status;
}

function nodeRoles(node: JsonObject): string {
  const labels = at(node, "metadata", "labels");
  const prefix = "node-role.kubernetes.io/";
  const roles = isObject(labels)
    ? Object.keys(labels).filter((key) => key.startsWith(prefix)).map((key) =>
      key.slice(prefix.length)
    )
    : [];
  return roles.sort().join(",") || "<none>";
}

const COLUMNS: Readonly<Record<string, readonly BuiltInColumn[]>> = {
  "/pods": POD_COLUMNS,
  "/configmaps": [
    NAME,
    column(
      "Data",
      "The number of entries.",
      (object) => count(object.data) + count(object.binaryData),
    ),
    AGE,
  ],
  "/secrets": [
    NAME,
    column("Type", "What the secret is for.", (object) => text(object.type)),
    column("Data", "The number of entries.", (object) => count(object.data)),
    AGE,
  ],
  "/namespaces": [
    NAME,
    column(
      "Status",
      "The status of the namespace",
      (object) => text(at(object, "status", "phase")),
    ),
    AGE,
  ],
  "/nodes": [
    NAME,
    column("Status", "The status of the node", nodeStatus),
    column("Roles", "The roles of the node", nodeRoles),
    AGE,
    column(
      "Version",
      "Kubelet Version reported by the node.",
      (object) => text(at(object, "status", "nodeInfo", "kubeletVersion")),
    ),
  ],
  "/events": EVENT_COLUMNS,
  "events.k8s.io/events": EVENT_COLUMNS,
  "coordination.k8s.io/leases": [
    NAME,
    column(
      "Holder",
      "The identity of the holder of the lease.",
      (object) => text(at(object, "spec", "holderIdentity")),
    ),
    AGE,
  ],
  "apiextensions.k8s.io/customresourcedefinitions": CRD_COLUMNS,
};
