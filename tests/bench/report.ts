/** The benchmark's results as a table: what was measured beside what the project promises. */
import type { ColdResult, FanOutResult, LatencyResult, WarmResult } from "./scenarios.ts";

export interface Results {
  /** `YYYY-MM-DD`, UTC. */
  date: string;
  commit: string;
  machine: { cpus: number; memoryGiB: number; kernel: string };
  kubernetes: string;
  /** What ran: `compiled`, or `deno <version>`. */
  program: string;
  cold?: ColdResult;
  warm?: WarmResult;
  latency?: LatencyResult;
  fanOut?: FanOutResult;
  scale?: ColdResult;
}

interface Row {
  what: string;
  measured: string;
  /** Upper bound; empty where there is none. */
  bound: string;
}

export function markdown(results: Results): string {
  const { machine } = results;
  const rows = [
    ...(results.cold ? coldRows(results.cold) : []),
    ...(results.warm ? warmRows(results.warm) : []),
    ...(results.latency ? latencyRows(results.latency) : []),
    ...(results.fanOut ? fanOutRows(results.fanOut) : []),
    ...(results.scale ? scaleRows(results.scale) : []),
  ];
  return [
    `## ${results.date}, commit ${results.commit}`,
    "",
    `${machine.cpus} CPUs shared by controller, API server and etcd, ${machine.memoryGiB} GiB, ` +
    `Linux ${machine.kernel}; Kubernetes ${results.kubernetes}; ${results.program}.`,
    "",
    "| what | measured | bound |",
    "| --- | --- | --- |",
    ...rows.map(({ what, measured, bound }) => `| ${what} | ${measured} | ${bound} |`),
    "",
  ].join("\n");
}

function coldRows(cold: ColdResult): Row[] {
  const { pods } = cold;
  return [
    {
      what: `${pods} Pods, cold: raw generator, median of ${cold.rawSeconds.length}`,
      measured: `${cold.rawMedian.toFixed(2)} s`,
      bound: "",
    },
    {
      what: `${pods} Pods, cold: controller, from its start to the last ConfigMap`,
      measured: `${cold.controllerMedian.toFixed(2)} s`,
      bound: "",
    },
    { what: "controller / raw", measured: cold.ratio.toFixed(2), bound: "1.3" },
    {
      what: "controller CPU a ConfigMap",
      measured: `${cold.cpuMsPerConfigMap.toFixed(2)} ms`,
      bound: "0.6 ms",
    },
    {
      what: "controller peak resident memory",
      measured: `${cold.peakRssMiB.toFixed(0)} MiB`,
      bound: "150 MB (143 MiB)",
    },
  ];
}

function warmRows(warm: WarmResult): Row[] {
  return [
    {
      what: "restart: first /healthz",
      measured: `${warm.healthySeconds.toFixed(2)} s`,
      bound: "1 s",
    },
    { what: "restart: ready", measured: `${warm.readySeconds.toFixed(2)} s`, bound: "" },
    {
      what: `restart and ${warm.quietSeconds} s of quiet: writes, leases aside`,
      measured: String(warm.writes),
      bound: "0",
    },
    {
      what: "quiet: CPU of the controller a second",
      measured: `${warm.quietCpuMsPerSecond.toFixed(1)} ms`,
      bound: "",
    },
  ];
}

function latencyRows(latency: LatencyResult): Row[] {
  const what = `Pod seen to ConfigMap seen, at ${latency.podsPerSecond} Pods/s`;
  return [
    { what: `${what}: p50`, measured: `${latency.p50Ms.toFixed(1)} ms`, bound: "10 ms" },
    { what: `${what}: p99`, measured: `${latency.p99Ms.toFixed(1)} ms`, bound: "50 ms" },
  ];
}

function fanOutRows(fanOut: FanOutResult): Row[] {
  return [{
    what: `changed PCMC to the last of its ${fanOut.pods} ConfigMaps, median`,
    measured: `${fanOut.median.toFixed(2)} s`,
    bound: "1 s",
  }];
}

function scaleRows(scale: ColdResult): Row[] {
  return [
    {
      what: `${scale.pods} Pods, cold: controller / raw`,
      measured: scale.ratio.toFixed(2),
      bound: "",
    },
    {
      what: `${scale.pods} Pods, cold: controller peak resident memory`,
      measured: `${scale.peakRssMiB.toFixed(0)} MiB`,
      bound: "",
    },
  ];
}
