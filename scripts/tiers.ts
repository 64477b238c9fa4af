/**
 * The tiers of tests, cheapest first: which files, in what way, with which rights.
 *
 * What a single test needs (KUBEBUILDER_ASSETS, DENORT_BIN) is said by the test itself, through
 * `testNeeding` of `tests/support/requirements.ts`.
 */

export interface Tier {
  name: string;
  /** Folders, and `folder/*_test.ts` for a folder without what is below it. Without tests: passed over. */
  paths: readonly string[];
  /** Files side by side. Off where each file starts a control plane of its own. */
  parallel: boolean;
  /** Fail tests that leave an operation or a resource open. */
  sanitize: boolean;
  timeoutMs: number;
  /** Confine to loopback and without FFI; off where tests look at other processes in /proc, which takes every right. */
  confine: boolean;
  /** Build the program first, and hand its path to the tests as CONTROLLER_BINARY. */
  usesBinary?: boolean;
}

const MINUTE_MS = 60_000;

export const TIERS: readonly Tier[] = [
  {
    name: "unit",
    paths: ["src", "scripts", "tests/golden", "tests/*_test.ts"],
    parallel: true,
    sanitize: true,
    confine: true,
    timeoutMs: 6 * MINUTE_MS,
  },
  {
    name: "simulation",
    paths: ["tests/sim"],
    parallel: true,
    sanitize: true,
    confine: true,
    timeoutMs: 10 * MINUTE_MS,
  },
  {
    name: "contract",
    paths: ["tests/support", "tests/contract", "tests/bench"],
    parallel: false,
    sanitize: false,
    confine: false,
    timeoutMs: 10 * MINUTE_MS,
  },
  {
    name: "kernel",
    paths: ["ffi", "bpf", "tests/kernel"],
    parallel: false,
    sanitize: true,
    confine: false,
    timeoutMs: 6 * MINUTE_MS,
  },
  {
    name: "e2e",
    paths: ["tests/e2e"],
    parallel: false,
    sanitize: false,
    confine: false,
    timeoutMs: 10 * MINUTE_MS,
    usesBinary: true,
  },
  {
    name: "node",
    paths: ["tests/node"],
    parallel: false,
    sanitize: false,
    confine: false,
    timeoutMs: 20 * MINUTE_MS,
  },
];

/** Rights of confined tests: this machine only. */
export const CONFINED_RIGHTS: readonly string[] = [
  "--allow-net=127.0.0.1,localhost,[::1],0.0.0.0,[::]",
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-run",
];

/** Skips that CI accepts: a pattern of the test's name, and why. */
export const SKIPS_ALLOWED_IN_CI: readonly { pattern: RegExp; reason: string }[] = [
  { pattern: /\[needs NODE_VM\b/, reason: "the tier node is a step of its own" },
];
