/**
 * A Prometheus histogram that is filled with counts by powers of two instead of single values: the
 * kernel's programs count that way. prom-client's own takes one value at a time.
 */
import type { Metric } from "prom-client";

/** Bucket n of what is added holds what took under 2^n ns. Exported: every second power, 1 µs to 17 s. */
const EXPORTED = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34];

type Labels = Record<string, string>;

interface Series {
  readonly labels: Labels;
  readonly buckets: number[];
  sum: number;
}

export class LogHistogram {
  /** For a registry. */
  readonly metric: Metric;
  readonly #series = new Map<string, Series>();

  constructor({ name, help }: { name: string; help: string }) {
    // The registry asks for these alone.
    this.metric = {
      name,
      help,
      get: () =>
        Promise.resolve({
          name,
          help,
          type: "histogram",
          aggregator: "sum",
          values: [...this.#series.values()].flatMap((series) => samples(name, series)),
        }),
      reset: () => this.#series.clear(),
    } as unknown as Metric;
  }

  add(labels: Labels, buckets: readonly number[], sumSeconds: number): void {
    const key = JSON.stringify(labels);
    const series = this.#series.get(key) ?? { labels, buckets: [], sum: 0 };
    this.#series.set(key, series);
    buckets.forEach((count, at) => series.buckets[at] = (series.buckets[at] ?? 0) + count);
    series.sum += sumSeconds;
  }

  remove(labels: Labels): void {
    this.#series.delete(JSON.stringify(labels));
  }
}

function samples(name: string, { labels, buckets, sum }: Series) {
  const upTo = (power: number) =>
    buckets.slice(0, power + 1).reduce((total, count) => total + count, 0);
  const all = buckets.reduce((total, count) => total + count, 0);
  const metricName = `${name}_bucket`;
  return [
    ...EXPORTED.map((power) => ({
      labels: { ...labels, le: 2 ** power / 1e9 },
      value: upTo(power),
      metricName,
    })),
    { labels: { ...labels, le: "+Inf" }, value: all, metricName },
    { labels, value: sum, metricName: `${name}_sum` },
    { labels, value: all, metricName: `${name}_count` },
  ];
}
