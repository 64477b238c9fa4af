import { match, notStrictEqual as notEqual, ok, strictEqual as equal } from "node:assert/strict";
import fc from "fast-check";
import { configMapName, labelValue } from "./names.ts";

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function checkName(name: string, of: string): void {
  ok(name.length <= 253 && SUBDOMAIN.test(name), `${JSON.stringify(name)} of ${of} is a name`);
}

Deno.test("a plain name where it is unambiguous and fits", () => {
  equal(configMapName("web", "plain"), "pod-web-from-plain-cfg");
  equal(configMapName("web.v2", "my.config"), "pod-web.v2-from-my.config-cfg");
  equal(configMapName("from", "from"), "pod-from-from-from-cfg");
  equal(configMapName("p".repeat(100), "c".repeat(139)).length, 253);
  match(configMapName("p".repeat(100), "c".repeat(139)), /-from-c{139}-cfg$/);
});

Deno.test("a hashed name where -from- appears twice, overlaps counted", () => {
  // printf 'a-from-b/c' | sha256sum
  equal(configMapName("a-from-b", "c"), "pod-a-from-b-from-c-c1bc5e95ed-cfg");
  equal(configMapName("a", "b-from-c"), "pod-a-from-b-from-c-d920504d5a-cfg");
  match(configMapName("a-from", "b"), /^pod-a-from-from-b-[0-9a-f]{10}-cfg$/);
  match(configMapName("a", "from-b"), /^pod-a-from-from-b-[0-9a-f]{10}-cfg$/);
  notEqual(configMapName("a-from", "b"), configMapName("a", "from-b"));
});

Deno.test("a hashed name where the plain one passes 253, without - or . where it was cut", () => {
  const name = configMapName("p".repeat(101), "c".repeat(139));
  match(name, /^pod-p{100}-from-c{100}-[0-9a-f]{10}-cfg$/);
  const pod = `${"p".repeat(98)}--${"q".repeat(60)}`;
  const cut = configMapName(pod, `${"c".repeat(99)}.${"d".repeat(60)}`);
  match(cut, /^pod-p{98}-from-c{99}-[0-9a-f]{10}-cfg$/);
  equal(configMapName("p".repeat(253), "c".repeat(253)).length, 225);
});

Deno.test("no two pairs of short names share a name: all of them", () => {
  const pieces = ["a", "b", "from", "-", "."];
  let layer = [""];
  const names: string[] = [];
  for (let length = 1; length <= 5; length++) {
    layer = layer.flatMap((text) => pieces.map((piece) => text + piece));
    names.push(...layer.filter((name) => SUBDOMAIN.test(name)));
  }
  const short = [...new Set(names)].filter((name) => /from/.test(name) || name.length <= 2);
  const owners = new Map<string, string>();
  for (const pod of short) {
    for (const pcmc of short) {
      const name = configMapName(pod, pcmc);
      equal(owners.get(name), undefined, `${name} is of ${pod}/${pcmc}`);
      owners.set(name, `${pod}/${pcmc}`);
    }
  }
  ok(owners.size > 100_000, `${owners.size} pairs were compared`);
  for (const [name, pair] of owners) checkName(name, pair);
});

Deno.test("no two pairs of names up to 253 characters share a name, and none is refused", () => {
  const piece = fc.constantFrom(
    "a",
    "b",
    "0",
    "from",
    "-from-",
    "-",
    ".",
    "x".repeat(49),
    "y".repeat(90),
  );
  const name = fc.array(piece, { minLength: 1, maxLength: 30 })
    .map((pieces) =>
      pieces.join("").slice(0, 253).replace(/[-.]+\.|\.[-.]+/g, ".").replace(/^[-.]+|[-.]+$/g, "")
    )
    .filter((text) => SUBDOMAIN.test(text));
  const owners = new Map<string, string>();
  let hashed = 0;
  fc.assert(
    fc.property(name, name, (one, other) => {
      // The four pairs of two names, and both ways of parting a name that holds the separator.
      const pairs = [[one, other], [other, one], [one, one], [other, other]];
      for (const [index] of one.matchAll(/-from-/g)) {
        const at = one.indexOf(index);
        pairs.push([one.slice(0, at), one.slice(at + 6)]);
      }
      for (const [pod, pcmc] of pairs as [string, string][]) {
        if (!SUBDOMAIN.test(pod) || !SUBDOMAIN.test(pcmc)) continue;
        const made = configMapName(pod, pcmc);
        const pair = `${pod}/${pcmc}`;
        checkName(made, pair);
        equal(owners.get(made) ?? pair, pair, `${made} is of one pair only`);
        owners.set(made, pair);
        if (made !== `pod-${pod}-from-${pcmc}-cfg`) hashed++;
      }
    }),
    { seed: 4, numRuns: 5000 },
  );
  ok(hashed > 1000 && owners.size - hashed > 100, `${hashed} of ${owners.size} names are hashed`);
});

Deno.test("labelValue() keeps up to 63 characters and shortens more", () => {
  equal(labelValue("c".repeat(63)), "c".repeat(63));
  // printf 'c%.0s' {1..64} | sha256sum
  equal(labelValue("c".repeat(64)), `${"c".repeat(52)}-52b6419d27`);
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z0-9][-a-z0-9.]{60,250}[a-z0-9]$/), (name) => {
      match(labelValue(name), /^[A-Za-z0-9][-A-Za-z0-9_.]{0,61}[A-Za-z0-9]$/);
    }),
    { seed: 5 },
  );
});
