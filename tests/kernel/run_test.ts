/** The role `run` as processes, on a real kernel: whose programs are there when the leader changes. */
import assert from "node:assert/strict";
import { makeNode, pinsOf, programsOn, TestCluster } from "./support/cluster.ts";
import { kernelTest } from "./support/sandbox.ts";

const CONFIG = {
  l4Firewall: { enabled: true, defaultAction: "block", allowedPorts: [80] },
  syscallMonitoring: { enabled: true, syscallNames: ["getppid"] },
};
/** From the lease's new name on; much less, on a machine with nothing else to do. */
const FOLLOWS_MS = 2_000;

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`report: ${line}\n`));
}

kernelTest(
  "run: the kernel follows the leader, on the same node and to another",
  async (sandbox) => {
    await using cluster = new TestCluster(sandbox);
    const [one, two] = [makeNode(sandbox, "node-1"), makeNode(sandbox, "node-2")];
    cluster.pcmc(CONFIG);
    const [a, b] = [cluster.pod("a", one), cluster.pod("b", two)];
    const first = cluster.start("run", "c-1", one);
    await cluster.until("a is applied", () => cluster.condition("a") === "Applied");
    await cluster.until("b is told", () => cluster.condition("b") === "NodeUnserved");
    await cluster.until(
      "and in ConfigMaps",
      () => cluster.ebpfStatus("a") === "applied" && cluster.ebpfStatus("b") === "unserved",
    );
    const programs = programsOn(a);
    assert.equal(programs.length, 3);
    assert.deepEqual([programsOn(b), pinsOf(two)], [[], []]);

    // The same node: the very same programs go on.
    const second = cluster.start("run", "c-2", one);
    await cluster.until("both are candidates", () => cluster.leader === "c-1@node-1");
    await first.terminate();
    await cluster.until("the second leads", () => cluster.leader === "c-2@node-1");
    assert.deepEqual(programsOn(a), programs);

    // Another node, in order.
    const third = cluster.start("run", "c-3", two);
    const settled = cluster.until("b is served", () => cluster.ebpfStatus("b") === "applied");
    second.child.kill("SIGTERM");
    await cluster.until("the third leads", () => cluster.leader === "c-3@node-2");
    const follow = await Promise.all([
      cluster.until("node-1 is empty", () => pinsOf(one).length === 0),
      cluster.until("node-2 is served", () => programsOn(b).length === 3),
    ]);
    say(
      `leader to another node: taken down after ${Math.round(follow[0])} ms, ` +
        `applied after ${Math.round(follow[1])} ms`,
    );
    assert.ok(Math.max(...follow) < FOLLOWS_MS, `${follow}`);
    assert.deepEqual(programsOn(a), []);
    assert.equal(await second.code, 0);
    await settled;
    await cluster.until("a is told", () => cluster.condition("a") === "NodeUnserved");

    // It dies, and a standby of the first node takes over: who starts on the second takes down what is left.
    const fourth = cluster.start("run", "c-4", one);
    await cluster.until("it has read the lease", () => cluster.leader === "c-3@node-2");
    const fifth = cluster.start("run", "c-5", two);
    await third.kill();
    await cluster.until("another leads", () => !["", "c-3@node-2"].includes(cluster.leader));
    const [kept, left] = cluster.leader === "c-4@node-1" ? [one, two] : [two, one];
    const after = await cluster.until(
      "only the leader's node has programs",
      () => pinsOf(left).length === 0 && pinsOf(kept).length > 0,
    );
    say(`leader killed: the kernel follows ${Math.round(after)} ms after the lease`);
    assert.ok(after < FOLLOWS_MS, `${after}`);

    // Nobody asks any more: nothing is left.
    await cluster.deletePcmc();
    await cluster.until("nothing is left", () => pinsOf(one).length + pinsOf(two).length === 0);
    assert.deepEqual([programsOn(a), programsOn(b)], [[], []]);
    await Promise.all([fourth.terminate(), fifth.terminate()]);
  },
);
