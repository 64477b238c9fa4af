/** `metav1.LabelSelector`, compiled once into a function. */
import type { LabelSelector } from "../api/spec_schema.ts";

export type LabelMatcher = (labels: Readonly<Record<string, string>>) => boolean;

/** An absent or empty selector matches everything. The selector must have passed decoding. */
export function compileSelector(selector: LabelSelector | undefined): LabelMatcher {
  const tests: LabelMatcher[] = [];
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    tests.push((labels) => valueOf(labels, key) === value);
  }
  for (const { key, operator, values = [] } of selector?.matchExpressions ?? []) {
    const listed = new Set(values);
    tests.push((labels) => {
      const value = valueOf(labels, key);
      switch (operator) {
        case "In":
          return value !== undefined && listed.has(value);
        case "NotIn":
          return value === undefined || !listed.has(value);
        case "Exists":
          return value !== undefined;
        case "DoesNotExist":
          return value === undefined;
      }
    });
  }
  return (labels) => tests.every((test) => test(labels));
}

/** Own properties only: `constructor` is a possible label key. */
function valueOf(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
