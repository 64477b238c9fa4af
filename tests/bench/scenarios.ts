/**
 * What is measured, one function a scenario. All of them compare within one run: the machine's
 * speed is the raw generator's business, which runs in turn with the controller.
 */
import { sleep, systemClock } from "../../src/lib/clock.ts";
import type { JsonObject } from "../../src/runtime/ports/rest.ts";
import type { ControllerProcess } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { output, temporaryDir } from "../support/processes.ts";
import { processUsage } from "./sampler.ts";
import type { Stage } from "./stage.ts";
import { collectionPath, pcmcBody, pcmcSpec, podBody, PODS_PER_PCMC } from "./workload.ts";

export interface ColdResult {
  pods: number;
  /** Seconds of each pair: the raw generator, then the controller from its start to the last ConfigMap. */
  rawSeconds: number[];
  controllerSeconds: number[];
  rawMedian: number;
  controllerMedian: number;
  ratio: number;
  cpuMsPerConfigMap: number;
  peakRssMiB: number;
}

/** Nothing is there but Pods and PCMCs; every ConfigMap is to be made. */
export async function coldConvergence(stage: Stage, pairs: number): Promise<ColdResult> {
  const before = await stage.countConfigMaps();
  const wanted = before + stage.pods;
  const first = await coldRun(stage, wanted);
  const bodies = await stage.generatedBodies();
  const rawSeconds: number[] = [];
  const runs: ColdRun[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    await stage.deleteGenerated();
    rawSeconds.push(await rawRun(stage, bodies));
    await stage.deleteGenerated();
    runs.push(await coldRun(stage, wanted));
  }
  const rawMedian = median(rawSeconds);
  const controllerMedian = median(runs.map((run) => run.seconds));
  return {
    pods: stage.pods,
    rawSeconds,
    controllerSeconds: runs.map((run) => run.seconds),
    rawMedian,
    controllerMedian,
    ratio: controllerMedian / rawMedian,
    cpuMsPerConfigMap: median(runs.map((run) => run.cpuMs)) / stage.pods,
    peakRssMiB: Math.max(...[first, ...runs].map((run) => run.peakRssMiB)),
  };
}

interface ColdRun {
  seconds: number;
  cpuMs: number;
  peakRssMiB: number;
}

async function coldRun(stage: Stage, wanted: number): Promise<ColdRun> {
  const begin = systemClock.monotonic();
  await using controller = await stage.startController();
  const end = await stage.configMapsReach(wanted, controller);
  const { cpuMs, peakRssMiB } = processUsage(controller.process.pid);
  return { seconds: (end - begin) / 1000, cpuMs, peakRssMiB };
}

async function rawRun(stage: Stage, bodies: readonly JsonObject[]): Promise<number> {
  await using dir = await temporaryDir("bench-raw");
  const target = `${dir.path}/target.json`;
  const bodiesFile = `${dir.path}/bodies.json`;
  await Deno.writeTextFile(target, JSON.stringify(await stage.controllerTarget()));
  await Deno.writeTextFile(bodiesFile, JSON.stringify(bodies));
  const program = new URL("writers.ts", import.meta.url).pathname;
  const args = ["run", "--no-check", "--allow-all", program, target, bodiesFile];
  return Number(await output(Deno.execPath(), args));
}

export interface WarmResult {
  healthySeconds: number;
  readySeconds: number;
  /** Of the controller from its start to `quietSeconds` after it was ready, leases aside. */
  writes: number;
  quietSeconds: number;
  quietCpuMsPerSecond: number;
  peakRssMiB: number;
}

/** All ConfigMaps are there: a restart, and a minute in which nothing happens. */
export async function warmRestart(stage: Stage, quietSeconds: number): Promise<WarmResult> {
  const mark = await stage.plane.auditLog.mark();
  const begin = systemClock.monotonic();
  await using controller = await stage.startController();
  await eventually("it is healthy", async () => (await controller.get("/healthz")).status === 200, {
    everyMs: 5,
  });
  const healthySeconds = (systemClock.monotonic() - begin) / 1000;
  await controller.ready();
  const readySeconds = (systemClock.monotonic() - begin) / 1000;
  const { cpuMs } = processUsage(controller.process.pid);
  await sleep(systemClock, quietSeconds * 1000);
  const usage = processUsage(controller.process.pid);
  return {
    healthySeconds,
    readySeconds,
    writes: (await stage.controllerWrites(mark)).length,
    quietSeconds,
    quietCpuMsPerSecond: (usage.cpuMs - cpuMs) / quietSeconds,
    peakRssMiB: usage.peakRssMiB,
  };
}

/** Indexes that no other Pod on the stage has. */
const LATENCY_PODS_FROM = 1_000_000;

export interface LatencyResult {
  pods: number;
  podsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

/** From the moment a watching client saw the new Pod to the moment it saw its ConfigMap. */
export async function eventLatency(
  stage: Stage,
  controller: ControllerProcess,
  options: { pods: number; podsPerSecond: number },
): Promise<LatencyResult> {
  const namespace = "bench-latency";
  await stage.plane.createNamespace(namespace);
  await stage.create([pcmcBody(namespace)]);
  await controller.ready();
  using watching = abortOnDispose();
  const podSeen = new Map<string, number>();
  const mapSeen = new Map<string, number>();
  const path = (kind: string) => `/api/v1/namespaces/${namespace}/${kind}`;
  await stage.watch(path("pods"), watching.signal, (event) => {
    if (event.type === "ADDED") podSeen.set(event.name, event.atMs);
  });
  await stage.watch(path("configmaps"), watching.signal, (event) => {
    const name = /^pod-(.*)-from-bench-cfg$/.exec(event.name)?.[1];
    if (event.type === "ADDED" && name !== undefined) mapSeen.set(name, event.atMs);
  });
  const begin = systemClock.monotonic();
  for (let at = 0; at < options.pods; at++) {
    const due = begin + at * 1000 / options.podsPerSecond;
    await sleep(systemClock, Math.max(0, due - systemClock.monotonic()));
    const body = podBody(LATENCY_PODS_FROM + at);
    (body["metadata"] as JsonObject)["namespace"] = namespace;
    await stage.create([body]);
  }
  const complete = () => mapSeen.size === options.pods && podSeen.size === options.pods;
  await eventually("every Pod has its ConfigMap", complete);
  // Two watches have no common order: a ConfigMap may be seen a moment before its Pod.
  const latencies = [...mapSeen].map(([name, at]) => Math.max(0, at - (podSeen.get(name) ?? NaN)));
  latencies.sort((a, b) => a - b);
  return {
    ...options,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    maxMs: quantile(latencies, 1),
  };
}

export interface FanOutResult {
  pods: number;
  /** From the answer to the PCMC's change to the last changed ConfigMap, as a watching client saw it. */
  seconds: number[];
  median: number;
}

/** A PCMC changes what it copies: all of its Pods' ConfigMaps follow. */
export async function fanOut(stage: Stage, rounds: number): Promise<FanOutResult> {
  const namespace = "bench-0";
  const path = `${collectionPath(pcmcBody(namespace))}/bench`;
  const seconds: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    using watching = abortOnDispose();
    const changed = new Set<string>();
    let last = 0;
    await stage.watch(`/api/v1/namespaces/${namespace}/configmaps`, watching.signal, (event) => {
      if (event.type === "MODIFIED") changed.add(event.name);
      last = event.atMs;
    });
    await stage.mergePatch(path, { spec: pcmcSpec(round) });
    const begin = systemClock.monotonic();
    await eventually("every ConfigMap changed", () => changed.size === PODS_PER_PCMC);
    seconds.push(Math.max(0, last - begin) / 1000);
    await sleep(systemClock, 1_000);
  }
  return { pods: PODS_PER_PCMC, seconds, median: median(seconds) };
}

function abortOnDispose(): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  return { signal: controller.signal, [Symbol.dispose]: () => controller.abort() };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = NaN, high = NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

/** Of values in ascending order: the smallest that at least the share `q` of them does not exceed. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? NaN;
}
