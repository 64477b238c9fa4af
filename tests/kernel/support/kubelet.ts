/**
 * A stand-in for the kubelet: it lays out cgroups as the real one does, with either driver, in the
 * sandbox. The layout was taken from a real node.
 */
import { randomUUID } from "node:crypto";
import type { CgroupQuery } from "../../../src/agent/ports.ts";
import { removeCgroup, type Sandbox } from "./sandbox.ts";

export type Driver = "systemd" | "cgroupfs";
export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

export interface FakePod {
  readonly query: CgroupQuery;
  /** Pod level. */
  readonly path: string;
  /** Of its only container, where processes are. */
  readonly container: string;
}

export interface PodOptions {
  uid?: string;
  qosClass?: QosClass;
  driver?: Driver;
  /** As the kubelet's --cgroup-root has it, such as "kubelet". */
  prefix?: string;
  /** Folder of the sandbox that stands for a node. */
  within?: string;
  /** A static Pod has another uid in the API than on the node. */
  staticPod?: boolean;
}

/** Makes the cgroups of one Pod with one container. */
export function makePod(sandbox: Sandbox, options: PodOptions = {}): FakePod {
  const { qosClass = "Burstable", driver = "systemd", prefix = "" } = options;
  const uid = options.uid ?? randomUUID();
  const hash = randomUUID().replaceAll("-", "");
  const onNode = options.staticPod ? hash : uid;
  const inTree = driver === "systemd"
    ? systemdPath(prefix, qosClass, onNode)
    : cgroupfsPath(prefix, qosClass, onNode);
  const relative = options.within === undefined ? inTree : `${options.within}/${inTree}`;
  const path = sandbox.cgroup(relative);
  const id = hash + hash;
  const container = sandbox.cgroup(
    `${relative}/${driver === "systemd" ? `cri-containerd-${id}.scope` : id}`,
  );
  const query = {
    podUid: uid,
    qosClass,
    ...(options.staticPod ? { configHash: hash } : {}),
  };
  return { query, path, container };
}

export const removePod = (pod: FakePod) => removeCgroup(pod.path);

function systemdPath(prefix: string, qosClass: QosClass, uid: string): string {
  const stem = prefix === "" ? "kubepods" : `${prefix}-kubepods`;
  const top = prefix === "" ? `${stem}.slice` : `${prefix}.slice/${stem}.slice`;
  const id = uid.replaceAll("-", "_");
  if (qosClass === "Guaranteed") return `${top}/${stem}-pod${id}.slice`;
  const qos = qosClass.toLowerCase();
  return `${top}/${stem}-${qos}.slice/${stem}-${qos}-pod${id}.slice`;
}

function cgroupfsPath(prefix: string, qosClass: QosClass, uid: string): string {
  const top = prefix === "" ? "kubepods" : `${prefix}/kubepods`;
  return qosClass === "Guaranteed"
    ? `${top}/pod${uid}`
    : `${top}/${qosClass.toLowerCase()}/pod${uid}`;
}
