/**
 * Runs the controller over another implementation of the `RestClient` contract: here
 * `@cloudydeno/kubernetes-client`, which has written it down.
 *
 *     deno run --allow-all examples/custom_client.ts
 *
 * Not part of the build, and not type-checked with it: this file alone needs JSR.
 */
import { autoDetectClient } from "jsr:@cloudydeno/kubernetes-client@^0.7.3";
import { systemClock } from "../src/lib/clock.ts";
import { adaptRestClient, createLogger, defaultsOf, runController, type Shell } from "../src/mod.ts";

// Three clients, because each has connections of its own: renewing the lease must not wait behind
// other requests, nor these behind watches. The adapter makes that library's errors the controller's.
const [api, watch, lease] = await Promise.all(
  [1, 2, 3].map(async () => adaptRestClient(await autoDetectClient())),
);
if (!api || !watch || !lease) throw new Error("unreachable: three clients were made");

const stop = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const) {
  Deno.addSignalListener(name, () => stop.abort());
}

const shell: Shell = {
  print: (text) => void Deno.stdout.writeSync(new TextEncoder().encode(text)),
  printError: (text) => void Deno.stderr.writeSync(new TextEncoder().encode(text)),
  readTextFile: (path) => Deno.readTextFile(path),
  readStandardInput: () => new Response(Deno.stdin.readable).text(),
  hostName: () => Deno.hostname(),
  colour: false,
};

Deno.exitCode = await runController({
  options: defaultsOf("controller"),
  shell,
  signal: stop.signal,
  log: createLogger({ format: "text", level: "info", clock: systemClock, name: "controller" }),
  clients: { api, watch, lease },
});
