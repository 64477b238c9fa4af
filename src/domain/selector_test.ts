import { strictEqual as equal } from "node:assert/strict";
import { compileSelector } from "./selector.ts";

type Selector = NonNullable<Parameters<typeof compileSelector>[0]>;
type Operator = "In" | "NotIn" | "Exists" | "DoesNotExist";
const needs = (key: string, operator: Operator, values?: string[]): Selector => ({
  matchExpressions: [{ key, operator, ...(values && { values }) }],
});

const CASES: [Selector | undefined, Record<string, string>, boolean][] = [
  [undefined, {}, true],
  [{}, { a: "b" }, true],
  [{ matchLabels: {}, matchExpressions: [] }, {}, true],
  [{ matchLabels: { a: "b" } }, { a: "b", c: "d" }, true],
  [{ matchLabels: { a: "b" } }, { a: "c" }, false],
  [{ matchLabels: { a: "" } }, {}, false],
  [{ matchLabels: { a: "" } }, { a: "" }, true],
  [{ matchLabels: { a: "b", c: "d" } }, { a: "b" }, false],
  [needs("a", "In", ["b", "c"]), { a: "c" }, true],
  [needs("a", "In", ["b", "c"]), { a: "d" }, false],
  [needs("a", "In", ["b"]), {}, false],
  [needs("a", "In", [""]), { a: "" }, true],
  [needs("a", "NotIn", ["b"]), { a: "b" }, false],
  [needs("a", "NotIn", ["b"]), { a: "c" }, true],
  [needs("a", "NotIn", ["b"]), {}, true],
  [needs("a", "Exists"), { a: "" }, true],
  [needs("a", "Exists"), { b: "" }, false],
  [needs("a", "DoesNotExist", []), {}, true],
  [needs("a", "DoesNotExist"), { a: "b" }, false],
  [needs("constructor", "Exists"), {}, false],
  [needs("toString", "DoesNotExist"), {}, true],
  [{ ...needs("a", "Exists"), matchLabels: { c: "d" } }, { a: "b" }, false],
];

Deno.test("compileSelector() selects as metav1.LabelSelector does", () => {
  for (const [selector, labels, expected] of CASES) {
    equal(compileSelector(selector)(labels), expected, JSON.stringify([selector, labels]));
  }
});
