/**
 * A scheduler and a kubelet in a few lines: bind a Pod to a node, report it running, end it after its
 * grace period. Which of the three happen is the caller's choice; without it Pods stay as written.
 */
import type { JsonValue } from "../runtime/ports/rest.ts";
import { at, type KubeObject, timestamp } from "./objects.ts";

export interface KubeletOptions {
  /** Pods without a node are bound to this one after `scheduleMs`. */
  readonly node?: string;
  readonly scheduleMs?: number;
  /** A Pod with a node becomes Running and Ready after this. Not given: it stays Pending. */
  readonly startMs?: number;
  /** A deleted Pod ends after this, or after its grace period when that is shorter. Not given: never. */
  readonly stopMs?: number;
}

/** One thing to do with a Pod later. */
export interface KubeletTask {
  readonly name: "bind" | "start" | "stop";
  readonly delayMs: number;
  readonly run: () => void;
}

type Send = (user: string, method: string, path: string, body: JsonValue) => void;

interface KubeletPorts {
  readonly request: Send;
  /** Wall clock, ms. */
  readonly now: () => number;
}

export class Kubelet {
  readonly #options: KubeletOptions & KubeletPorts;

  constructor(options: KubeletOptions & KubeletPorts) {
    this.#options = options;
  }

  plan(pod: KubeObject): KubeletTask[] {
    const { node, scheduleMs = 0, startMs, stopMs } = this.#options;
    const { namespace, name, uid, deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
    const path = `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(name)}`;
    const assigned = String(at(pod, "spec", "nodeName") ?? "");
    const user = `system:node:${assigned}`;
    if (deletionTimestamp !== undefined) {
      const graceMs = (deletionGracePeriodSeconds ?? 0) * 1000;
      if (stopMs === undefined || graceMs === 0) return [];
      const body = { gracePeriodSeconds: 0, preconditions: { uid } };
      const run = () => this.#options.request(user, "DELETE", path, body);
      return [{ name: "stop", delayMs: Math.min(stopMs, graceMs), run }];
    }
    if (assigned === "") {
      if (node === undefined) return [];
      const body = { metadata: { name, uid }, target: { kind: "Node", name: node } };
      const run = () =>
        this.#options.request("system:kube-scheduler", "POST", `${path}/binding`, body);
      return [{ name: "bind", delayMs: scheduleMs, run }];
    }
    if (startMs === undefined || at(pod, "status", "phase") !== "Pending") return [];
    const run = () => {
      const body = running(pod, timestamp(this.#options.now()));
      this.#options.request(user, "PATCH", `${path}/status`, body);
    };
    return [{ name: "start", delayMs: startMs, run }];
  }
}

/** Merge patch of a Pod that has started. */
function running(pod: KubeObject, now: string): JsonValue {
  const names = at(pod, "spec", "containers");
  const containers = Array.isArray(names) ? names : [];
  const conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map((type) => ({
    type,
    status: "True",
    lastTransitionTime: now,
  }));
  const containerStatuses = containers.map((container) => ({
    name: at(container, "name") ?? "",
    image: at(container, "image") ?? "",
    imageID: "",
    ready: true,
    started: true,
    restartCount: 0,
    state: { running: { startedAt: now } },
  }));
  const { uid } = pod.metadata;
  const status = { phase: "Running", startTime: now, conditions, containerStatuses };
  return { metadata: { uid }, status };
}
