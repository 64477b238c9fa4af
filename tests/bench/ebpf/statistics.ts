/**
 * What rounds of measurements say: medians, and how sure they are. Pure.
 *
 * Each round measures every variant once, so that a round's difference to its own baseline is free
 * of what changes slowly: the machine's load, its clock.
 */

export interface Estimate {
  readonly median: number;
  /** The median lies in here in at least 95 of 100 repetitions; both ends the extremes below six values. */
  readonly low: number;
  readonly high: number;
}

/** By ranks, as of the sign test: nothing is assumed about the values' distribution. */
export function estimate(values: readonly number[]): Estimate {
  if (values.length === 0) throw new RangeError("Cannot estimate from no values");
  const sorted = [...values].sort((one, other) => one - other);
  const at = (index: number) => sorted[index] ?? NaN;
  const middle = sorted.length / 2;
  const median = sorted.length % 2 === 1
    ? at(Math.floor(middle))
    : (at(middle - 1) + at(middle)) / 2;
  const outside = ranksOutside(sorted.length);
  return { median, low: at(outside), high: at(sorted.length - 1 - outside) };
}

/** How many values at each end lie outside of the interval: P(Binomial(n, 1/2) < k) <= 0.025. */
function ranksOutside(count: number): number {
  let probability = 2 ** -count;
  let sum = 0;
  for (let k = 0; k < count / 2; k++) {
    sum += probability;
    if (sum > 0.025) return Math.max(0, k - 1);
    probability *= (count - k) / (k + 1);
  }
  return 0;
}

/** Round by round. */
export function differences(
  values: readonly number[],
  baseline: readonly number[],
): number[] {
  if (values.length !== baseline.length) throw new RangeError("Cannot compare: rounds differ");
  return values.map((value, round) => value - (baseline[round] ?? NaN));
}
