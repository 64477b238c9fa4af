/**
 * The stage of the end-to-end tests: a real control plane with the manifests of `deploy/`, and
 * namespaces in which a test acts as its users do.
 *
 * The administrator acts; the controller has its own service account. What the controller did is
 * read from the API server's audit log, not from the controller.
 */
import assert from "node:assert/strict";
import { type AuditEntry, type AuditMark, WRITE_VERBS } from "../support/audit_log.ts";
import {
  type ControlPlane,
  type ControlPlaneOptions,
  startControlPlane,
} from "../support/control_plane.ts";
import {
  controllerKubeconfig,
  ControllerProcess,
  HOME_NAMESPACE,
  installManifests,
  type Launch,
  LOCK_NAME,
} from "../support/controller.ts";
import { eventually, type EventuallyOptions } from "../support/eventually.ts";
import { kustomize } from "../support/manifests.ts";

export const ROOT = new URL("../../", import.meta.url).pathname;
export const MERGE_PATCH = "application/merge-patch+json";
export const NODE = "node-1";

const GROUP = "/apis/podconfig.example.com/v1alpha1";

export type Strings = Record<string, string>;

export interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
  observedGeneration?: number;
}

/** The parts of Kubernetes objects that these tests look at. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace: string;
    uid: string;
    resourceVersion: string;
    generation?: number;
    labels?: Strings;
    annotations?: Strings;
    ownerReferences?: { kind: string; name: string; uid: string }[];
    deletionTimestamp?: string;
  };
  data?: Strings;
  binaryData?: Strings;
  immutable?: boolean;
  status?: {
    observedGeneration?: number;
    matchedPods?: number;
    configMaps?: number;
    conflicts?: number;
    failed?: number;
    conditions?: Condition[];
  };
}

export interface PodOptions {
  labels?: Strings;
  annotations?: Strings;
  finalizers?: string[];
  /** Default {@link NODE}; empty: not scheduled. */
  nodeName?: string;
}

/** One thing that the program does for its users, as a test of its own. */
export interface Behaviour {
  /** A sentence. */
  name: string;
  run(stage: Stage): Promise<void>;
}

export class Stage implements AsyncDisposable {
  readonly plane: ControlPlane;
  /** Of the controller's service account. */
  readonly kubeconfig: string;
  /** How replicas are started from now on; without it: as processes. */
  launch: Launch | undefined;
  readonly #hasControllerManager: boolean;
  #namespaces = 0;

  private constructor(plane: ControlPlane, kubeconfig: string, options: ControlPlaneOptions) {
    this.plane = plane;
    this.kubeconfig = kubeconfig;
    this.#hasControllerManager = options.controllerManager ?? true;
  }

  static async open(options: ControlPlaneOptions = {}): Promise<Stage> {
    const plane = await startControlPlane({ audit: "all", ...options });
    try {
      await installManifests(plane);
      // Established is a moment before served.
      await eventually("PodConfigMapConfigs are served", async () => {
        return (await plane.request("GET", `${GROUP}/podconfigmapconfigs`)).status === 200;
      });
      return new Stage(plane, await controllerKubeconfig(plane), options);
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /** A replica with the settings of `deploy/controller/`. Not ready yet. */
  async start(name: string, env: Strings = {}): Promise<ControllerProcess> {
    const { plane, kubeconfig } = this;
    const shipped = await shippedSettings(plane);
    const launch = this.launch === undefined ? {} : { launch: this.launch };
    return ControllerProcess.start({
      ...{ plane, kubeconfig, name, ...launch },
      env: { ...shipped, ...env },
    });
  }

  /** A new namespace, named after what is tried in it. */
  async namespace(prefix: string): Promise<Namespace> {
    const name = `${prefix}-${++this.#namespaces}`;
    await this.plane.createNamespace(name);
    if (!this.#hasControllerManager) {
      // Pods need it.
      const body = { metadata: { name: "default" } };
      await this.plane.expect("POST", `/api/v1/namespaces/${name}/serviceaccounts`, body);
    }
    return new Namespace(this.plane, name);
  }

  /** Who holds the lease of the shipped manifests; empty when nobody does. */
  async leaseHolder(): Promise<string> {
    const path = `/apis/coordination.k8s.io/v1/namespaces/${HOME_NAMESPACE}/leases/${LOCK_NAME}`;
    const { status, body } = await this.plane.request("GET", path);
    return status === 200 ? body.spec.holderIdentity ?? "" : "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plane.stop();
  }
}

/** Plain values of the Deployment's environment, without the port that every replica has there. */
async function shippedSettings(plane: ControlPlane): Promise<Strings> {
  const manifests = await kustomize(plane, "deploy/controller");
  const deployment = manifests.find(({ kind }) => kind === "Deployment");
  assert.ok(deployment);
  const [container] = deployment.spec.template.spec.containers;
  const plain = container.env.filter(({ value }: { value?: string }) => value !== undefined);
  const entries = plain.map(({ name, value }: { name: string; value: string }) => [name, value]);
  const { METRICS_ADDR: _, ...settings } = Object.fromEntries(entries);
  return settings;
}

/** Accepted and refused writes of any replica of ours, leases apart. */
export async function controllerWrites(
  plane: ControlPlane,
  options: { since?: AuditMark | undefined; namespace?: string } = {},
): Promise<AuditEntry[]> {
  const filter = { verbs: WRITE_VERBS, notResources: ["leases"] };
  const entries = await plane.auditLog.entries(filter, options.since);
  return entries.filter((entry) =>
    isController(entry) &&
    (options.namespace === undefined || entry.objectRef?.namespace === options.namespace)
  );
}

/** Whether a service account that the manifests, or a test, made for the controller sent it. */
export function isController({ user }: AuditEntry): boolean {
  return /^system:serviceaccount:[^:]+:podconfigmap-controller/.test(user.username);
}

export class Namespace {
  readonly plane: ControlPlane;
  readonly name: string;

  constructor(plane: ControlPlane, name: string) {
    this.plane = plane;
    this.name = name;
  }

  #core(plural: string): string {
    return `/api/v1/namespaces/${this.name}/${plural}`;
  }

  #pcmcs(name = ""): string {
    return `${GROUP}/namespaces/${this.name}/podconfigmapconfigs${name && `/${name}`}`;
  }

  createPod(name: string, options: PodOptions = {}): Promise<KubeObject> {
    const { nodeName = NODE, ...metadata } = options;
    return this.plane.expect("POST", this.#core("pods"), {
      metadata: { name, ...metadata },
      spec: {
        ...(nodeName && { nodeName }),
        containers: [{ name: "main", image: "example.com/main:1" }],
      },
    });
  }

  pod(name: string): Promise<KubeObject> {
    return this.plane.expect("GET", `${this.#core("pods")}/${name}`);
  }

  changePod(name: string, patch: unknown): Promise<KubeObject> {
    return this.plane.expect("PATCH", `${this.#core("pods")}/${name}`, patch, MERGE_PATCH);
  }

  setPhase(name: string, phase: string): Promise<KubeObject> {
    const path = `${this.#core("pods")}/${name}/status`;
    return this.plane.expect("PATCH", path, { status: { phase } }, MERGE_PATCH);
  }

  /** As the scheduler does. */
  async bind(pod: string, node: string): Promise<void> {
    await this.plane.expect("POST", `${this.#core("pods")}/${pod}/binding`, {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name: pod },
      target: { apiVersion: "v1", kind: "Node", name: node },
    });
  }

  /** Without grace: gone at once unless it has a finalizer. */
  async deletePod(name: string): Promise<void> {
    await this.plane.expect("DELETE", `${this.#core("pods")}/${name}?gracePeriodSeconds=0`);
  }

  createPcmc(name: string, spec: unknown = {}): Promise<KubeObject> {
    return this.plane.expect("POST", this.#pcmcs(), {
      apiVersion: "podconfig.example.com/v1alpha1",
      kind: "PodConfigMapConfig",
      metadata: { name },
      spec,
    });
  }

  pcmc(name: string): Promise<KubeObject> {
    return this.plane.expect("GET", this.#pcmcs(name));
  }

  changePcmc(name: string, spec: unknown): Promise<KubeObject> {
    return this.plane.expect("PATCH", this.#pcmcs(name), { spec }, MERGE_PATCH);
  }

  async deletePcmc(name: string): Promise<void> {
    await this.plane.expect("DELETE", this.#pcmcs(name));
  }

  createConfigMap(body: unknown): Promise<KubeObject> {
    return this.plane.expect("POST", this.#core("configmaps"), body);
  }

  async configMap(name: string): Promise<KubeObject | undefined> {
    const { status, body } = await this.plane.request("GET", `${this.#core("configmaps")}/${name}`);
    if (status === 404) return undefined;
    if (status !== 200) throw new Error(`Cannot read ConfigMap ${name}: HTTP status ${status}`);
    return body;
  }

  /** All but what Kubernetes puts into every namespace. */
  async configMaps(): Promise<KubeObject[]> {
    const { items } = await this.plane.expect("GET", this.#core("configmaps"));
    return items.filter((item: KubeObject) => item.metadata.name !== "kube-root-ca.crt");
  }

  changeConfigMap(name: string, patch: unknown, contentType = MERGE_PATCH): Promise<KubeObject> {
    return this.plane.expect("PATCH", `${this.#core("configmaps")}/${name}`, patch, contentType);
  }

  async deleteConfigMap(name: string): Promise<void> {
    await this.plane.expect("DELETE", `${this.#core("configmaps")}/${name}`);
  }

  /** Waits until the ConfigMap is there and `holds` neither returns false nor throws. */
  untilConfigMap(
    name: string,
    holds: (configMap: KubeObject) => boolean | void = () => {},
    options?: EventuallyOptions,
  ): Promise<KubeObject> {
    return eventually(`ConfigMap ${this.name}/${name} is as wanted`, async () => {
      const configMap = await this.configMap(name);
      if (configMap === undefined) throw new Error("it does not exist");
      return holds(configMap) === false ? undefined : configMap;
    }, options);
  }

  async untilNoConfigMap(name: string, options?: EventuallyOptions): Promise<void> {
    await eventually(
      `ConfigMap ${this.name}/${name} is gone`,
      async () => await this.configMap(name) === undefined,
      options,
    );
  }

  /** Waits until the current generation is dealt with and Ready is `status`; returns the PCMC. */
  untilReady(
    name: string,
    status: "True" | "False" = "True",
    holds: (pcmc: KubeObject) => boolean = () => true,
  ): Promise<KubeObject> {
    return eventually(`PCMC ${this.name}/${name} has Ready=${status}`, async () => {
      const pcmc = await this.pcmc(name);
      const ready = condition(pcmc, "Ready");
      const settled = pcmc.status?.observedGeneration === pcmc.metadata.generation;
      if (settled && ready?.status === status && holds(pcmc)) return pcmc;
      throw new Error(JSON.stringify(pcmc.status));
    });
  }

  writes(since?: AuditMark): Promise<AuditEntry[]> {
    return controllerWrites(this.plane, { since, namespace: this.name });
  }
}

export function condition(object: KubeObject, type: string): Condition | undefined {
  return object.status?.conditions?.find((each) => each.type === type);
}

/** The ConfigMap that documentation promises for a Pod and a PCMC with names of the plain form. */
export function generated(pod: KubeObject, pcmc: string, data: Strings) {
  const { name, namespace, uid } = pod.metadata;
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: `pod-${name}-from-${pcmc}-cfg`,
      namespace,
      labels: {
        "podconfig.example.com/generated-by-pcmc": pcmc,
        "podconfig.example.com/pod-uid": uid,
        "app.kubernetes.io/managed-by": "podconfigmap-controller",
      },
      annotations: {
        "podconfig.example.com/pod": name,
        "podconfig.example.com/pcmc": pcmc,
        "reloader.stakater.com/ignore": "true",
      },
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name, uid }],
    },
    data: { podName: name, namespace, nodeName: NODE, phase: "Pending", pcmcName: pcmc, ...data },
  };
}

/** Without what the API server adds to every object. */
export function asWritten(configMap: KubeObject): unknown {
  const { uid: _, resourceVersion: _v, creationTimestamp: _c, managedFields: _m, ...metadata } =
    configMap.metadata as KubeObject["metadata"] & Record<string, unknown>;
  return { ...configMap, metadata };
}

/** Lines of a controller's log that are neither information nor debugging. */
export function warnings(log: string): string[] {
  return log.split("\n").filter((line) => /^[WEF]\d{4} /.test(line));
}
