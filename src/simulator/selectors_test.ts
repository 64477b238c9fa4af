import assert from "node:assert/strict";
import { checkFields, parseFieldSelector, parseLabelSelector, SelectorError } from "./selectors.ts";

function selects(selector: string, labels: Record<string, string> | undefined): boolean {
  return parseLabelSelector(selector)(labels);
}

Deno.test("label selectors follow equality, sets, existence and order of integers", () => {
  const labels = { app: "web", tier: "2", "example.com/x": "" };
  const holding = [
    "",
    " ",
    "app",
    "app=web",
    "app == web",
    "app!=db",
    "absent!=x",
    "!absent",
    "app in (db, web)",
    "app notin (db)",
    "absent notin (db)",
    "tier>1",
    "tier<10",
    "example.com/x=",
    "example.com/x in ()",
    "example.com/x in (a,,b)",
    "app=web,tier=2,!absent",
    "in!=x",
  ];
  for (const selector of holding) assert.equal(selects(selector, labels), true, selector);
  const failing = [
    "absent",
    "!app",
    "app=db",
    "app!=web",
    "app in (db)",
    "absent in (web)",
    "app notin (web)",
    "tier>2",
    "app>1",
    "absent<1",
    "app=web,tier=3",
  ];
  for (const selector of failing) assert.equal(selects(selector, labels), false, selector);
  assert.equal(selects("a=b", undefined), false);
});

Deno.test("label selectors do not find what objects inherit", () => {
  assert.equal(selects("constructor", {}), false);
  assert.equal(selects("!toString", {}), true);
});

Deno.test("label selectors check keys and values as labels are checked", () => {
  const broken = ["-a=b", "a=-b", "A/b", `${"a".repeat(64)}`, `a=${"b".repeat(64)}`, "/x", "a/b/c"];
  for (const selector of broken) {
    assert.throws(() => parseLabelSelector(selector), SelectorError, selector);
  }
  assert.throws(() => parseLabelSelector("a>x"), /the value must be an integer/);
});

Deno.test("field selectors compare exactly, with escapes, and take absence as empty", () => {
  const fields: Record<string, string> = { "metadata.name": "a", "x": "p,q=r\\" };
  const matches = (text: string) => parseFieldSelector(text).matches((field) => fields[field]);
  assert.equal(matches(""), true);
  assert.equal(matches("metadata.name=a"), true);
  assert.equal(matches("metadata.name==a,metadata.name!=b"), true);
  assert.equal(matches("metadata.name=b"), false);
  assert.equal(matches("absent="), true);
  assert.equal(matches("absent!="), false);
  assert.equal(matches("x=p\\,q\\=r\\\\"), true);
});

Deno.test("field selectors refuse bad syntax and fields that a type does not have", () => {
  assert.throws(() => parseFieldSelector("a"), /can't understand 'a'/);
  assert.throws(() => parseFieldSelector("a=b=c"), /unescaped character in value: 61/);
  assert.throws(() => parseFieldSelector("a=\\x"), /invalid escape sequence: \\x/);
  const pods = { group: "", plural: "pods" };
  const configMaps = { group: "", plural: "configmaps" };
  const widgets = { group: "example.com", plural: "widgets" };
  const node = parseFieldSelector("spec.nodeName=n,metadata.namespace=x");
  checkFields(node, pods);
  assert.throws(
    () => checkFields(node, configMaps),
    /"spec.nodeName" is not a known field selector/,
  );
  assert.throws(() => checkFields(node, widgets, []), /field label not supported: spec.nodeName/);
  checkFields(node, widgets, ["spec.nodeName"]);
});
