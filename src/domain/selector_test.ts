import { strictEqual as equal } from "node:assert/strict";
import { compileSelector } from "./selector.ts";

type Selector = NonNullable<Parameters<typeof compileSelector>[0]>;
type Operator = "In" | "NotIn" | "Exists" | "DoesNotExist";
const require = (key: string, operator: Operator, values?: string[]): Selector => ({
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
  [require("a", "In", ["b", "c"]), { a: "c" }, true],
  [require("a", "In", ["b", "c"]), { a: "d" }, false],
  [require("a", "In", ["b"]), {}, false],
  [require("a", "In", [""]), { a: "" }, true],
  [require("a", "NotIn", ["b"]), { a: "b" }, false],
  [require("a", "NotIn", ["b"]), { a: "c" }, true],
  [require("a", "NotIn", ["b"]), {}, true],
  [require("a", "Exists"), { a: "" }, true],
  [require("a", "Exists"), { b: "" }, false],
  [require("a", "DoesNotExist", []), {}, true],
  [require("a", "DoesNotExist"), { a: "b" }, false],
  [require("constructor", "Exists"), {}, false],
  [require("toString", "DoesNotExist"), {}, true],
  [{ ...require("a", "Exists"), matchLabels: { c: "d" } }, { a: "b" }, false],
];

Deno.test("compileSelector() selects as metav1.LabelSelector does", () => {
  for (const [selector, labels, expected] of CASES) {
    equal(compileSelector(selector)(labels), expected, JSON.stringify([selector, labels]));
  }
});
