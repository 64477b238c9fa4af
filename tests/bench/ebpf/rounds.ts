/**
 * Measures variants in turn: each round sets up, measures and takes down every one, in an order
 * that rotates, so that none always follows the same other.
 */
import { differences, type Estimate, estimate } from "./statistics.ts";

export interface Variant {
  readonly name: string;
  /** What this machine lacks for it, and how to get it: then it is not measured. */
  readonly missing?: string | undefined;
  /** Puts in place what is to be measured; disposing takes it away again. */
  start(): Promise<AsyncDisposable>;
  /** Metrics of the scenario that it says something of; default: all. */
  readonly only?: readonly string[];
}

/** Of one variant: by metric, a value for each round, in ns. */
export type Values = Readonly<Record<string, readonly number[]>>;

export interface Row {
  readonly variant: string;
  readonly missing?: string;
  readonly values: Values;
}

export interface Scenario {
  readonly variants: readonly Variant[];
  readonly metrics: readonly string[];
  /** Measures once. */
  measure(metric: string): Promise<number>;
}

/** @throws what a variant throws; a run whose variant failed measured something else. */
export async function interleave(
  scenario: Scenario,
  rounds: number,
  signal: AbortSignal,
): Promise<Row[]> {
  const { variants, metrics } = scenario;
  const present = variants.filter(({ missing }) => missing === undefined);
  const values = new Map(
    present.map(({ name }) => [name, new Map(metrics.map((metric) => [metric, [] as number[]]))]),
  );
  for (let round = 0; round < rounds; round++) {
    for (let step = 0; step < present.length; step++) {
      signal.throwIfAborted();
      const variant = present[(round + step) % present.length];
      if (variant === undefined) continue;
      await using _started = await variant.start();
      for (const metric of variant.only ?? metrics) {
        values.get(variant.name)?.get(metric)?.push(await scenario.measure(metric));
      }
    }
  }
  return variants.map(({ name, missing }) => ({
    variant: name,
    ...(missing === undefined ? {} : { missing }),
    values: Object.fromEntries(
      [...values.get(name) ?? []].filter(([, measured]) => measured.length > 0),
    ),
  }));
}

/** What a variant adds to the baseline, by the differences of each round; undefined where one was not measured. */
export function addedBy(
  rows: readonly Row[],
  variant: string,
  metric: string,
): Estimate | undefined {
  const of = (name: string) => rows.find((row) => row.variant === name)?.values[metric];
  const [values, baseline] = [of(variant), of(BASELINE)];
  if (values === undefined || baseline === undefined) return undefined;
  return estimate(differences(values, baseline));
}

/** The variant that the others are compared with. */
export const BASELINE = "nothing attached";
