/**
 * The stage of a benchmark: a control plane with the CRD, RBAC, Pods and PCMCs in place, and the
 * measurements that scenarios share. Counts come from the API server, never from the controller.
 */
import { sleep, systemClock } from "../../src/lib/clock.ts";
import { type Clients, createClients } from "../../src/kube/clients.ts";
import type { JsonObject, JsonValue } from "../../src/runtime/ports/rest.ts";
import { type AuditEntry, type AuditMark, WRITE_VERBS } from "../support/audit_log.ts";
import { type ControlPlane, startControlPlane } from "../support/control_plane.ts";
import {
  CONTROLLER_USER,
  controllerKubeconfig,
  ControllerProcess,
  HOME_NAMESPACE,
  installManifests,
  SERVICE_ACCOUNT,
} from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { output } from "../support/processes.ts";
import { connectionTo, createAll, type Target } from "./writers.ts";
import { namespaceOf, pcmcBody, podBody, PODS_PER_PCMC } from "./workload.ts";

const GENERATED = "podconfig.example.com/generated-by-pcmc";
/** The garbage collector and the server's caches digest what was just written. */
const SETTLE_MS = 2_000;
const PATIENCE_MS = 300_000;

export interface Watched {
  /** `ADDED`, `MODIFIED`, `DELETED`. */
  type: string;
  name: string;
  labels: Readonly<Record<string, string>>;
  atMs: number;
}

export class Stage implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly #admin: Clients;
  readonly #command: readonly string[];
  readonly #kubeconfig: string;
  #starts = 0;
  #pods = 0;
  #namespaces: string[] = [];

  private constructor(
    parts: {
      plane: ControlPlane;
      admin: Clients;
      command: readonly string[];
      kubeconfig: string;
    },
  ) {
    this.plane = parts.plane;
    this.#admin = parts.admin;
    this.#command = parts.command;
    this.#kubeconfig = parts.kubeconfig;
  }

  /** `command`: the controller's command line up to its own arguments. */
  static async set(command: readonly string[]): Promise<Stage> {
    const plane = await startControlPlane({ audit: "writes" });
    try {
      await installManifests(plane);
      await plane.kubectl("create", "serviceaccount", "bench", "-n", "default");
      await plane.kubectl(
        ...["create", "clusterrolebinding", "bench", "--clusterrole=cluster-admin"],
        "--serviceaccount=default:bench",
      );
      const token = await plane.serviceAccountToken("default", "bench");
      const { url, caCertificate } = plane;
      const admin = createClients(connectionTo({ url, caCertificate, token }));
      const kubeconfig = await controllerKubeconfig(plane);
      return new Stage({ plane, admin, command, kubeconfig });
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /** Pods on the stage; each has one ConfigMap when the controller is done. */
  get pods(): number {
    return this.#pods;
  }

  /** Fills up to `count` Pods, a multiple of {@link PODS_PER_PCMC}, and one PCMC for each 500. */
  async fill(count: number): Promise<void> {
    if (count % PODS_PER_PCMC !== 0) throw new Error(`Cannot make ${count} Pods: not n times 500`);
    const indexes = Array.from({ length: count - this.#pods }, (_, at) => this.#pods + at);
    const added = [...new Set(indexes.map(namespaceOf))];
    for (const namespace of added) await this.plane.createNamespace(namespace);
    await createAll(this.#admin.api, added.map((namespace) => pcmcBody(namespace)));
    await createAll(this.#admin.api, indexes.map(podBody));
    this.#pods = count;
    this.#namespaces.push(...added);
    await sleep(systemClock, SETTLE_MS);
  }

  /** Starts a replica; `pid`, readiness and metrics are the result's. */
  startController(): Promise<ControllerProcess> {
    return ControllerProcess.start({
      plane: this.plane,
      kubeconfig: this.#kubeconfig,
      command: this.#command,
      name: `bench-${++this.#starts}`,
    });
  }

  /** What the raw generator writes with: the controller's own rights. */
  async controllerTarget(): Promise<Target> {
    const token = await this.plane.serviceAccountToken(HOME_NAMESPACE, SERVICE_ACCOUNT);
    return { url: this.plane.url, caCertificate: this.plane.caCertificate, token };
  }

  async create(bodies: readonly JsonObject[]): Promise<number> {
    return await createAll(this.#admin.api, bodies);
  }

  async mergePatch(path: string, body: JsonObject): Promise<void> {
    await this.#admin.api.performRequest({
      method: "PATCH",
      path,
      contentType: "application/merge-patch+json",
      bodyJson: body,
    });
  }

  /** Generated ConfigMaps as they would be created again: without what the server added. */
  async generatedBodies(): Promise<JsonObject[]> {
    const bodies: JsonObject[] = [];
    for (const namespace of this.#namespaces) {
      const path = `/api/v1/namespaces/${namespace}/configmaps?labelSelector=${GENERATED}`;
      const list = await this.plane.expect("GET", path);
      for (const { metadata, data } of list.items) {
        const { name, labels, annotations, ownerReferences } = metadata;
        const kept = { name, namespace, labels, annotations, ownerReferences };
        bodies.push({ apiVersion: "v1", kind: "ConfigMap", metadata: kept, data });
      }
    }
    return bodies;
  }

  async deleteGenerated(): Promise<void> {
    for (const namespace of this.#namespaces) {
      const path = `/api/v1/namespaces/${namespace}/configmaps?labelSelector=${GENERATED}`;
      await this.plane.expect("DELETE", path);
    }
    await sleep(systemClock, SETTLE_MS);
  }

  /** ConfigMaps of the cluster, whoever made them: one cheap request. */
  async countConfigMaps(): Promise<number> {
    const list = await this.#admin.api.performRequest({
      method: "GET",
      path: "/api/v1/configmaps",
      querystring: new URLSearchParams({ limit: "1" }),
      accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
      expectJson: true,
    }) as { items: JsonValue[]; metadata: { remainingItemCount?: number } };
    return list.items.length + (list.metadata.remainingItemCount ?? 0);
  }

  /** @returns when it was so, on {@link systemClock}'s monotonic scale. */
  async configMapsReach(count: number, controller: ControllerProcess): Promise<number> {
    await eventually(`there are ${count} ConfigMaps`, async () => {
      if (controller.process.ended !== undefined) return true;
      return await this.countConfigMaps() === count;
    }, { everyMs: 20, timeoutMs: PATIENCE_MS });
    if (controller.process.ended !== undefined) {
      throw new Error(`Cannot measure: the controller ended\n${await controller.process.tail()}`);
    }
    return systemClock.monotonic();
  }

  /** Writes of the controller since `mark`, leases aside. */
  controllerWrites(mark: AuditMark): Promise<AuditEntry[]> {
    const filter = { user: CONTROLLER_USER, verbs: WRITE_VERBS, notResources: ["leases"] };
    return this.plane.auditLog.entries(filter, mark);
  }

  /** Follows a collection from now on until `signal` aborts. Resolves once the server has begun to answer. */
  async watch(
    path: string,
    signal: AbortSignal,
    seen: (event: Watched) => void,
  ): Promise<void> {
    const list = await this.plane.expect("GET", `${path}?limit=1`);
    const { resourceVersion } = list.metadata;
    const stream = await this.#admin.watch.performRequest({
      method: "GET",
      path,
      querystring: new URLSearchParams({ watch: "1", resourceVersion, timeoutSeconds: "3600" }),
      expectStream: true,
      expectJson: true,
      abortSignal: signal,
    });
    (async () => {
      for await (const event of stream) seen(watched(event));
    })().catch((error) => {
      if (!signal.aborted) throw error;
    });
  }

  kubernetesVersion(): Promise<string> {
    return this.plane.expect("GET", "/version").then((version) => version.gitVersion);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#admin.close();
    await this.plane.stop();
  }
}

function watched(event: JsonValue): Watched {
  const { type, object } = event as {
    type: string;
    object: { metadata: { name: string; labels?: Record<string, string> } };
  };
  const { name, labels } = object.metadata;
  return { type, name, labels: labels ?? {}, atMs: systemClock.monotonic() };
}

/** Short commit of this checkout, with a mark when files differ from it. */
export async function commitName(): Promise<string> {
  const head = (await output("git", ["rev-parse", "--short=12", "HEAD"])).trim();
  const changes = await output("git", ["status", "--porcelain", "--untracked-files=no"]);
  return changes === "" ? head : `${head}-dirty`;
}
