import { deepEqual, equal, ok } from "node:assert/strict";
import { silentLogger } from "../lib/log.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import type { ObservedConfigMap, PodFacts } from "../domain/model.ts";
import { configMapOwners } from "../domain/ownership.ts";
import { type PcmcView, projectConfigMap, projectPcmc, projectPod } from "../domain/projections.ts";
import { ApiClient } from "../runtime/api_client.ts";
import { jsonCodec } from "../runtime/json_codec.ts";
import { KubeApiError } from "../runtime/ports/errors.ts";
import type { RequestOptions, RestClient } from "../runtime/ports/rest.ts";
import { Store } from "../runtime/store.ts";
import { AbsenceCheck } from "./absence_check.ts";
import { ConfigMapWriter } from "./config_map_writer.ts";
import { Ledger } from "./ledger.ts";
import { PodReconciler } from "./pod_reconciler.ts";

const byNamespace = (object: { namespace: string }) => [object.namespace];

/** Takes everything, and keeps one ConfigMap; or says that the name is someone else's. */
class Server {
  readonly writes: string[] = [];
  foreign = false;
  #version = 1;
  #body: Record<string, unknown> = {};

  readonly performRequest = async (request: RequestOptions) => {
    const answer = await this.#perform(request);
    return request.expectJson ? answer : new TextEncoder().encode(JSON.stringify(answer));
  };

  #perform(request: RequestOptions): Promise<object> {
    this.writes.push(request.method);
    if (request.method === "GET") {
      const metadata = {
        namespace: "ns",
        name: "pod-x-from-x-cfg",
        uid: "f",
        resourceVersion: "9",
      };
      return this.foreign ? Promise.resolve({ metadata }) : this.#refuse(404, "NotFound");
    }
    if (request.method === "POST") {
      if (this.foreign) return this.#refuse(409, "AlreadyExists");
      this.#body = request.bodyJson as Record<string, unknown>;
    }
    return Promise.resolve(this.changed({}));
  }

  /** The ConfigMap, written once more. */
  changed(parts: Record<string, unknown>): Record<string, unknown> {
    const version = { uid: "cm", resourceVersion: String(++this.#version) };
    const metadata = { ...this.#body["metadata"] as object, ...version };
    return { ...this.#body, metadata, ...parts };
  }

  #refuse(status: number, reason: string): Promise<never> {
    return Promise.reject(new KubeApiError({ status, reason, message: reason }));
  }
}

/** One Pod, one PodConfigMapConfig that selects it, and a server. */
function setUp() {
  const clock = new VirtualClock();
  const configMaps = new Store<ObservedConfigMap>({
    indexes: {
      pod: (object) => {
        const owners = configMapOwners(object);
        return owners === undefined ? [] : [`${object.namespace}/${owners.pod}`];
      },
    },
  });
  const pods = new Store<PodFacts>({ indexes: { namespace: byNamespace } });
  const pcmcs = new Store<PcmcView>({ indexes: { namespace: byNamespace } });
  const metadata = { namespace: "ns", name: "x", uid: "u", generation: 1, resourceVersion: "1" };
  pods.upsert(projectPod({ metadata, status: { phase: "Running" } }), "watch");
  pcmcs.upsert(projectPcmc({ metadata, spec: {} }), "watch");
  const server = new Server();
  const api = new ApiClient({ rest: server as unknown as RestClient, clock });
  const metrics = {
    configMapOperation() {},
    pcmcStatus() {},
    activeConfigMaps() {},
    forgetPcmc() {},
    eventToWrite() {},
  };
  const ledger = new Ledger();
  ledger.begin("ns/x", { uid: "u", generation: 1, at: 0, matching: ["ns/x"] });
  const options = {
    caches: { pods, pcmcs, configMaps, informers: [] },
    documents: { get: () => undefined },
    writer: new ConfigMapWriter({
      api,
      store: configMaps,
      codec: jsonCodec(projectConfigMap),
      metrics,
    }),
    absence: new AbsenceCheck(api, clock),
    ledger,
    clock,
    log: silentLogger,
    served: () => false,
    failures: () => 0,
    maxRetries: 5,
    pairChanged: () => {},
  };
  const reconciler = new PodReconciler(options);
  const reconcile = () => reconciler.reconcile("ns/x", new AbortController().signal);
  /** Someone writes other data. */
  const disturb = () =>
    configMaps.upsert(projectConfigMap(server.changed({ data: { a: "b" } })), "watch");
  return { clock, server, writes: server.writes, reconcile, disturb, ledger };
}

Deno.test("someone who undoes every write gets a few, then one every two seconds", async () => {
  const { clock, writes, reconcile, disturb } = setUp();
  deepEqual(await reconcile(), { outcome: { kind: "done" }, wrote: true });
  deepEqual(writes, ["POST"]);
  let passes = 1;
  for (; passes < 1_000; passes++) {
    disturb();
    const { outcome } = await reconcile();
    if (outcome.kind === "after") break;
  }
  ok(passes >= 10 && passes <= 30, `${passes} passes at once`);
  const before = writes.length;
  for (let second = 0; second < 60; second++) {
    await clock.advance(1_000);
    disturb();
    await reconcile();
  }
  equal(writes.length - before, 30);
  await clock.advance(120_000);
  disturb();
  const { outcome, wrote } = await reconcile();
  ok(outcome.kind === "done" && wrote, "after a rest, at once again");
});

Deno.test("a Pod that is as wanted is looked at as often as one likes", async () => {
  const { writes, reconcile } = setUp();
  await reconcile();
  for (let i = 0; i < 100; i++) equal((await reconcile()).outcome.kind, "done");
  deepEqual(writes, ["POST"]);
});

Deno.test("a name that someone else has is looked at again by reading, and taken once it is free", async () => {
  const { server, writes, reconcile, ledger } = setUp();
  server.foreign = true;
  for (let i = 0; i < 3; i++) equal((await reconcile()).outcome.kind, "after");
  equal(ledger.stateOf("ns/x", "ns/x"), "conflict");
  deepEqual(writes, ["POST", "GET", "GET", "GET"]);
  server.foreign = false;
  for (let i = 0; i < 3 && (await reconcile()).outcome.kind === "after"; i++);
  equal(ledger.stateOf("ns/x", "ns/x"), "in-place");
  deepEqual(writes.slice(4), ["GET", "POST"]);
});
