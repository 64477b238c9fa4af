/** CPU time and memory of this process; cheap enough to be read at each scrape. */
import process from "node:process";
import type { ProcessUsage } from "./metrics/metrics.ts";

export function processUsage(): ProcessUsage {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = Deno.memoryUsage();
  return { cpuSeconds: (user + system) / 1e6, residentBytes: rss, heapBytes: heapUsed };
}

/** Start of this process, in seconds since the epoch, to the millisecond. */
export function processStartSeconds(): number {
  return Math.round(performance.timeOrigin) / 1000;
}
