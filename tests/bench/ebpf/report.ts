/** The results as tables: what each variant adds to a call or a round trip, beside what is promised. */
import {
  FIREWALL_BOTH,
  FIREWALL_ELSEWHERE,
  FIREWALL_IN,
  FIREWALL_REMOVED,
  NFT_BOTH,
  NFT_IN,
} from "./network.ts";
import { addedBy, BASELINE, type Row } from "./rounds.ts";
import { type Estimate, estimate } from "./statistics.ts";
import {
  COUNTER,
  COUNTER_ERRORS,
  COUNTER_OLD,
  COUNTER_REMOVED,
  SYSCOUNT,
  SYSCOUNT_CGROUP,
  SYSCOUNT_ERRORS,
} from "./syscalls.ts";

export interface Results {
  /** `YYYY-MM-DD`, UTC. */
  date: string;
  commit: string;
  machine: { cpus: number; kernel: string };
  /** Program -> version. */
  peers: Record<string, string>;
  rounds: number;
  syscalls?: readonly Row[];
  network?: readonly Row[];
}

interface Bound {
  scenario: "syscalls" | "network";
  metric: string;
  ours: string;
  /** Undefined: compared with nothing. */
  peer?: string;
  /** Of what the peer adds; without a peer 0: nothing measurable. Undefined: for information. */
  atMost?: number;
}

const COUNTER_BOUND = 1;
const FIREWALL_BOUND = 0.6;
/** Fewer give no interval: see `estimate`. */
const ROUNDS_TO_JUDGE = 6;

const BOUNDS: readonly Bound[] = [
  ...["monitored", "other"].flatMap((metric): Bound[] => [
    bound("syscalls", metric, { ours: COUNTER, peer: SYSCOUNT, atMost: COUNTER_BOUND }),
    bound("syscalls", metric, { ours: COUNTER, peer: SYSCOUNT_CGROUP, atMost: COUNTER_BOUND }),
    bound("syscalls", metric, { ours: COUNTER_ERRORS, peer: SYSCOUNT }),
  ]),
  bound("syscalls", "monitored", { ours: COUNTER_OLD, peer: SYSCOUNT }),
  bound("syscalls", "failing", { ours: COUNTER_ERRORS, peer: SYSCOUNT_ERRORS }),
  ...["TCP round trip", "TCP connect to the Pod", "TCP connect from the Pod"].flatMap((metric) => [
    bound("network", metric, { ours: FIREWALL_IN, peer: NFT_IN, atMost: FIREWALL_BOUND }),
    bound("network", metric, { ours: FIREWALL_BOTH, peer: NFT_BOTH, atMost: FIREWALL_BOUND }),
  ]),
  ...["UDP round trip to the Pod", "UDP round trip from the Pod"].flatMap((metric) => [
    bound("network", metric, { ours: FIREWALL_IN, peer: NFT_IN }),
    bound("network", metric, { ours: FIREWALL_BOTH, peer: NFT_BOTH }),
  ]),
  bound("syscalls", "monitored", { ours: COUNTER_REMOVED, atMost: 0 }),
  bound("network", "TCP round trip", { ours: FIREWALL_REMOVED, atMost: 0 }),
  bound("network", "TCP connect to the Pod", { ours: FIREWALL_REMOVED, atMost: 0 }),
  bound("network", "TCP round trip", { ours: FIREWALL_ELSEWHERE }),
  bound("network", "TCP connect to the Pod", { ours: FIREWALL_ELSEWHERE }),
];

function bound(
  scenario: Bound["scenario"],
  metric: string,
  rest: Omit<Bound, "scenario" | "metric">,
): Bound {
  return { scenario, metric, ...rest };
}

/** JSON for the record: medians and intervals in place of each round's values, each on a line. */
export function summary(results: Results): string {
  const { syscalls = [], network = [], ...rest } = results;
  const all = { ...rest, syscalls: estimates(syscalls), network: estimates(network) };
  return JSON.stringify(all, undefined, 2)
    .replace(
      /\[[^[\]]*\]/g,
      (list) => list.replace(/\s+/g, " ").replace(/^\[ | \]$/g, (end) => end.trim()),
    );
}

/** variant -> metric -> [median, low, high]; of the baseline the time, of others what they add to it. */
function estimates(rows: readonly Row[]): Record<string, Record<string, number[]> | string> {
  return Object.fromEntries(rows.map((row) => [
    row.variant,
    row.missing ?? Object.fromEntries(
      Object.entries(row.values).map(([metric, values]) => {
        const of = row.variant === BASELINE
          ? estimate(values)
          : addedBy(rows, row.variant, metric) ?? estimate(values);
        return [metric, [of.median, of.low, of.high].map((value) => Math.round(value * 10) / 10)];
      }),
    ),
  ]));
}

export function markdown(results: Results): string {
  const { machine, peers } = results;
  const versions = Object.entries(peers).map(([peer, version]) => `${peer}: ${version}`);
  return [
    `### eBPF: ${results.date}, commit ${results.commit}`,
    "",
    `${machine.cpus} CPUs, Linux ${machine.kernel}; ${results.rounds} rounds; ` +
    `${versions.join(", ")}.`,
    "",
    ...boundsTable(results),
    ...scenarioTable("Added to a system call", results.syscalls),
    ...scenarioTable("Added to a round trip or connection", results.network),
  ].join("\n");
}

function boundsTable(results: Results): string[] {
  const lines = BOUNDS.flatMap((one) => {
    const rows = results[one.scenario];
    if (rows === undefined) return [];
    const ours = addedBy(rows, one.ours, one.metric);
    if (ours === undefined) return [];
    return [
      `| ${one.metric}: ${one.ours} | ${one.peer ?? "nothing"} | ${
        judge({ ...one, rounds: results.rounds }, rows, ours)
      } |`,
    ];
  });
  return [
    "| added by | compared with | ratio | bound |",
    "| --- | --- | --- | --- |",
    ...lines,
    "",
  ];
}

/** Ratio and bound, as two cells. */
function judge(one: Bound & { rounds: number }, rows: readonly Row[], ours: Estimate): string {
  if (one.peer === undefined) {
    return `adds ${nanoseconds(ours)} ns | ${judgeAlone(one, rows, ours)}`;
  }
  const theirs = addedBy(rows, one.peer, one.metric);
  if (theirs === undefined) {
    const missing = rows.find(({ variant }) => variant === one.peer)?.missing;
    return `${missing ?? "not measured"} | ${one.atMost ?? ""}`;
  }
  const ratio = ours.median / theirs.median;
  const text = ratio.toFixed(2);
  if (one.atMost === undefined) return `${text} | `;
  return `${text} | ${one.atMost.toFixed(1)}: ${ratio <= one.atMost ? "holds" : "**missed**"}`;
}

function judgeAlone(
  one: Bound & { rounds: number },
  rows: readonly Row[],
  ours: Estimate,
): string {
  if (one.atMost === undefined) return "";
  if (one.rounds < ROUNDS_TO_JUDGE) return "nothing: too few rounds";
  const noise = addedBy(rows, `${BASELINE}, again`, one.metric);
  const measurable = ours.low > 0 && noise !== undefined && ours.median > noise.high;
  return measurable ? "nothing: **missed**" : "nothing measurable: holds";
}

/** One column for each metric: the baseline's time, and what the others add to it. */
function scenarioTable(title: string, rows: readonly Row[] | undefined): string[] {
  if (rows === undefined) return [];
  const metrics = metricsOf(rows);
  const cells = (row: Row) => metrics.map((metric) => cell(rows, row, metric));
  return [
    `| ${title}, ns: median (95% interval) | ${metrics.join(" | ")} |`,
    `| --- | ${metrics.map(() => "---").join(" | ")} |`,
    ...rows.map((row) => `| ${row.variant} | ${cells(row).join(" | ")} |`),
    "",
  ];
}

const metricsOf = (rows: readonly Row[]) =>
  Object.keys(rows.find(({ variant }) => variant === BASELINE)?.values ?? {});
const firstMetric = (rows: readonly Row[]) => metricsOf(rows)[0];

function cell(rows: readonly Row[], row: Row, metric: string): string {
  if (row.missing !== undefined) return metric === firstMetric(rows) ? row.missing : "";
  const values = row.values[metric];
  if (values === undefined) return "";
  if (row.variant === BASELINE) return `takes ${estimate(values).median.toFixed(0)}`;
  const added = addedBy(rows, row.variant, metric);
  return added === undefined ? "" : nanoseconds(added);
}

function nanoseconds({ median, low, high }: Estimate): string {
  const digits = Math.abs(median) < 100 ? 1 : 0;
  const [middle, ...ends] = [median, low, high].map((value) => value.toFixed(digits));
  return `${middle} (${ends.join(" to ")})`;
}
