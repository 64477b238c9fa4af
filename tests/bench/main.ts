/**
 * Measures the controller against a real API server, beside a raw generator in the same run.
 *
 *     deno task bench [--pods N] [--pairs N] [--quiet SECONDS] [--only NAME,...] [--record] [-- COMMAND...]
 *
 * - Scenarios: cold, warm, latency, fanout, scale (twice the Pods). Default: all.
 * - COMMAND is the controller's command line up to its own arguments; default CONTROLLER_BINARY,
 *   else the sources.
 * - Prints the table; keeps table and JSON in .bench/. `--record` adds both to docs/performance.md.
 *
 * Needs KUBEBUILDER_ASSETS and Linux.
 */
import { controllerCommand } from "../support/controller.ts";
import { addRecord } from "./record.ts";
import { markdown, type Results } from "./report.ts";
import { coldConvergence, eventLatency, fanOut, warmRestart } from "./scenarios.ts";
import { commitName, Stage } from "./stage.ts";

const SCENARIOS = ["cold", "warm", "latency", "fanout", "scale"];
interface Options {
  pods: number;
  pairs: number;
  quietSeconds: number;
  only: readonly string[];
  record: boolean;
  command: readonly string[];
}

function parseOptions(args: readonly string[]): Options {
  const options: Options = {
    pods: 5_000,
    pairs: 5,
    quietSeconds: 60,
    only: SCENARIOS,
    record: false,
    command: controllerCommand(),
  };
  for (let at = 0; at < args.length; at++) {
    const value = () => String(args[++at] ?? "");
    if (args[at] === "--pods") options.pods = count(value());
    else if (args[at] === "--pairs") options.pairs = count(value());
    else if (args[at] === "--quiet") options.quietSeconds = count(value());
    else if (args[at] === "--only") options.only = value().split(",");
    else if (args[at] === "--record") options.record = true;
    else if (args[at] === "--") {
      options.command = args.slice(at + 1);
      break;
    } else throw new Error(`Cannot run the benchmark: unknown option ${args[at]}`);
  }
  const unknown = options.only.filter((name) => !SCENARIOS.includes(name));
  if (unknown.length > 0) throw new Error(`Cannot run ${unknown}: there are ${SCENARIOS}`);
  return options;
}

function count(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new Error(`Cannot use "${text}" as a count`);
  return number;
}

async function measure(options: Options): Promise<Results> {
  const chosen = (name: string) => options.only.includes(name);
  await using stage = await Stage.set(options.command);
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    commit: await commitName(),
    machine: {
      cpus: navigator.hardwareConcurrency,
      memoryGiB: Math.round(Deno.systemMemoryInfo().total / 2 ** 30),
      kernel: Deno.osRelease(),
    },
    kubernetes: await stage.kubernetesVersion(),
    program: options.command.includes("run") ? `deno ${Deno.version.deno}` : "compiled",
  };
  say(`${options.pods} Pods`);
  await stage.fill(options.pods);
  if (chosen("cold")) {
    say("cold convergence");
    results.cold = await coldConvergence(stage, options.pairs);
  } else await converge(stage);
  if (chosen("warm")) {
    say("warm restart and quiet window");
    results.warm = await warmRestart(stage, options.quietSeconds);
  }
  if (chosen("latency") || chosen("fanout")) {
    await using controller = await stage.startController();
    await controller.ready();
    if (chosen("fanout")) {
      say("fan-out");
      results.fanOut = await fanOut(stage, options.pairs);
    }
    if (chosen("latency")) {
      say("event to ConfigMap");
      results.latency = await eventLatency(stage, controller, { pods: 400, podsPerSecond: 20 });
    }
  }
  if (chosen("scale")) {
    say(`${2 * options.pods} Pods`);
    await stage.deleteGenerated();
    await stage.fill(2 * options.pods);
    results.scale = await coldConvergence(stage, 1);
  }
  return results;
}

/** For scenarios that begin with every ConfigMap in place. */
async function converge(stage: Stage): Promise<void> {
  const wanted = await stage.countConfigMaps() + stage.pods;
  await using controller = await stage.startController();
  await stage.configMapsReach(wanted, controller);
}

async function main(): Promise<void> {
  const options = parseOptions(Deno.args);
  const results = await measure(options);
  const table = markdown(results);
  const json = JSON.stringify(results, undefined, 2);
  await Deno.mkdir(".bench", { recursive: true });
  const path = `.bench/${results.date}-${results.commit}`;
  await Deno.writeTextFile(`${path}.json`, `${json}\n`);
  await Deno.writeTextFile(`${path}.md`, table);
  if (options.record) await addRecord({ table, json });
  say(`\n${table}`);
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) await main();
