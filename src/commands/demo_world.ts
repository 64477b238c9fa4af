/** The objects of the demo, and how its story changes them: requests as any user would send them. */
import { customResourceDefinition } from "../api/crd.ts";
import { API_GROUP_VERSION, PCMC_KIND } from "../api/well_known.ts";
import { CONFIG_MAPS, PCMCS, PODS } from "../controllers/resources.ts";
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import { isNotFound } from "../runtime/ports/errors.ts";
import type { JsonObject, JsonValue, RestClient } from "../runtime/ports/rest.ts";
import { resourcePath, type ResourceType } from "../runtime/resource.ts";
import { SimulatedCluster } from "../simulator/cluster.ts";

export const DEMO_NAMESPACE = "demo";
export const DEMO_PCMC = "web-facts";
const NODE = "node-1";
/** Who writes in a demo that nobody joins, the cluster's own `system:` users apart. */
const OWN_USERS: ReadonlySet<string> = new Set(["controller", "you", "seed"]);

export function demoCluster(options: { clock: Clock; random: Random }): SimulatedCluster {
  return new SimulatedCluster({
    ...options,
    crds: [customResourceDefinition() as unknown as JsonValue],
    kubelet: { node: NODE, scheduleMs: 50, startMs: 400, stopMs: 300 },
  });
}

export const demoNamespace: JsonObject = {
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name: DEMO_NAMESPACE },
};

export const demoPcmc: JsonObject = {
  apiVersion: API_GROUP_VERSION,
  kind: PCMC_KIND,
  metadata: { name: DEMO_PCMC, namespace: DEMO_NAMESPACE },
  spec: {
    podSelector: { matchLabels: { app: "web" } },
    labelsToInclude: ["app", "app.kubernetes.io/version"],
    annotationsToInclude: ["example.com/build"],
  },
};

export function demoPod(name: string): JsonObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: DEMO_NAMESPACE,
      labels: { app: "web", "app.kubernetes.io/version": "1.0.0" },
      annotations: { "example.com/build": "build-12345" },
    },
    spec: { containers: [{ name: "main", image: "example.com/web:1.0.0" }] },
  };
}

/** Verbs of a person at a keyboard. */
export class DemoUser {
  readonly #rest: RestClient;

  constructor(rest: RestClient) {
    this.#rest = rest;
  }

  async create(type: ResourceType, body: JsonObject): Promise<void> {
    const path = resourcePath(type, { namespace: DEMO_NAMESPACE });
    await this.#rest.performRequest({ method: "POST", path, bodyJson: body, expectJson: true });
  }

  async patch(type: ResourceType, name: string, bodyJson: JsonObject): Promise<void> {
    await this.#rest.performRequest({
      method: "PATCH",
      path: resourcePath(type, { namespace: DEMO_NAMESPACE, name }),
      contentType: "application/merge-patch+json",
      bodyJson,
      expectJson: true,
    });
  }

  /** Deleting what is gone is fine. */
  async delete(type: ResourceType, name: string, options: JsonObject = {}): Promise<void> {
    const path = resourcePath(type, { namespace: DEMO_NAMESPACE, name });
    try {
      await this.#rest.performRequest({
        method: "DELETE",
        path,
        bodyJson: options,
        expectJson: true,
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

/** Read-only questions about the cluster's state. */
export class DemoView {
  readonly #cluster: SimulatedCluster;

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster;
  }

  /** Data of a ConfigMap, if there is one. */
  data(name: string): Record<string, string> | undefined {
    const found = this.#cluster.get("v1", CONFIG_MAPS.kind, DEMO_NAMESPACE, name);
    return found?.["data"] as Record<string, string> | undefined;
  }

  ownerUid(name: string): string | undefined {
    const found = this.#cluster.get("v1", CONFIG_MAPS.kind, DEMO_NAMESPACE, name);
    return found?.metadata.ownerReferences?.[0]?.uid;
  }

  podUid(name: string): string | undefined {
    return this.#cluster.get("v1", PODS.kind, DEMO_NAMESPACE, name)?.metadata.uid;
  }

  /** Status and reason of the Ready condition, such as `True ConfigMapsInPlace`. */
  ready(): string {
    const pcmc = this.#cluster.get(API_GROUP_VERSION, PCMCS.kind, DEMO_NAMESPACE, DEMO_PCMC);
    const status = pcmc?.["status"] as {
      conditions?: { type: string; status: string; reason: string }[];
    } | undefined;
    const ready = status?.conditions?.find(({ type }) => type === "Ready");
    return ready === undefined ? "" : `${ready.status} ${ready.reason}`;
  }

  /** Commits so far by the controller, its lease apart. */
  controllerWrites(): number {
    return this.#cluster.writes
      .filter(({ user, changed, kind }) => user === "controller" && changed && kind !== "Lease")
      .length;
  }

  /** Whether somebody from outside of the demo, such as kubectl, has changed anything. */
  guestsWrote(): boolean {
    return this.#cluster.writes.some(({ user, changed }) =>
      changed && !OWN_USERS.has(user) && !user.startsWith("system:")
    );
  }
}
