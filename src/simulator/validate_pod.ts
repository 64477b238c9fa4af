/**
 * Defaults and checks of a Pod, as far as controllers and `kubectl` notice them: containers, node
 * assignment, restart policy, quality of service, and that a spec hardly ever changes. Pure.
 */
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";
import { at, isRecord, type KubeObject, sameJson } from "./objects.ts";
import {
  type FieldCause,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  fieldUnsupported,
} from "./status.ts";
import { labelNameProblems, subdomainProblems } from "./validate_meta.ts";

/** Seconds between the request to delete a running Pod and its end, unless the Pod says otherwise. */
export const GRACE_SECONDS = 30;

const SPEC_DEFAULTS: JsonObject = {
  restartPolicy: "Always",
  terminationGracePeriodSeconds: GRACE_SECONDS,
  dnsPolicy: "ClusterFirst",
  serviceAccountName: "default",
  serviceAccount: "default",
  securityContext: {},
  schedulerName: "default-scheduler",
  tolerations: [
    toleration("node.kubernetes.io/not-ready"),
    toleration("node.kubernetes.io/unreachable"),
  ],
  priority: 0,
  enableServiceLinks: true,
  preemptionPolicy: "PreemptLowerPriority",
};

function toleration(key: string): JsonObject {
  return { key, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 };
}

export function defaultPod(draft: Record<string, unknown>): void {
  const spec = isRecord(draft["spec"]) ? draft["spec"] : {};
  const containers = listOf(spec["containers"]).map(defaultContainer);
  draft["spec"] = { ...SPEC_DEFAULTS, ...spec, ...(containers.length > 0 ? { containers } : {}) };
  draft["status"] = { phase: "Pending", qosClass: qualityOfService(containers) };
}

function defaultContainer(container: JsonValue): JsonValue {
  if (!isRecord(container)) return container;
  const image = typeof container["image"] === "string" ? container["image"] : "";
  const latest = !/[:@][^/]+$/.test(image) || image.endsWith(":latest");
  return {
    resources: {},
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    imagePullPolicy: latest ? "Always" : "IfNotPresent",
    ...container,
  };
}

function qualityOfService(containers: readonly JsonValue[]): string {
  const sets = containers.map((container) => ({
    limits: at(container, "resources", "limits"),
    requests: at(container, "resources", "requests"),
  }));
  const empty = (value: JsonValue) => !isRecord(value) || Object.keys(value).length === 0;
  if (sets.every(({ limits, requests }) => empty(limits) && empty(requests))) return "BestEffort";
  const guaranteed = sets.every(({ limits, requests }) =>
    isRecord(limits) && limits["cpu"] !== undefined && limits["memory"] !== undefined &&
    (empty(requests) || sameJson(limits, requests))
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}

function listOf(value: JsonValue): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

export function validatePod(object: KubeObject): FieldCause[] {
  const causes: FieldCause[] = [];
  const containers = listOf(at(object, "spec", "containers"));
  if (containers.length === 0) causes.push(fieldRequired("spec.containers"));
  const names = new Set<string>();
  containers.forEach((container, index) => {
    const field = `spec.containers[${index}]`;
    const name = at(container, "name");
    if (typeof name !== "string" || name === "") causes.push(fieldRequired(`${field}.name`));
    else if (names.has(name)) {
      const message = `Duplicate value: ${JSON.stringify(name)}`;
      causes.push({ reason: "FieldValueDuplicate", message, field: `${field}.name` });
    } else {
      names.add(name);
      for (const why of labelNameProblems(name)) {
        causes.push(fieldInvalid(`${field}.name`, name, why));
      }
    }
    if (!at(container, "image")) causes.push(fieldRequired(`${field}.image`));
  });
  const policies = ["Always", "OnFailure", "Never"];
  const policy = at(object, "spec", "restartPolicy");
  if (!policies.includes(String(policy))) {
    causes.push(fieldUnsupported("spec.restartPolicy", policy, policies));
  }
  const node = at(object, "spec", "nodeName");
  if (typeof node === "string" && node !== "") {
    for (const why of subdomainProblems(node)) {
      causes.push(fieldInvalid("spec.nodeName", node, why));
    }
  }
  return causes;
}

/** Spec fields that stay changeable. */
const CHANGEABLE = ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"];
const CHANGE_WHY = "pod updates may not change fields other than `spec.containers[*].image`," +
  "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to " +
  "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was " +
  "previously negative)";

export function validatePodUpdate(object: KubeObject, old: KubeObject): FieldCause[] {
  if (sameJson(fixedPart(object), fixedPart(old))) return [];
  return [fieldForbidden("spec", CHANGE_WHY)];
}

function fixedPart(object: KubeObject): JsonObject {
  const spec = { ...(isRecord(object["spec"]) ? object["spec"] : {}) };
  for (const field of CHANGEABLE) delete spec[field];
  for (const field of ["containers", "initContainers"]) {
    spec[field] = listOf(spec[field]).map((container) =>
      isRecord(container) ? { ...container, image: "" } : container
    );
  }
  return spec;
}
