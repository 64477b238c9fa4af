/**
 * What `kubectl get pods` says of a Pod in one word each: how many containers are ready, how it fares,
 * how often it was restarted. Follows kube-apiserver's printer.
 */
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";
import { humanAge } from "./human_duration.ts";
import { isObject } from "./schema.ts";

interface Summary {
  status: string;
  ready: number;
  total: number;
  restarts: number;
  lastRestart: string;
}

function objects(value: JsonValue): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function object(value: JsonValue): JsonObject {
  return isObject(value) ? value : {};
}

function text(value: JsonValue): string {
  return typeof value === "string" ? value : "";
}

function integer(value: JsonValue): number {
  return typeof value === "number" ? value : 0;
}

/** `2/3`. */
export function podReady(pod: JsonObject): string {
  const { ready, total } = summarise(pod);
  return `${ready}/${total}`;
}

/** Phase, or the reason a container gives, or Terminating. */
export function podStatus(pod: JsonObject): string {
  return summarise(pod).status;
}

/** `0`, or `3 (5m ago)`. */
export function podRestarts(pod: JsonObject, now: number): string {
  const { restarts, lastRestart } = summarise(pod);
  return restarts > 0 && lastRestart !== ""
    ? `${restarts} (${humanAge(lastRestart, now)} ago)`
    : String(restarts);
}

function summarise(pod: JsonObject): Summary {
  const spec = object(pod.spec);
  const status = object(pod.status);
  const restartable = new Set(
    objects(spec.initContainers).filter((container) => container.restartPolicy === "Always")
      .map((container) => text(container.name)),
  );
  const summary: Summary = {
    status: text(status.reason) || text(status.phase),
    ready: 0,
    total: objects(spec.containers).length + restartable.size,
    restarts: 0,
    lastRestart: "",
  };
  const scheduled = objects(status.conditions).find((condition) =>
    condition.type === "PodScheduled" && condition.reason === "SchedulingGated"
  );
  if (scheduled) summary.status = "SchedulingGated";
  const initializing = summariseInit(pod, restartable, summary);
  if (!initializing) summariseContainers(status, summary);
  if (text(object(pod.metadata).deletionTimestamp) !== "") {
    const phase = text(status.phase);
    if (status.reason === "NodeLost") summary.status = "Unknown";
    else if (phase !== "Succeeded" && phase !== "Failed") summary.status = "Terminating";
  }
  return summary;
}

function countRestarts(container: JsonObject, summary: Summary): void {
  summary.restarts += integer(container.restartCount);
  const finished = text(object(object(container.lastState).terminated).finishedAt);
  if (finished > summary.lastRestart) summary.lastRestart = finished;
}

function terminationReason(terminated: JsonObject): string {
  if (text(terminated.reason) !== "") return text(terminated.reason);
  return integer(terminated.signal) !== 0
    ? `Signal:${integer(terminated.signal)}`
    : `ExitCode:${integer(terminated.exitCode)}`;
}

/** True while an init container keeps the others from starting. */
function summariseInit(
  pod: JsonObject,
  restartable: ReadonlySet<string>,
  summary: Summary,
): boolean {
  const total = objects(object(pod.spec).initContainers).length;
  for (const [index, container] of objects(object(pod.status).initContainerStatuses).entries()) {
    countRestarts(container, summary);
    const state = object(container.state);
    const terminated = isObject(state.terminated) ? state.terminated : undefined;
    if (terminated && integer(terminated.exitCode) === 0) continue;
    if (restartable.has(text(container.name)) && container.started === true) {
      if (container.ready === true) summary.ready++;
      continue;
    }
    const waiting = text(object(state.waiting).reason);
    summary.status = terminated
      ? `Init:${terminationReason(terminated)}`
      : waiting !== "" && waiting !== "PodInitializing"
      ? `Init:${waiting}`
      : `Init:${index}/${total}`;
    return true;
  }
  return false;
}

function summariseContainers(status: JsonObject, summary: Summary): void {
  let running = false;
  summary.restarts = 0;
  summary.lastRestart = "";
  for (const container of objects(status.containerStatuses).reverse()) {
    countRestarts(container, summary);
    const state = object(container.state);
    const waiting = text(object(state.waiting).reason);
    if (waiting !== "") summary.status = waiting;
    else if (isObject(state.terminated)) summary.status = terminationReason(state.terminated);
    else if (container.ready === true && isObject(state.running)) {
      running = true;
      summary.ready++;
    }
  }
  if (summary.status === "Completed" && running) {
    const ready = objects(status.conditions).some((condition) =>
      condition.type === "Ready" && condition.status === "True"
    );
    summary.status = ready ? "Running" : "NotReady";
  }
}
