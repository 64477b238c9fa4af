/** The commands for a node: selftest, prepare-node and cleanup, run as processes. */
import assert from "node:assert/strict";
import { AttachType, CgroupDirectory, queryCgroup } from "../../ffi/mod.ts";
import {
  firewallSpec,
  folderOf,
  openLoader,
  plane,
  resolverOf,
  syscallSpec,
} from "./support/agent.ts";
import { makePod } from "./support/kubelet.ts";
import { kernelTest, type Sandbox } from "./support/sandbox.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const OWNER = 65_532;

/** In a cgroup of its own: the canary attaches to the one that it runs in. */
async function run(sandbox: Sandbox, args: readonly string[]) {
  const cgroup = sandbox.cgroup("command");
  const script = `echo $$ > ${cgroup}/cgroup.procs && exec "$@"`;
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", script, "sh", Deno.execPath(), "run", "--allow-all", "--no-check", MAIN, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), error: text(stderr) };
}

kernelTest("selftest says what the node can do, and exits by it", async (sandbox) => {
  const folder = folderOf(sandbox);
  const able = await run(sandbox, ["selftest", "-o", "json", "--bpffs-folder", folder]);
  assert.equal(able.code, 0, able.out + able.error);
  const { passed, checks } = JSON.parse(able.out);
  assert.equal(passed, true);
  const names = checks.map(({ check }: { check: string }) => check);
  const programs = ["fw_in", "fw_out", "fw_c4", "fw_c6", "fw_m4", "fw_m6"]
    .concat(["sys_enter", "sys_exit", "sys_count", "sys_finish"]).map((name) => `program ${name}`);
  const looks = ["kernel", "cgroups", "pods", "capabilities", "libbpf", "bpffs", "features"];
  assert.deepEqual(names, [...looks, ...programs, "canary"]);

  const unable = await run(sandbox, ["selftest", "--bpffs-folder", "/proc/none"]);
  assert.equal(unable.code, 1);
  assert.match(unable.out, /^failed +bpffs +\/proc\/none does not exist, and \/proc is no bpffs$/m);
  assert.match(unable.out, /^ok +canary /m);
});

kernelTest("prepare-node gives the folder away; cleanup leaves nothing", async (sandbox) => {
  const folder = folderOf(sandbox);
  const args = ["--bpffs-folder", folder];
  const prepared = await run(sandbox, ["prepare-node", ...args]);
  assert.deepEqual([prepared.code, prepared.error], [0, ""]);
  const { uid, gid, mode } = Deno.statSync(folder);
  assert.deepEqual([uid, gid, (mode ?? 0) & 0o777], [OWNER, OWNER, 0o700]);

  const pod = makePod(sandbox);
  const cgroup = await resolverOf(sandbox).resolve(pod.query);
  const spec = firewallSpec({ ingress: plane("block"), egress: plane("block") });
  {
    await using loader = await openLoader(folder);
    await loader.firewall.apply(pod.query.podUid, cgroup, spec);
    await loader.syscalls.put(cgroup, syscallSpec(["read"], { errors: true }));
    const refused = await run(sandbox, ["cleanup", ...args]);
    assert.equal(refused.code, 1);
    assert.match(refused.error, /^error: Cannot manage .*: another agent on this node does$/m);
  }
  // Again, with pins there: all of them change hands.
  assert.equal((await run(sandbox, ["prepare-node", ...args, "--owner-uid", "7"])).code, 0);
  assert.equal(Deno.statSync(`${folder}/v1/pods/${pod.query.podUid}/in`).uid, 7);

  const cleaned = await run(sandbox, ["cleanup", ...args]);
  assert.equal(cleaned.code, 0, cleaned.error);
  assert.match(cleaned.out, /^removed \d+ pins, of 1 Pods and the node, from /);
  using directory = CgroupDirectory.open(pod.path);
  for (const type of Object.values(AttachType)) {
    assert.deepEqual(queryCgroup(directory, type).programIds, []);
  }
  const left = [...Deno.readDirSync(sandbox.bpffs)].map(({ name }) => name);
  assert.deepEqual(left.filter((name) => !name.endsWith(".debug")), []);
  const again = await run(sandbox, ["cleanup", ...args]);
  const nothing = `nothing was pinned in ${folder}\n`;
  assert.deepEqual([again.code, again.out], [0, nothing]);
  assert.deepEqual(await stopOnceSaid(nothing, ["cleanup", "--hold", ...args]), 0);
});

/** Ends a command with SIGTERM when it has said `expected`, and returns its exit code. */
async function stopOnceSaid(expected: string, args: readonly string[]): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", MAIN, ...args],
    stdout: "piped",
  }).spawn();
  let said = "";
  for await (const bytes of child.stdout) {
    said += new TextDecoder().decode(bytes);
    if (said === expected) child.kill("SIGTERM");
  }
  const { code, signal } = await child.status;
  assert.deepEqual([said, signal], [expected, null]);
  return code;
}

kernelTest("prepare-node makes nothing outside of a bpffs", async (sandbox) => {
  const plain = await Deno.makeTempDir();
  const folder = `${plain}/podconfigmap`;
  const { code, error } = await run(sandbox, ["prepare-node", "--bpffs-folder", folder]);
  assert.equal(code, 1);
  assert.match(error, /is not in a bpffs/);
  // Where no folder can be made at all, as in a sysfs without a bpffs on it.
  const nowhere = await run(sandbox, ["prepare-node", "--bpffs-folder", "/proc/none"]);
  assert.match(nowhere.error, /Cannot prepare \/proc\/none: it is not in a bpffs/);
  // Fails unless it is empty.
  await Deno.remove(plain);
});
