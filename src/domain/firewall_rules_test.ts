import assert from "node:assert/strict";
import fc from "fast-check";
import { RULE } from "./ebpf_programs.ts";
import { directionRules, type L4Firewall, ruleOf } from "./firewall_rules.ts";

const config = (part: Partial<L4Firewall>): L4Firewall => ({
  enabled: true,
  defaultAction: "allow",
  mode: "enforce",
  directions: ["ingress"],
  ...part,
});
const rules = (configs: readonly L4Firewall[], ports: readonly number[]) => {
  const plane = directionRules(configs, "ingress")?.plane ?? new Uint8Array();
  return ports.map((port) => ruleOf(plane, port));
};
const { allow, block, audit } = RULE;

Deno.test("blocked beats allowed beats the default", () => {
  const one = config({ allowedPorts: [80, 443], blockedPorts: [443], defaultAction: "block" });
  assert.deepEqual(rules([one], [80, 443, 8080, 1, 65_535]), [allow, block, block, block, block]);
  const open = config({ blockedPorts: [22, 65_535] });
  assert.deepEqual(rules([open], [21, 22, 23, 65_535]), [allow, block, allow, block]);
});

Deno.test("of several configs a port is blocked if any blocks it, else allowed if any lists it, else the defaults", () => {
  const strict = config({ allowedPorts: [80], defaultAction: "block" });
  const other = config({ allowedPorts: [443], blockedPorts: [80] });
  assert.deepEqual(rules([strict, other], [80, 443, 22]), [block, allow, block]);
});

Deno.test("audit is merged apart and never blocks; a block of an enforcing config stays a block", () => {
  const dry = config({ mode: "audit", allowedPorts: [80], defaultAction: "block" });
  const real = config({ blockedPorts: [22] });
  assert.deepEqual(rules([dry, real], [80, 22, 8080]), [allow, block, audit]);
  // What the enforcing config allows by name, the audit still speaks of.
  assert.deepEqual(rules([dry, config({ allowedPorts: [8080] })], [8080]), [audit]);
});

Deno.test("a config speaks only of its directions", () => {
  const out = config({ directions: ["egress"], defaultAction: "block" });
  assert.equal(directionRules([out], "ingress"), undefined);
  assert.equal(directionRules([out], "egress")?.rest, "block");
  const both = [out, config({ blockedPorts: [5] })];
  assert.equal(directionRules(both, "ingress")?.rest, "allow");
  assert.equal(ruleOf(directionRules(both, "egress")?.plane ?? new Uint8Array(), 5), block);
});

Deno.test("the folded bits say for every port what the sentence says", () => {
  const port = fc.integer({ min: 1, max: 65_535 });
  const any = fc.record({
    enabled: fc.constant(true),
    allowedPorts: fc.array(port, { maxLength: 4 }),
    blockedPorts: fc.array(port, { maxLength: 4 }),
    defaultAction: fc.constantFrom("allow" as const, "block" as const),
    mode: fc.constantFrom("enforce" as const, "audit" as const),
    directions: fc.constant<("ingress" | "egress")[]>(["ingress"]),
  });
  const says = (configs: readonly L4Firewall[], port: number) => {
    if (configs.some((one) => one.blockedPorts?.includes(port))) return true;
    if (configs.some((one) => one.allowedPorts?.includes(port))) return false;
    return configs.some((one) => one.defaultAction === "block");
  };
  fc.assert(fc.property(fc.array(any, { minLength: 1, maxLength: 4 }), port, (configs, other) => {
    const listed = configs.flatMap((one) => [...one.allowedPorts, ...one.blockedPorts]);
    const { plane } = directionRules(configs, "ingress") ?? assert.fail("no rules");
    for (const port of [...listed, other]) {
      const enforced = says(configs.filter(({ mode }) => mode === "enforce"), port);
      const audited = says(configs.filter(({ mode }) => mode === "audit"), port);
      assert.equal(ruleOf(plane, port), enforced ? block : audited ? audit : allow);
    }
  }));
});
