import { match, strictEqual as equal } from "node:assert/strict";
import fc from "fast-check";
import { dataKey } from "./data_keys.ts";

Deno.test("dataKey() keeps - and . and turns / into _", () => {
  equal(dataKey("label_", "app.kubernetes.io/na-me"), "label_app.kubernetes.io_na-me");
  equal(dataKey("annotation_", "buildID"), "annotation_buildID");
});

Deno.test("dataKey() shortens from 254 characters on, by a hash of the listed key", () => {
  const fits = `${"p".repeat(200)}/${"n".repeat(46)}`;
  equal(dataKey("label_", fits).length, 253);
  equal(dataKey("label_", fits), `label_${fits.replace("/", "_")}`);
  const key = `${"p".repeat(253)}/${"n".repeat(63)}`;
  // printf '%s' "$key" | sha256sum
  equal(dataKey("label_", key), `label_${"p".repeat(236)}-3720c074a6`);
});

Deno.test("every qualified name gets a data key that Kubernetes accepts, different keys different ones", () => {
  const part = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?$/);
  const key = fc.tuple(
    fc.array(part, { maxLength: 4 }),
    fc.stringMatching(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/),
  ).map(([prefix, name]) => prefix.length === 0 ? name : `${prefix.join(".")}/${name}`);
  fc.assert(
    fc.property(key, key, (one, other) => {
      const name = dataKey("annotation_", one);
      match(name, /^[-._a-zA-Z0-9]{1,253}$/);
      const meet = one.replace("/", "_") === other.replace("/", "_");
      equal(name === dataKey("annotation_", other), meet);
    }),
    { seed: 3, numRuns: 2000 },
  );
});
