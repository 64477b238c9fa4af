import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { SERVED_GRACE_MS, ServedNodes } from "./served_nodes.ts";

function fixture(...readyNodes: string[]) {
  const clock = new VirtualClock();
  const ready = new Set(readyNodes);
  const told: string[] = [];
  const nodes = new ServedNodes({
    clock,
    ready: (name) => ready.has(name),
    changed: (name) => told.push(`${name} ${nodes.has(name)}`),
  });
  const set = (name: string, isReady: boolean) => {
    if (isReady) ready.add(name);
    else ready.delete(name);
    nodes.agentChanged(name);
  };
  return { clock, nodes, told, set };
}

Deno.test("a node stays served while its agent restarts, and nobody hears of it", async () => {
  const { clock, nodes, told, set } = fixture("a");
  set("a", false);
  await clock.advance(SERVED_GRACE_MS - 1);
  assert.equal(nodes.has("a"), true);
  set("a", true);
  await clock.advance(2 * SERVED_GRACE_MS);
  assert.equal(nodes.has("a"), true);
  assert.deepEqual(told, []);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("an agent that stays away is told once its grace is over, counted from when it went", async () => {
  const { clock, nodes, told, set } = fixture("a", "b");
  set("a", false);
  await clock.advance(SERVED_GRACE_MS - 1);
  // A second agent Pod of the node goes as well: no new grace.
  set("a", false);
  assert.deepEqual(told, []);
  await clock.advance(1);
  assert.deepEqual(told, ["a false"]);
  assert.equal(nodes.has("b"), true);
  set("a", true);
  assert.deepEqual(told, ["a false", "a true"]);
});

Deno.test("a node that gets an agent is told at once; one that had none has no grace", () => {
  const { nodes, told, set } = fixture();
  assert.equal(nodes.has("a"), false);
  set("a", true);
  assert.deepEqual(told, ["a true"]);
});

Deno.test("at the end of a term no grace is left running", () => {
  const { clock, nodes, told, set } = fixture("a");
  set("a", false);
  nodes[Symbol.dispose]();
  assert.equal(clock.pendingTimers, 0);
  assert.deepEqual(told, []);
});
