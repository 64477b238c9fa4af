/** What outlives an agent, what a new one adopts, and that nothing is ever left behind. */
import assert from "node:assert/strict";
import {
  AttachType,
  BpfMap,
  CgroupDirectory,
  libraryInfo,
  Link,
  makeDirectory,
  queryCgroup,
  removeFile,
} from "../../ffi/mod.ts";
import { LoopbackCanary } from "../../src/agent/adapters/canary.ts";
import { openObject } from "../../src/agent/adapters/objects.ts";
import { cleanFolder } from "../../src/agent/adapters/node_folder.ts";
import { namesIn, removeTree } from "../../src/agent/adapters/pins.ts";
import { EbpfError } from "../../src/agent/ports.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { eventually } from "../support/eventually.ts";
import { Actor, connectNetworks, POD_V4 } from "./support/actor.ts";
import {
  calls,
  firewallSpec,
  folderOf,
  makePorts,
  openLoader,
  plane,
  resolverOf,
  syscallSpec,
  verdicts,
} from "./support/agent.ts";
import { AGENT_PROCESS } from "./support/agent_process.ts";
import { heldIds, KINDS } from "./support/held.ts";
import { type FakePod, makePod, removePod } from "./support/kubelet.ts";
import { kernelTest, type Sandbox } from "./support/sandbox.ts";

const OPEN = 9000;
const CLOSED = 9001;
const PODS = 200;
const held = () => {
  const ids = heldIds();
  return KINDS.map((kind) => ids[kind].length);
};
/** The kernel frees a little later. */
async function letGo(before: readonly number[]): Promise<void> {
  await eventually("the kernel has let go", () => {
    const now = held();
    assert.ok(now.every((count, index) => count <= (before[index] ?? 0)), `${now} after ${before}`);
    return true;
  });
}
const reason = (expected: string) => (error: unknown) =>
  error instanceof EbpfError && error.reason === expected;

/** Runs the process until it says its line. */
async function startAgent(args: readonly string[], prepare?: (pid: number) => void) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", AGENT_PROCESS, ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  prepare?.(child.pid);
  const writer = child.stdin.getWriter();
  if (prepare !== undefined) await writer.write(new Uint8Array([10]));
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const line = new TextDecoder().decode(value).trim();
  const end = async () => {
    await reader.cancel();
    await writer.close().catch(() => {});
    await child.status;
  };
  return { child, line, end };
}

kernelTest(
  "after kill -9 blocked stays blocked, counts go on, a new agent adopts",
  async (sandbox) => {
    const pod = makePod(sandbox);
    const { podUid } = pod.query;
    await using inside = await Actor.start({ cgroup: pod.container, network: true });
    await using peer = await Actor.start({ network: true });
    await connectNetworks(inside, peer);
    for (const port of [OPEN, CLOSED]) await inside.server(4, "stream", port);
    const connect = async (port: number) => {
      const id = await peer.socket(4, "stream");
      const timeout = port === OPEN ? 5 : 0.15;
      return await peer.try("connect", { id, host: POD_V4, port, timeout });
    };
    await using worker = await Actor.start();
    const work = (count: number) =>
      worker.do("work", { cgroup: pod.container, steps: [["getppid", count]] });

    const agent = await startAgent([folderOf(sandbox), sandbox.root, podUid, `${OPEN}`]);
    assert.equal(agent.line, "ready");
    await assert.rejects(makePorts(folderOf(sandbox)).loader.open(), reason("AnotherAgent"));
    await work(1_000);
    assert.equal(await connect(CLOSED), "TIMEOUT");
    agent.child.kill("SIGKILL");
    await agent.end();
    await work(2_345);
    assert.deepEqual([await connect(OPEN), await connect(CLOSED)], ["ok", "TIMEOUT"]);

    await using loader = await openLoader(folderOf(sandbox));
    const before = heldIds();
    const cgroup = await resolverOf(sandbox).resolve(pod.query);
    const state = await loader.firewall.inspect(podUid);
    assert.ok(state?.complete && state.spec);
    const counter = await loader.syscalls.inspect();
    assert.ok(counter.attached);
    assert.deepEqual(counter.rows.map(({ cgroupIds }) => cgroupIds), [[
      cgroup.id,
      ...cgroup.descendants,
    ]]);
    await loader.firewall.apply(podUid, cgroup, state.spec);
    assert.equal(await loader.syscalls.put(cgroup, syscallSpec(["getppid"])), 0);
    await eventually("what is there was adopted, not made again", () => {
      const now = heldIds();
      const made = KINDS.flatMap((kind) =>
        now[kind].filter((id) => !before[kind].includes(id)).map((id) => `${kind} ${id}`)
      );
      assert.deepEqual(made, []);
      return true;
    });
    await work(3_000);
    assert.equal(await connect(CLOSED), "TIMEOUT");
    const [row] = await loader.syscalls.counts([0]);
    assert.deepEqual(calls(row?.calls), { getppid: 6_345 });
    assert.deepEqual(verdicts(await loader.firewall.counts(podUid)), {
      "ingress tcp ipv4 allowed": 1,
      "ingress tcp ipv4 blocked": 3,
    });
    await loader.syscalls.remove(0);
    await loader.firewall.remove(podUid);
  },
);

/** Kernel memory that is not given back at once shows up in these, in KiB. */
function memory(): number {
  const text = Deno.readTextFileSync("/proc/meminfo");
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1]);
  return of("SUnreclaim") + of("Percpu") + of("VmallocUsed");
}

kernelTest(`${PODS} Pods come and go, and leave nothing`, async (sandbox) => {
  const resolver = resolverOf(sandbox);
  await using loader = await openLoader(folderOf(sandbox));
  const spec = firewallSpec({ ingress: plane("block") });
  const run = async () => {
    const pod = makePod(sandbox);
    const cgroup = await resolver.resolve(pod.query);
    await loader.firewall.apply(pod.query.podUid, cgroup, spec);
    const row = await loader.syscalls.put(cgroup, syscallSpec(["getppid"]));
    await removePod(pod);
    await loader.firewall.remove(pod.query.podUid);
    await loader.syscalls.remove(row);
  };
  // One that stays keeps the shared maps, as on a node with more than one Pod.
  const stays = makePod(sandbox);
  const cgroup = await resolver.resolve(stays.query);
  await loader.firewall.apply(stays.query.podUid, cgroup, spec);
  await loader.syscalls.put(cgroup, syscallSpec(["getuid"]));
  await run();
  const [before, memoryBefore] = [held(), memory()];
  for (let round = 1; round < PODS; round++) await run();
  await letGo(before);
  assert.deepEqual(await loader.firewall.list(), [stays.query.podUid]);
  // Each Pod's maps alone are 64 KiB and a page for each CPU: 13 MiB, were they kept. Its memory, too, the
  // kernel frees a little later, and others of this machine use some for a while.
  await eventually("the kernel's memory is as before", () => {
    const grown = memory() - memoryBefore;
    assert.ok(grown < 8_192, `${grown} KiB of kernel memory`);
    return true;
  });
  await loader.firewall.remove(stays.query.podUid);
  await loader.syscalls.remove(0);
  const { maps, pods, sys } = foldersOf(sandbox);
  assert.deepEqual([maps, pods, sys].map(namesIn), [[], [], []]);
});

const foldersOf = (sandbox: Sandbox) => {
  const root = `${folderOf(sandbox)}/v1`;
  return { maps: `${root}/maps`, pods: `${root}/pods`, sys: `${root}/sys` };
};

/** Attaches a program that allows none below it. */
async function forbid(cgroup: string, type: keyof typeof AttachType): Promise<Disposable> {
  using object = openObject("firewall");
  const name = type === "CGROUP_INET6_CONNECT" ? "fw_c6" : "fw_m6";
  for (const program of object.programNames) object.setAutoload(program, program === name);
  await object.load();
  const program = object.program(name);
  const directory = CgroupDirectory.open(cgroup);
  // int bpf_prog_attach(int prog_fd, int attachable_fd, enum bpf_attach_type type, unsigned int flags)
  const library = Deno.dlopen(libraryInfo().path, {
    bpf_prog_attach: { parameters: ["i32", "i32", "i32", "u32"], result: "i32" },
  });
  const result = library.symbols.bpf_prog_attach(program.fd, directory.fd, AttachType[type], 0);
  library.close();
  assert.equal(result, 0);
  return {
    [Symbol.dispose]: () => {
      assert.ok(program.detachWithoutLink(directory, AttachType[type]));
      program[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

kernelTest("a failure in the middle leaves nothing half attached", async (sandbox) => {
  const resolver = resolverOf(sandbox);
  await using loader = await openLoader(folderOf(sandbox));
  const { firewall } = loader;
  const pod = makePod(sandbox);
  const { podUid } = pod.query;
  const cgroup = await resolver.resolve(pod.query);
  const spec = firewallSpec({ ingress: plane("block"), egress: plane("block") });
  // Somebody's program above allows no other one: in and m4 are attached when m6 fails.
  {
    using _ = await forbid(sandbox.root, "CGROUP_UDP6_SENDMSG");
    await assert.rejects(firewall.apply(podUid, cgroup, spec), reason("AttachConflict"));
  }
  assert.deepEqual(namesIn(foldersOf(sandbox).pods), [], "taken down altogether");
  using directory = CgroupDirectory.open(pod.path);
  const attached = () =>
    Object.values(AttachType).map((type) => queryCgroup(directory, type).programIds.length);
  assert.deepEqual(attached(), [0, 0, 0, 0, 0, 0]);

  await firewall.apply(podUid, cgroup, firewallSpec({ ingress: plane("block") }));
  {
    using _ = await forbid(sandbox.root, "CGROUP_INET6_CONNECT");
    // However often it is tried.
    for (let attempt = 0; attempt < 3; attempt++) {
      await assert.rejects(firewall.apply(podUid, cgroup, spec), reason("AttachConflict"));
    }
  }
  const state = await firewall.inspect(podUid);
  assert.equal(state?.complete, false);
  assert.equal(state?.spec?.egress, false, "the old one goes on");
  assert.deepEqual(attached(), [1, 0, 0, 0, 1, 1]);
  await firewall.apply(podUid, cgroup, spec);
  assert.equal((await firewall.inspect(podUid))?.complete, true);

  // A hook that went, as when a process died between two steps.
  removeFile(`${foldersOf(sandbox).pods}/${podUid}/c4`);
  assert.equal((await firewall.inspect(podUid))?.complete, false);
  await firewall.apply(podUid, cgroup, spec);
  assert.equal((await firewall.inspect(podUid))?.complete, true);

  await removePod(pod);
  await assert.rejects(firewall.apply(podUid, cgroup, spec), reason("CgroupNotFound"));
  await firewall.remove(podUid);
});

kernelTest("a Pod whose cgroup was replaced gets a firewall on the new one", async (sandbox) => {
  const resolver = resolverOf(sandbox);
  await using loader = await openLoader(folderOf(sandbox));
  const { firewall } = loader;
  const pod = makePod(sandbox);
  const { podUid } = pod.query;
  const spec = firewallSpec({ ingress: plane("block") });
  const old = await resolver.resolve(pod.query);
  await firewall.apply(podUid, old, spec);
  await removePod(pod);
  await eventually("the links are known to be dead", async () => {
    const dead = await firewall.inspect(podUid);
    return dead?.cgroupId === 0n && !dead.complete;
  });
  makePod(sandbox, { uid: podUid });
  const cgroup = await resolver.resolve(pod.query);
  assert.notEqual(cgroup.id, old.id);
  await assert.rejects(
    firewall.apply(podUid, { ...old, path: cgroup.path }, spec),
    reason("CgroupNotFound"),
  );
  await firewall.apply(podUid, cgroup, spec);
  const state = await firewall.inspect(podUid);
  assert.deepEqual([state?.complete, state?.cgroupId], [true, cgroup.id]);
  await firewall.remove(podUid);
});

kernelTest("pins of another layout go once this one holds", async (sandbox) => {
  await using loader = await openLoader(folderOf(sandbox));
  const pod: FakePod = makePod(sandbox);
  const { podUid } = pod.query;
  const cgroup = await resolverOf(sandbox).resolve(pod.query);
  const spec = firewallSpec({ ingress: plane("block") });
  await loader.firewall.apply(podUid, cgroup, spec);
  const other = `${folderOf(sandbox)}/v2`;
  for (const path of [other, `${other}/pods`, `${other}/pods/${podUid}`, `${other}/sys`]) {
    makeDirectory(path);
  }
  using link = Link.openPinned(`${foldersOf(sandbox).pods}/${podUid}/in`);
  link.pin(`${other}/pods/${podUid}/in`);
  link.pin(`${other}/sys/enter`);
  removeTree(`${foldersOf(sandbox).pods}/${podUid}`);
  assert.deepEqual(await loader.firewall.list(), [podUid]);
  assert.equal((await loader.firewall.inspect(podUid))?.complete, false);
  assert.equal((await loader.syscalls.inspect()).present, true);
  await loader.firewall.apply(podUid, cgroup, spec);
  assert.deepEqual(namesIn(`${other}/pods`), []);
  await loader.syscalls.detachUnused();
  assert.deepEqual(namesIn(folderOf(sandbox)), ["v1"]);
  await loader.firewall.remove(podUid);
});

kernelTest(
  "what is here is seen without a claim, and all of it taken down, of any layout",
  async (sandbox) => {
    const folder = folderOf(sandbox);
    const elsewhere = makePorts(folder).loader;
    assert.equal(await elsewhere.present(), false);
    await using loader = await openLoader(folder);
    assert.equal(await elsewhere.present(), false, "folders alone are nothing");
    const pod = makePod(sandbox);
    const cgroup = await resolverOf(sandbox).resolve(pod.query);
    await loader.firewall.apply(
      pod.query.podUid,
      cgroup,
      firewallSpec({ ingress: plane("block") }),
    );
    await loader.syscalls.put(cgroup, syscallSpec(["read"], { errors: true }));
    using link = Link.openPinned(`${foldersOf(sandbox).pods}/${pod.query.podUid}/in`);
    for (const path of [`${folder}/v2`, `${folder}/v2/sys`]) makeDirectory(path);
    link.pin(`${folder}/v2/sys/enter`);
    assert.equal(await elsewhere.present(), true);
    await loader.clear();
    assert.equal(await elsewhere.present(), false);
    assert.deepEqual(namesIn(folder), ["v1"]);
    using directory = CgroupDirectory.open(pod.path);
    const attached = Object.values(AttachType).flatMap((type) =>
      queryCgroup(directory, type).programIds
    );
    assert.deepEqual(attached, []);
    // It can go on from there.
    await loader.firewall.apply(
      pod.query.podUid,
      cgroup,
      firewallSpec({ ingress: plane("block") }),
    );
    await loader.firewall.remove(pod.query.podUid);
  },
);

kernelTest("pinned maps of another shape are refused, the node is not claimed", async (sandbox) => {
  const { maps } = foldersOf(sandbox);
  {
    await using loader = await openLoader(folderOf(sandbox));
    const cgroup = await resolverOf(sandbox).resolve(makePod(sandbox).query);
    await loader.syscalls.put(cgroup, syscallSpec(["read"]));
    using lost = BpfMap.openPinned(`${maps}/sys_lost`);
    removeFile(`${maps}/sys_counts`);
    lost.pin(`${maps}/sys_counts`);
  }
  for (let attempt = 0; attempt < 2; attempt++) {
    await assert.rejects(makePorts(folderOf(sandbox)).loader.open(), (error) => {
      assert.ok(reason("LoadFailed")(error));
      assert.match(String(error), /pinned map sys_counts: its layout is another/);
      return true;
    });
  }
  assert.ok(cleanFolder(folderOf(sandbox)).pins > 5);
});

kernelTest("a folder that is in no bpffs is refused", async (sandbox) => {
  const plain = await Deno.makeTempDir();
  try {
    await assert.rejects(
      makePorts(`${plain}/podconfigmap`).loader.open(),
      reason("BpffsUnavailable"),
    );
    await assert.rejects(
      makePorts(`${plain}/none/podconfigmap`).loader.open(),
      reason("BpffsUnavailable"),
    );
  } finally {
    await Deno.remove(plain, { recursive: true });
  }
  assert.ok(sandbox.bpffs);
});

kernelTest("the canary is blocked on its own cgroup, and leaves nothing", async (sandbox) => {
  const cgroup = sandbox.cgroup("agent");
  const before = held();
  const join = (pid: number) => Deno.writeTextFileSync(`${cgroup}/cgroup.procs`, `${pid}`);
  const process = await startAgent(["canary"], join);
  assert.deepEqual(JSON.parse(process.line), { ok: true });
  await process.end();
  await letGo(before);
});

kernelTest("the canary says so where programs are attached and not run", async (sandbox) => {
  // This process' sockets are of another cgroup, as if the kernel had mistaken it.
  const cgroup = sandbox.cgroup("elsewhere");
  const result = await new LoopbackCanary({ clock: systemClock, cgroup }).run();
  assert.equal(result.ok, false);
  assert.match(result.ok ? "" : result.message, /came through on the cgroup .*elsewhere/);
});
