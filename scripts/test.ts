/**
 * Runs the tiers of tests one after the other, and sums up.
 *
 *     deno task test [tier...]
 *
 * - The last line is `N passed, N failed, N skipped`; the exit code is 0 exactly when nothing
 *   failed and, with CI=true, nothing was skipped but what `tiers.ts` allows.
 * - A test that leaves a process or a temporary file behind fails the run.
 * - Lines of a test's output that begin with `report: ` are shown; the rest only when it failed.
 */
import { buildProgram } from "./build.ts";
import { readJunit, type TestCounts } from "./junit.ts";
import { CONFINED_RIGHTS, SKIPS_ALLOWED_IN_CI, type Tier, TIERS } from "./tiers.ts";

const RUN_ID_VARIABLE = "PODCONFIGMAP_TEST_RUN";
/** Guards of killed test files need a moment to remove what these left. */
const CLEANUP_GRACE_MS = 3_000;

interface TierResult extends TestCounts {
  /** What went wrong beside the tests themselves. */
  problems: string[];
}

async function main(): Promise<number> {
  const unknown = Deno.args.filter((name) => !TIERS.some((tier) => tier.name === name));
  if (unknown.length > 0) {
    const known = TIERS.map((tier) => tier.name).join(", ");
    say(`Cannot run ${unknown.join(", ")}: the tiers are ${known}`);
    return 2;
  }
  const runDir = await Deno.makeTempDir({ prefix: "podconfigmap-tests-" });
  const stop = () => {
    Deno.removeSync(runDir, { recursive: true });
    Deno.exit(130);
  };
  Deno.addSignalListener("SIGINT", stop);
  try {
    return await runTiers(runDir);
  } finally {
    Deno.removeSignalListener("SIGINT", stop);
    await Deno.remove(runDir, { recursive: true });
  }
}

async function runTiers(runDir: string): Promise<number> {
  const total: TestCounts = { passed: 0, failed: 0, skipped: [] };
  for (const tier of TIERS) {
    if (Deno.args.length > 0 && !Deno.args.includes(tier.name)) continue;
    const paths = tier.paths.flatMap(testFiles);
    if (paths.length === 0) continue;
    const result = await runTier(tier, paths, runDir);
    total.passed += result.passed;
    // A problem is a failure that no test of its own reported.
    total.failed += result.failed + result.problems.length;
    total.skipped.push(...result.skipped);
  }
  for (const path of outsideOfTiers()) {
    say(`${path}: belongs to no tier of scripts/tiers.ts`);
    total.failed++;
  }
  const forbidden = Deno.env.get("CI") === "true"
    ? total.skipped.filter((name) => !SKIPS_ALLOWED_IN_CI.some((s) => s.pattern.test(name)))
    : [];
  for (const name of forbidden) say(`Not allowed to be skipped in CI: ${name}`);
  say(`${total.passed} passed, ${total.failed} failed, ${total.skipped.length} skipped`);
  return total.failed > 0 || forbidden.length > 0 ? 1 : 0;
}

async function runTier(tier: Tier, paths: string[], runDir: string): Promise<TierResult> {
  const begin = performance.now();
  say(`${tier.name}: running`);
  const dir = `${runDir}/${tier.name}`;
  await Deno.mkdir(`${dir}/tmp`, { recursive: true });
  const env: Record<string, string> = {
    TMPDIR: `${dir}/tmp`,
    NO_COLOR: "1",
    [RUN_ID_VARIABLE]: dir,
  };
  try {
    if (tier.usesBinary && Deno.env.get("DENORT_BIN")) {
      env["CONTROLLER_BINARY"] = await buildProgram({ output: `${dir}/podconfigmap-controller` });
    }
  } catch (error) {
    say(`${tier.name}: ${error instanceof Error ? error.message : error}`);
    return { passed: 0, failed: 0, skipped: [], problems: ["build"] };
  }
  const { output, code, timedOut } = await runDenoTest(tier, paths, {
    env,
    junit: `${dir}/junit.xml`,
  });
  const result: TierResult = { ...await readReport(`${dir}/junit.xml`), problems: [] };
  if (timedOut) result.problems.push(`not over after ${tier.timeoutMs / 1000} s`);
  // A file that cannot be loaded, or an error outside of its tests, fails no test of the report.
  else if (code !== 0 && result.failed === 0) result.problems.push(`exit code ${code}`);
  result.problems.push(...await leftBehind(dir));
  if (code === 0 && result.passed + result.skipped.length === 0) {
    result.problems.push("no test ran");
  }
  show(tier, result, output, (performance.now() - begin) / 1000);
  return result;
}

async function runDenoTest(
  tier: Tier,
  paths: readonly string[],
  options: { env: Record<string, string>; junit: string },
): Promise<{ output: string; code: number; timedOut: boolean }> {
  const sanitizers = tier.sanitize && hasSanitizerFlags()
    ? ["--sanitize-ops", "--sanitize-resources"]
    : [];
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "--no-check",
      "--no-prompt",
      `--junit-path=${options.junit}`,
      ...(tier.parallel ? ["--parallel"] : []),
      ...sanitizers,
      ...(tier.confine ? CONFINED_RIGHTS : ["--allow-all"]),
      ...paths,
    ],
    env: options.env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, tier.timeoutMs);
  const result = await child.output();
  clearTimeout(timer);
  const decoder = new TextDecoder();
  const output = decoder.decode(result.stderr) + decoder.decode(result.stdout);
  return { output, code: result.code, timedOut };
}

/** A run that ended before its report (a file that cannot be loaded) has no counts. */
async function readReport(path: string): Promise<TestCounts> {
  try {
    return readJunit(await Deno.readTextFile(path));
  } catch {
    return { passed: 0, failed: 0, skipped: [] };
  }
}

/** Processes that carry this run's mark (where there is a /proc to tell), and files in its temporary folder. */
async function leftBehind(dir: string): Promise<string[]> {
  let left: string[] = [];
  for (const end = performance.now() + CLEANUP_GRACE_MS; performance.now() < end;) {
    left = [
      ...[...Deno.readDirSync(`${dir}/tmp`)].map((entry) => `left the file ${entry.name}`),
      ...marked(dir).map((process) => `left the process ${process}`),
    ];
    if (left.length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return left;
}

function marked(dir: string): string[] {
  const found: string[] = [];
  const read = (path: string) => {
    try {
      return Deno.readTextFileSync(path);
    } catch {
      // Gone, not ours to look at, or no /proc at all.
      return "";
    }
  };
  if (Deno.build.os !== "linux") return found;
  for (const { name: pid } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    if (!read(`/proc/${pid}/environ`).includes(`${RUN_ID_VARIABLE}=${dir}`)) continue;
    found.push(`${pid} ${read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").slice(0, 100)}`);
  }
  return found;
}

function show(tier: Tier, result: TierResult, output: string, seconds: number): void {
  for (const line of output.split("\n")) {
    if (line.startsWith("report: ")) say(`  ${line.slice("report: ".length)}`);
  }
  if (result.failed > 0 || result.problems.length > 0) {
    const errors = output.lastIndexOf("\n ERRORS ");
    say(errors < 0 ? output : output.slice(errors));
  }
  for (const problem of result.problems) say(`${tier.name}: ${problem}`);
  for (const name of result.skipped) say(`${tier.name}: skipped: ${name}`);
  const counts = [
    `${result.passed} passed`,
    `${result.failed + result.problems.length} failed`,
    `${result.skipped.length} skipped`,
  ];
  say(`${tier.name}: ${counts.join(", ")} (${seconds.toFixed(1)} s)`);
}

/** Test files that no run would ever reach. */
function outsideOfTiers(): string[] {
  const covered = new Set(TIERS.flatMap((tier) => tier.paths.flatMap(testFiles)));
  return ["src", "scripts", "tests", "ffi", "bpf"].flatMap(testFiles)
    .filter((file) => !covered.has(file));
}

/** Of a path as in `Tier.paths`. */
function testFiles(path: string): string[] {
  const folder = path.replace(/\/\*_test\.ts$/, "");
  if (!exists(folder)) return [];
  return [...Deno.readDirSync(folder)].flatMap((entry) => {
    const child = `${folder}/${entry.name}`;
    if (entry.name.endsWith("_test.ts")) return [child];
    return entry.isDirectory && folder === path ? testFiles(child) : [];
  }).sort();
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Deno 2.8 turned the sanitizers into options; before, they are always on. */
function hasSanitizerFlags(): boolean {
  const [major = 0, minor = 0] = Deno.version.deno.split(".").map(Number);
  return major > 2 || (major === 2 && minor >= 8);
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) Deno.exit(await main());
