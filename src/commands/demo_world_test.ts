import assert from "node:assert/strict";
import { PCMCS, PODS } from "../controllers/resources.ts";
import { seededRandom } from "../lib/random.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { demoCluster, demoNamespace, demoPcmc, demoPod, DemoUser, DemoView } from "./demo_world.ts";

Deno.test("a demo without Pods has its namespace, and tells its own writes from those of guests", async () => {
  const clock = new VirtualClock();
  const cluster = demoCluster({ clock, random: seededRandom(1) });
  cluster.seed([demoNamespace]);
  const view = new DemoView(cluster);
  const you = new DemoUser(cluster.client({ user: "you" }));
  await you.create(PCMCS, demoPcmc);
  await you.create(PODS, demoPod("web-1"));
  // The kubelet and the garbage collector write, too.
  await clock.advance(2_000);
  await you.delete(PODS, "web-1");
  await clock.advance(2_000);
  assert.ok(cluster.writes.some(({ user }) => user.startsWith("system:")));
  assert.equal(view.guestsWrote(), false);
  await new DemoUser(cluster.client({ user: "kubectl" })).create(PODS, demoPod("foo"));
  assert.equal(view.guestsWrote(), true);
  cluster.stop();
});
