/** Templates on the whole controller, against the simulated API server, on a virtual clock. */
import assert from "node:assert/strict";
import { customResourceDefinition } from "../../src/api/crd.ts";
import { Manager } from "../../src/controllers/manager.ts";
import type { DomainMetrics } from "../../src/controllers/settings.ts";
import { projectConfigMap, projectPcmc, projectPod } from "../../src/domain/projections.ts";
import { silentLogger } from "../../src/lib/log.ts";
import { seededRandom } from "../../src/lib/random.ts";
import { VirtualClock } from "../../src/lib/virtual_clock.ts";
import { jsonCodec } from "../../src/runtime/json_codec.ts";
import type { JsonObject, JsonValue } from "../../src/runtime/ports/rest.ts";
import { SimulatedCluster } from "../../src/simulator/cluster.ts";

const metrics: DomainMetrics = {
  configMapOperation() {},
  pcmcStatus() {},
  activeConfigMaps() {},
  forgetPcmc() {},
  eventToWrite() {},
};

const PATH = "/apis/podconfig.example.com/v1alpha1/namespaces/shop/podconfigmapconfigs";

/** A cluster with one controller at work, until disposed. */
class World implements AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly cluster: SimulatedCluster;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor() {
    const random = seededRandom(1);
    const { clock } = this;
    const crds = [customResourceDefinition() as unknown as JsonValue];
    this.cluster = new SimulatedCluster({ clock, random, crds });
    const rest = this.cluster.client({ user: "controller" });
    const manager = new Manager({
      rest: { api: rest, watch: rest, lease: rest },
      codecs: {
        pods: jsonCodec(projectPod),
        configMaps: jsonCodec(projectConfigMap),
        pcmcs: jsonCodec(projectPcmc),
      },
      clock,
      random,
      log: silentLogger,
      metrics,
      runtimeMetrics: {},
      settings: {
        namespaces: [],
        leaderElection: {
          enabled: false,
          leaseDurationMs: 15_000,
          renewDeadlineMs: 10_000,
          retryPeriodMs: 2_000,
          lockName: "lock",
          lockNamespace: "default",
        },
        identity: "one",
        resyncPeriodMs: 600_000,
        podWorkers: 1,
        pcmcWorkers: 1,
        workerInflight: 32,
        maxRetries: 5,
        reconciliationTimeoutMs: 30_000,
      },
    });
    this.#running = manager.run(this.#stop.signal);
  }

  pods(...names: string[]): void {
    this.cluster.seed(names.map((name) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "shop", labels: { app: name } },
      spec: { nodeName: "n1", containers: [{ name: "main", image: "web:1" }] },
    })));
  }

  async apply(templates: Record<string, string>, name = "conf"): Promise<void> {
    const known = this.status(name) !== undefined || this.#stored(name) !== undefined;
    const spec = { configMapDataTemplate: templates };
    if (known) await this.patch(`${PATH}/${name}`, { spec });
    else {
      const metadata = { name, namespace: "shop" };
      const body = { apiVersion: "podconfig.example.com/v1alpha1", kind: "PodConfigMapConfig" };
      this.cluster.seed([{ ...body, metadata, spec }]);
    }
    await this.clock.advance(5_000);
  }

  async patch(path: string, bodyJson: JsonObject): Promise<void> {
    await this.cluster.client().performRequest({
      method: "PATCH",
      path,
      // Custom resources know no strategic patches; a Pod's containers are merged by name.
      contentType: `application/${path.includes("/pods/") ? "strategic-" : ""}merge-patch+json`,
      bodyJson,
      expectJson: true,
    });
  }

  data(pod: string, name = "conf"): Record<string, string> | undefined {
    const found = this.cluster.get("v1", "ConfigMap", "shop", `pod-${pod}-from-${name}-cfg`);
    return found?.["data"] as Record<string, string> | undefined;
  }

  #stored(name: string) {
    return this.cluster.get("podconfig.example.com/v1alpha1", "PodConfigMapConfig", "shop", name);
  }

  status(name = "conf"): {
    failed?: number;
    observedGeneration?: number;
    conditions: { type: string; status: string; message: string }[];
  } | undefined {
    return this.#stored(name)?.["status"] as ReturnType<World["status"]>;
  }

  condition(type: string) {
    return this.status()?.conditions.find((condition) => condition.type === type);
  }

  writes(): number {
    return this.cluster.writes.filter(({ user }) => user === "controller").length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.clock.advance(10_000);
    await this.#running;
    this.cluster.stop();
    assert.equal(this.clock.pendingTimers, 0);
    assert.equal(this.cluster.openWatches, 0);
  }
}

Deno.test("templates are rendered for every Pod, and follow the fields that they reach", async () => {
  await using world = new World();
  world.pods("a", "b");
  await world.apply({ image: "{{ range .spec.containers }}{{ .image }}{{ end }}" });
  assert.equal(world.data("a")?.["image"], "web:1");
  assert.equal(world.data("b")?.["image"], "web:1");
  assert.equal(world.condition("Ready")?.status, "True");
  await world.patch("/api/v1/namespaces/shop/pods/a", {
    spec: { containers: [{ name: "main", image: "web:2" }] },
  });
  await world.clock.advance(1_000);
  assert.equal(world.data("a")?.["image"], "web:2");
  assert.equal(world.data("b")?.["image"], "web:1");
});

Deno.test("a change in a field that no template reaches costs no write", async () => {
  await using world = new World();
  world.pods("a");
  await world.apply({ image: "{{ (index .spec.containers 0).image }}" });
  const before = world.writes();
  await world.patch("/api/v1/namespaces/shop/pods/a/status", { status: { podIP: "10.0.0.1" } });
  await world.clock.advance(60_000);
  assert.equal(world.writes(), before);
});

Deno.test("a changed spec that reaches more fields gets them, for every Pod", async () => {
  await using world = new World();
  world.pods("a", "b");
  await world.apply({ x: "{{ .metadata.labels.app }}" });
  assert.equal(world.data("b")?.["x"], "b");
  await world.apply({ x: "{{ .metadata.labels.app }} on {{ .spec.nodeName }}" });
  assert.equal(world.data("a")?.["x"], "a on n1");
  assert.equal(world.data("b")?.["x"], "b on n1");
  assert.equal(world.status()?.observedGeneration, 2);
});

Deno.test("a template that does not parse is Valid=False with key and line, and ConfigMaps stay", async () => {
  await using world = new World();
  world.pods("a");
  await world.apply({ x: "{{ .metadata.name }}" });
  await world.apply({ x: "one\n{{ if }}" });
  assert.equal(world.condition("Valid")?.status, "False");
  assert.match(
    world.condition("Valid")?.message ?? "",
    /configMapDataTemplate\.x: template: x:2: /,
  );
  assert.equal(world.data("a")?.["x"], "a");
});

Deno.test("a template that fails on one Pod touches that ConfigMap only, is counted, and not retried", async () => {
  await using world = new World();
  world.pods("a", "b");
  const strict = '{{ if eq .metadata.name "b" }}{{ fail "no b" }}{{ end }}fine';
  await world.apply({ x: "{{ .metadata.name }}" });
  await world.apply({ x: strict });
  assert.equal(world.data("a")?.["x"], "fine");
  assert.equal(world.data("b")?.["x"], "b");
  assert.equal(world.status()?.failed, 1);
  assert.equal(world.condition("Ready")?.status, "False");
  assert.match(world.condition("Ready")?.message ?? "", /Pod shop\/b: template: x:1:.*no b/);
  const before = world.writes();
  await world.clock.advance(300_000);
  assert.equal(world.writes(), before);
  await world.apply({ x: "{{ .metadata.name }}!" });
  assert.equal(world.data("b")?.["x"], "b!");
  assert.equal(world.status()?.failed, 0);
});

Deno.test("without templates no Pod is watched twice; the last template takes its watch along", async () => {
  await using world = new World();
  world.pods("a");
  await world.clock.advance(5_000);
  const plain = world.cluster.openWatches;
  await world.apply({ x: "{{ .metadata.name }}" });
  assert.equal(world.cluster.openWatches, plain + 1);
  await world.patch(`${PATH}/conf`, { spec: { configMapDataTemplate: null } });
  await world.clock.advance(5_000);
  assert.equal(world.cluster.openWatches, plain);
  assert.equal(world.data("a")?.["x"], undefined);
});

Deno.test("a name known to be taken is looked at again, not asked for again, until it is free", async () => {
  await using world = new World();
  const name = "pod-a-from-conf-cfg";
  const metadata = { name, namespace: "shop" };
  world.cluster.seed([{
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata,
    data: { precious: "yes" },
  }]);
  world.pods("a");
  await world.apply({ x: "{{ .metadata.name }}" });
  assert.equal(world.condition("Ready")?.status, "False");
  const before = world.writes();
  await world.clock.advance(120_000);
  assert.equal(world.writes(), before);
  assert.deepEqual(world.data("a"), { precious: "yes" });
  const path = `/api/v1/namespaces/shop/configmaps/${name}`;
  await world.cluster.client().performRequest({ method: "DELETE", path, expectJson: true });
  await world.clock.advance(30_000);
  assert.equal(world.data("a")?.["x"], "a");
});
