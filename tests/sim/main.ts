/**
 * Runs the simulation from the command line.
 *
 *     deno run -A tests/sim/main.ts [--seed=N [--trace]] [--from=N] [--seeds=N] [--first] [--json]
 *
 * Exits with 1 when an invariant did not hold. With --first it stops there. With --json: one line a seed, for other programs.
 */
import { type FaultCounts, noCounts } from "./faults.ts";
import { run, type RunResult } from "./simulation.ts";

function option(name: string): string | undefined {
  const prefix = `--${name}=`;
  return Deno.args.find((arg) => arg.startsWith(prefix))?.slice(prefix.length);
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

const flag = (name: string) => Deno.args.includes(`--${name}`);

function report({ seed, violations, excerpt }: RunResult): void {
  say(`seed ${seed}:`);
  for (const { invariant, detail, atMs } of violations) {
    say(`  ${invariant}: ${detail} (at ${atMs / 1000} s)`);
  }
  for (const line of excerpt) say(line);
}

const seed = option("seed");
const from = Number(seed ?? option("from") ?? 1);
const seeds = seed === undefined ? Number(option("seeds") ?? 100) : 1;
const begin = performance.now();
const counts: FaultCounts = noCounts();
let failed = 0;
let [requestsMax, restMax] = [0, 0];
for (let number = from; number < from + seeds; number++) {
  const result = await run({ seed: number, keepTrace: flag("trace") });
  for (const [fault, count] of Object.entries(result.counts)) {
    counts[fault as keyof FaultCounts] += count;
  }
  requestsMax = Math.max(requestsMax, result.requestsMax);
  restMax = Math.max(restMax, result.restAfterMs);
  if (flag("json")) {
    say(JSON.stringify({ ...result, trace: undefined, excerpt: undefined }));
  } else {
    if (flag("trace")) { for (const line of result.trace) say(line); }
    if (result.violations.length > 0) report(result);
    if (seed !== undefined) say(`write log ${result.hash} (${result.writes} writes)`);
  }
  if (result.violations.length > 0) failed++;
  if (failed > 0 && flag("first")) break;
}
if (!flag("json")) {
  say(JSON.stringify(counts));
  const ms = Math.round((performance.now() - begin) / seeds);
  say(`${seeds} seeds, ${failed} failed; ${ms} ms a seed`);
  say(
    `at most ${requestsMax} requests a minute, at rest after at most ${restMax / 1000} s`,
  );
}
Deno.exit(failed > 0 ? 1 : 0);
