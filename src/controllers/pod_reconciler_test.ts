import assert from "node:assert/strict";
import { silentLogger } from "../lib/log.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import type { ConfigMapBody } from "../domain/plan.ts";
import { projectConfigMap, projectPcmc, projectPod } from "../domain/projections.ts";
import { ApiClient } from "../runtime/api_client.ts";
import { jsonCodec } from "../runtime/json_codec.ts";
import type { JsonObject, RequestOptions, RestClient } from "../runtime/ports/rest.ts";
import { AbsenceCheck } from "./absence_check.ts";
import { createCaches } from "./caches.ts";
import { ConfigMapWriter } from "./config_map_writer.ts";
import { Ledger } from "./ledger.ts";
import { PodReconciler } from "./pod_reconciler.ts";
import type { ControllerDependencies } from "./settings.ts";

const POD = { metadata: { namespace: "ns", name: "web", uid: "p1", resourceVersion: "1" } };
const pcmc = (generation: number, spec: JsonObject = {}) => ({
  metadata: {
    namespace: "ns",
    name: "cfg",
    uid: "c1",
    resourceVersion: `${generation}`,
    generation,
  },
  spec,
});

/** Reconciles a Pod without its ConfigMap; `meanwhile` happens while the creation is under way. */
async function reconcileWhile(meanwhile: (caches: ReturnType<typeof createCaches>) => void) {
  const clock = new VirtualClock();
  const performRequest = ({ method, bodyJson }: RequestOptions) => {
    assert.equal(method, "POST");
    meanwhile(caches);
    const { metadata, ...rest } = bodyJson as unknown as ConfigMapBody;
    const answer = { ...rest, metadata: { ...metadata, uid: "m1", resourceVersion: "9" } };
    return Promise.resolve(new TextEncoder().encode(JSON.stringify(answer)));
  };
  const rest = { performRequest } as unknown as RestClient;
  const api = new ApiClient({ rest, clock });
  const random = { next: () => 0 };
  const codecs = { pods: projectPod, configMaps: projectConfigMap, pcmcs: projectPcmc };
  const caches = createCaches({
    rest: { api: rest, watch: rest, lease: rest },
    codecs,
    clock,
    random,
    log: silentLogger,
    runtimeMetrics: {},
    settings: { namespaces: [] },
  } as unknown as ControllerDependencies);
  caches.pods.upsert(projectPod(POD), "watch");
  caches.pcmcs.upsert(projectPcmc(pcmc(1)), "watch");
  const reconciler = new PodReconciler({
    caches,
    documents: { get: () => undefined },
    writer: new ConfigMapWriter({
      api,
      store: caches.configMaps,
      codec: jsonCodec(projectConfigMap),
      metrics: { configMapOperation() {} } as unknown as ControllerDependencies["metrics"],
    }),
    absence: new AbsenceCheck(api, clock),
    ledger: new Ledger(),
    clock,
    log: silentLogger,
    served: () => false,
    failures: () => 0,
    maxRetries: 5,
    pairChanged() {},
  });
  const { outcome } = await reconciler.reconcile("ns/web", new AbortController().signal);
  assert.equal(caches.configMaps.size, 1);
  return outcome;
}

Deno.test("a ConfigMap whose PCMC stays as it was is done once created", async () => {
  assert.deepEqual(await reconcileWhile(() => {}), { kind: "done" });
});

Deno.test("a Pod is looked at again when a PCMC went while its ConfigMap was being created", async () => {
  const outcome = await reconcileWhile(({ pcmcs }) => pcmcs.remove("ns/cfg", {}, "watch"));
  assert.deepEqual(outcome, { kind: "after", ms: 0 });
});

Deno.test("a Pod is looked at again when a PCMC changed while its ConfigMap was being created", async () => {
  const spec = { podSelector: { matchLabels: { app: "other" } } };
  const outcome = await reconcileWhile(({ pcmcs }) =>
    pcmcs.upsert(projectPcmc(pcmc(2, spec)), "watch")
  );
  assert.deepEqual(outcome, { kind: "after", ms: 0 });
});
