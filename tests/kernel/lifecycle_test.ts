/**
 * What outlives what: links, pins, programs and maps; exchange under load; nothing left behind.
 */
import assert from "node:assert/strict";
import {
  AttachType,
  BpfError,
  BpfMap,
  CgroupDirectory,
  cgroupId,
  Link,
  liveHandles,
  Program,
  queryCgroup,
  VerifierError,
} from "../../ffi/mod.ts";
import { eventually } from "../support/eventually.ts";
import { Actor, connectNetworks, POD_V4 } from "./support/actor.ts";
import { heldIds, KINDS } from "./support/held.ts";
import { Firewall, openObject, u32 } from "./support/programs.ts";
import { kernelTest, removeCgroup, type Sandbox } from "./support/sandbox.ts";
import { SyscallCounter } from "./support/syscalls.ts";

const OPEN = 9000;
const CLOSED = 9001;
const EXCHANGES = 10_000;

kernelTest(
  "exchanging program and rules under load lets nothing pass that both block",
  async (sandbox) => {
    const cgroup = sandbox.cgroup("pod");
    await using pod = await Actor.start({ cgroup, network: true });
    await using peer = await Actor.start({ network: true });
    await connectNetworks(pod, peer);
    using first = await Firewall.attach(cgroup);
    using second = await Firewall.load(cgroup, { maps: first.maps });
    first.setAll("block", { [OPEN]: "allow" });
    const open = await pod.server(4, "dgram", OPEN);
    const closed = await pod.server(4, "dgram", CLOSED);
    await peer.do("flood", { id: "open", host: POD_V4, port: OPEN });
    await peer.do("flood", { id: "closed", host: POD_V4, port: CLOSED });
    let passed = 0;
    // A slow machine may give the one side all the time there is.
    for (let round = 0; round < EXCHANGES || passed <= 100; round++) {
      const next = round % 2 === 0 ? second : first;
      for (const [hook, link] of first.links) {
        const program = next.programs.get(hook);
        assert.ok(program);
        link.update(program);
      }
      // Rules that differ everywhere but in what is blocked here.
      const otherwise = round % 4 < 2 ? "allow" : "block";
      first.setRules("ingress", "udp", {
        otherwise,
        ports: { [OPEN]: "allow", [CLOSED]: "block" },
      });
      if (round % 250 === 0) {
        passed += await pod.do("drain", { id: open }) as number;
        assert.equal(await pod.do("drain", { id: closed }), 0);
      }
    }
    const sent = await peer.do("flood_stop", { id: "closed" }) as number;
    await peer.do("flood_stop", { id: "open" });
    assert.equal(await pod.do("drain", { id: closed }), 0);
    assert.ok(sent > 1_000, `${sent} datagrams to the closed port`);
  },
);

/** Loads, attaches, pins everything, says so, and waits to be killed. */
const LOADER = `
import { Firewall } from ${JSON.stringify(new URL("support/programs.ts", import.meta.url).href)};
import { SyscallCounter } from ${
  JSON.stringify(new URL("support/syscalls.ts", import.meta.url).href)
};
const [cgroup, bpffs] = Deno.args;
const firewall = await Firewall.attach(cgroup);
firewall.setAll("block", { ${OPEN}: "allow" });
for (const [hook, link] of firewall.links) link.pin(bpffs + "/" + hook);
firewall.maps.counters.pin(bpffs + "/counters");
const counter = await SyscallCounter.attach();
counter.want(cgroup, { row: 3, calls: ["getppid"] });
counter.links[0].pin(bpffs + "/sys_enter");
counter.maps.programs.pin(bpffs + "/programs");
counter.maps.counts.pin(bpffs + "/counts");
console.log("ready");
await new Promise((resolve) => setTimeout(resolve, 60_000));
`;

kernelTest(
  "rules and counts go on after the loader was killed; new owners adopt the pins",
  async (sandbox) => {
    const cgroup = sandbox.cgroup("pod");
    await using pod = await Actor.start({ cgroup, network: true });
    await using peer = await Actor.start({ network: true });
    await connectNetworks(pod, peer);
    const script = await Deno.makeTempFile({ suffix: ".ts" });
    Deno.writeTextFileSync(script, LOADER);
    try {
      const loader = new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-all", "--no-check", script, cgroup, sandbox.bpffs],
        stdout: "piped",
        stderr: "inherit",
      }).spawn();
      const reader = loader.stdout.getReader();
      assert.equal(new TextDecoder().decode((await reader.read()).value), "ready\n");
      loader.kill("SIGKILL");
      await loader.status;
      await reader.cancel();
    } finally {
      Deno.removeSync(script);
    }

    for (const [port, expected] of [[OPEN, "ok"], [CLOSED, "TIMEOUT"]] as const) {
      await pod.server(4, "stream", port);
      const id = await peer.socket(4, "stream");
      const to = { id, host: POD_V4, port, timeout: expected === "ok" ? 2 : 0.15 };
      assert.equal(await peer.try("connect", to), expected);
    }
    await using actor = await Actor.start();
    await actor.do("work", { cgroup, steps: [["getppid", 1_234]] });
    using counts = BpfMap.openPinned(`${sandbox.bpffs}/counts`);
    const row = counts.lookup(u32(3));
    assert.ok(row);
    assert.equal(counts.sumU64(row).reduce((a, b) => a + b), 1_234n);

    using link = Link.openPinned(`${sandbox.bpffs}/fw_in`);
    assert.equal(link.info().cgroupId, cgroupId(cgroup));
    assert.equal(link.info().attachType, AttachType.CGROUP_INET_INGRESS);
    using counters = BpfMap.openPinned(`${sandbox.bpffs}/counters`);
    using next = await Firewall.load(cgroup, { maps: { counters } });
    const program = next.programs.get("fw_in");
    assert.ok(program);
    link.update(program);
    assert.equal(link.info().programId, program.info().id);
    using directory = CgroupDirectory.open(cgroup);
    assert.equal(queryCgroup(directory, AttachType.CGROUP_INET_INGRESS).programIds.length, 1);
    assert.deepEqual(next.counts(), { "ingress tcp v4 allowed": 1, "ingress tcp v4 blocked": 1 });
  },
);

kernelTest("without links, instances stack, are found by id, and are detached", async (sandbox) => {
  const cgroup = sandbox.cgroup("pod");
  using directory = CgroupDirectory.open(cgroup);
  const type = AttachType.CGROUP_INET_INGRESS;
  for (let loader = 0; loader < 3; loader++) {
    using firewall = await Firewall.load(cgroup, { hooks: ["fw_in"] });
    firewall.programs.get("fw_in")?.attachWithoutLink(directory, type);
  }
  const { programIds } = queryCgroup(directory, type);
  assert.equal(programIds.length, 3);
  for (const id of programIds) {
    using program = Program.openById(id);
    assert.equal(program.name, "fw_in");
    assert.equal(program.detachWithoutLink(directory, type), true);
    assert.equal(program.detachWithoutLink(directory, type), false);
  }
  assert.deepEqual(queryCgroup(directory, type).programIds, []);
});

kernelTest("a cgroup goes although a link is pinned to it; the link says so", async (sandbox) => {
  const cgroup = sandbox.cgroup("gone");
  using firewall = await Firewall.attach(cgroup, { hooks: ["fw_in"] });
  const [link] = firewall.links.values();
  const [program] = firewall.programs.values();
  assert.ok(link && program);
  link.pin(`${sandbox.bpffs}/gone`);
  await removeCgroup(cgroup);
  await eventually("the link notices", () => link.info().cgroupId === 0n);
  assert.throws(() => link.update(program), { errno: "ENOLINK" });
  Deno.removeSync(`${sandbox.bpffs}/gone`);
  assert.throws(() => cgroupId(cgroup), { errno: "ENOENT" });
});

kernelTest("errors say what the kernel said", async (sandbox) => {
  assert.throws(() => BpfMap.openPinned(`${sandbox.bpffs}/none`), (error) => {
    assert.ok(error instanceof BpfError);
    assert.equal(error.errno, "ENOENT");
    assert.match(error.message, /^Cannot open the map .*none: ENOENT$/);
    return true;
  });
  using firewall = await Firewall.load(sandbox.cgroup("pod"), { hooks: ["fw_in"] });
  const { counters, node_addresses } = firewall.maps;
  assert.throws(() => counters.lookup(new Uint8Array(8)), RangeError);
  assert.equal(node_addresses.lookup(new Uint8Array(16)), undefined);
  assert.equal(node_addresses.delete(new Uint8Array(16)), false);
  // In the place of another map, without being asked whether it fits: the verifier notices.
  await assert.rejects(
    Firewall.load(sandbox.cgroup("pod"), { maps: { rules: counters } }),
    (error) => {
      assert.ok(error instanceof VerifierError);
      assert.equal(error.errno, "EACCES");
      assert.match(error.message, /outside of the allowed memory range\)$/);
      assert.ok(error.log.split("\n").length > 10);
      return true;
    },
  );
});

kernelTest("a pinned map is taken up, and one of other sizes is refused", async (sandbox) => {
  const path = `${sandbox.bpffs}/rules`;
  let id: number;
  {
    using object = openObject("firewall");
    object.setPinPath("rules", path);
    await object.load();
    using rules = object.map("rules");
    id = rules.info.id;
  }
  {
    using object = openObject("firewall");
    object.setPinPath("rules", path);
    await object.load();
    using rules = object.map("rules");
    assert.equal(rules.info.id, id);
  }
  using object = openObject("firewall");
  object.setPinPath("counters", path);
  await assert.rejects(object.load(), (error) => {
    assert.ok(error instanceof BpfError && !(error instanceof VerifierError));
    assert.equal(error.errno, "EINVAL");
    assert.match(error.details.join("\n"), /parameter mismatch/);
    return true;
  });
});

kernelTest("an object is used in its order, and closes after the load that it is in", async () => {
  const object = openObject("syscalls_legacy");
  assert.throws(() => object.map("counts"), /it is open, not loaded/);
  const loading = object.load();
  object.close();
  assert.throws(() => object.program("sys_count"), /it is loading/);
  await loading;
  assert.throws(() => object.map("counts"), /it is closed/);
  object.close();
});

kernelTest("maps larger than a batch are read whole", (sandbox) => {
  return withFlows(sandbox, (flows) => {
    const { keySize, valueSize } = flows.info;
    const count = 5_000;
    const key = new Uint8Array(keySize);
    for (let index = 0; index < count; index++) {
      new DataView(key.buffer).setUint32(8, index, true);
      flows.update(key, new Uint8Array(valueSize).fill(index & 0xff));
    }
    const entries = flows.entries();
    const seen = new Set(entries.map(({ key }) => new DataView(key.buffer).getUint32(8, true)));
    assert.equal(entries.length, count);
    assert.equal(seen.size, count);
    assert.deepEqual(flows.keys().length, count);
    for (const { key } of entries.slice(0, 100)) assert.equal(flows.delete(key), true);
    assert.equal(flows.entries().length, count - 100);
  });
});

async function withFlows(sandbox: Sandbox, use: (flows: BpfMap) => void): Promise<void> {
  using firewall = await Firewall.load(sandbox.cgroup("pod"), { hooks: ["fw_in"] });
  use(firewall.maps.flows);
}

kernelTest("nothing is left: handles, links, maps, programs", async (sandbox) => {
  // Ids are never used twice: those of earlier tests may still go.
  const before = heldIds();
  for (let round = 0; round < 20; round++) {
    const cgroup = sandbox.cgroup(`pod${round}`);
    using firewall = await Firewall.attach(cgroup, { hooks: ["fw_in", "fw_m4"] });
    const pin = `${sandbox.bpffs}/${round}`;
    firewall.links.get("fw_in")?.pin(pin);
    assert.equal(firewall.maps.rules.info.name, "rules");
    Deno.removeSync(pin);
    await removeCgroup(cgroup);
  }
  {
    using counter = await SyscallCounter.attach();
    assert.ok(liveHandles().some(({ what, stack }) => what.startsWith("link") && stack !== ""));
    assert.equal(counter.links.length, 2);
  }
  assert.deepEqual(liveHandles(), []);
  // The kernel frees them a little later.
  await eventually("the kernel has let go", () => {
    const now = heldIds();
    const left = KINDS.flatMap((kind) =>
      now[kind].filter((id) => id > (before[kind].at(-1) ?? 0)).map((id) => `${kind} ${id}`)
    );
    assert.deepEqual(left, []);
    return true;
  });
});
