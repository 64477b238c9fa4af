import assert from "node:assert/strict";
import { eventually } from "../support/eventually.ts";
import { RunningProcess, temporaryDir } from "../support/processes.ts";
import { processUsage } from "./sampler.ts";

Deno.test({
  name: "processUsage() counts the CPU and memory of a process",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using dir = await temporaryDir("sampler-test");
    await using busy = await RunningProcess.start({
      command: "sh",
      args: ["-c", "while :; do :; done"],
      logFile: `${dir.path}/log`,
    });
    const usage = await eventually("the CPU time adds up", () => {
      const now = processUsage(busy.pid);
      return now.cpuMs >= 50 && now;
    });
    assert.ok(usage.rssMiB > 0.1 && usage.rssMiB < 100, `${usage.rssMiB} MiB`);
    assert.ok(usage.peakRssMiB >= usage.rssMiB, `${usage.peakRssMiB} MiB at most`);
  },
});
