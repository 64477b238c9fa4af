/**
 * The objects of the benchmarks: Pods as large as real ones (between 5 and 7 KB of JSON), PCMCs that
 * select 500 of them each. Deterministic: the same number makes the same object.
 */
import type { JsonObject } from "../../src/runtime/ports/rest.ts";

export const PODS_PER_PCMC = 500;
const GROUP = "podconfig.example.com/v1alpha1";

/** The labels and annotations that the PCMCs copy. */
const LABELS = ["app", "app.kubernetes.io/version", "tier", "team"];
const ANNOTATIONS = ["build-id", "example.com/commit-sha"];

/** Namespaces hold {@link PODS_PER_PCMC} Pods and one PCMC each. */
export function namespaceOf(pod: number): string {
  return `bench-${Math.floor(pod / PODS_PER_PCMC)}`;
}

export function podBody(index: number): JsonObject {
  const app = `app-${index % 50}`;
  const name = `${app}-7d9c5b${(index * 7919 % 65536).toString(16).padStart(4, "0")}-${index}`;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: namespaceOf(index),
      labels: {
        app,
        "app.kubernetes.io/name": app,
        "app.kubernetes.io/version": `1.${index % 20}.0`,
        "pod-template-hash": "7d9c5b8f6d",
        team: `team-${index % 7}`,
        tier: index % 2 === 0 ? "frontend" : "backend",
      },
      annotations: {
        "build-id": `build-${index}`,
        "example.com/commit-sha": (index * 2654435761 % 2 ** 32).toString(16).padStart(40, "0"),
        "example.com/config": JSON.stringify({ flags: words(10, index) }),
        "prometheus.io/port": "9090",
        "prometheus.io/scrape": "true",
      },
    },
    spec: {
      nodeName: `node-${index % 100}`,
      terminationGracePeriodSeconds: 0,
      containers: [container("main", index), container("sidecar", index + 1)],
      volumes: [{ name: "cache", emptyDir: {} }, { name: "work", emptyDir: {} }],
    },
  };
}

function container(name: string, seed: number): JsonObject {
  const probe = { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 10 };
  return {
    name,
    image: `registry.example.com/platform/${name}:1.${seed % 20}.0`,
    args: ["--listen=:8080", "--log-level=info", `--shard=${seed % 16}`],
    env: words(3, seed).map((value, at) => ({ name: `SETTING_${at}`, value })),
    ports: [{ name: "http", containerPort: 8080 }],
    resources: {
      requests: { cpu: "100m", memory: "128Mi" },
      limits: { memory: "256Mi" },
    },
    livenessProbe: probe,
    readinessProbe: probe,
    volumeMounts: [{ name: "cache", mountPath: "/cache" }, { name: "work", mountPath: "/work" }],
  };
}

function words(count: number, seed: number): string[] {
  return Array.from({ length: count }, (_, at) => `value-${(seed * 31 + at * 17) % 9973}`);
}

/** One for each namespace, for all its Pods; `revision` changes what it copies. */
export function pcmcBody(namespace: string, revision = 0): JsonObject {
  return {
    apiVersion: GROUP,
    kind: "PodConfigMapConfig",
    metadata: { name: "bench", namespace },
    spec: pcmcSpec(revision),
  };
}

export function pcmcSpec(revision: number): JsonObject {
  return {
    podSelector: { matchExpressions: [{ key: "tier", operator: "Exists" }] },
    labelsToInclude: revision % 2 === 0 ? LABELS : [...LABELS, "pod-template-hash"],
    annotationsToInclude: ANNOTATIONS,
  };
}

export function collectionPath(body: JsonObject): string {
  const { namespace } = body["metadata"] as { namespace: string };
  switch (body["kind"]) {
    case "Pod":
      return `/api/v1/namespaces/${namespace}/pods`;
    case "ConfigMap":
      return `/api/v1/namespaces/${namespace}/configmaps`;
    case "PodConfigMapConfig":
      return `/apis/${GROUP}/namespaces/${namespace}/podconfigmapconfigs`;
    default:
      throw new Error(`Cannot place an object of kind ${body["kind"]}`);
  }
}
