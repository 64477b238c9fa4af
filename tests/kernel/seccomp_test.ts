/**
 * Seccomp profiles at work: a real program is counted, and runs under runc with the profile that comes of it.
 */
import assert from "node:assert/strict";
import { readSyscalls } from "../../src/commands/seccomp_node.ts";
import { SYSCALL_NUMBERS } from "../../src/domain/ebpf_programs.ts";
import {
  type ProfileOptions,
  type SeccompProfile,
  seccompProfile,
  type SyscallsSeen,
} from "../../src/domain/seccomp_profile.ts";
import { type Architecture, ARCHITECTURES, syscallTable } from "../../src/domain/syscall_table.ts";
import { Actor } from "./support/actor.ts";
import { folderOf, openLoader, resolverOf, syscallSpec } from "./support/agent.ts";
import { makePod } from "./support/kubelet.ts";
import { kernelTest, type Sandbox } from "./support/sandbox.ts";

const ARCHITECTURE = Deno.build.arch satisfies Architecture;
const OPTIONS: ProfileOptions = { defaultAction: "errno", allow: [], deny: [], skipUnknown: false };
const ALL = { numbers: [...Array(SYSCALL_NUMBERS).keys()] };

/** Threads, files, a child, a connection to itself. */
const PROGRAM = `
import socket, subprocess, threading
threads = [threading.Thread(target=lambda: sum(range(1000))) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
with open("/tmp/f", "w") as file: file.write("x")
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
listener.accept()[0].sendall(b"hello")
assert client.recv(5) == b"hello"
assert subprocess.run(["/bin/true"]).returncode == 0
print("done")
`;
/** One call more. */
const FURTHER = `${PROGRAM}
import os
os.mkfifo("/tmp/fifo")
print("further")
`;

async function run(command: string, args: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(command, { args: [...args], env })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, output: text(stdout), errors: text(stderr) };
}

const lackOfRunc = await run("runc", ["--version"]).then(() => [], () => ["runc"]);

/** What the counter sees of the program, in a container's cgroup of a Pod. */
async function watch(sandbox: Sandbox, program: string): Promise<SyscallsSeen> {
  const pod = makePod(sandbox);
  await using loader = await openLoader(folderOf(sandbox));
  const cgroup = await resolverOf(sandbox).resolve(pod.query);
  const row = await loader.syscalls.put(cgroup, syscallSpec([], ALL));
  const enter = `echo $$ > ${pod.container}/cgroup.procs && exec python3 -c "$PROGRAM"`;
  const { output, errors } = await run("sh", ["-c", enter], { PROGRAM: program });
  assert.equal(output, "done\n", errors);
  const reading = {
    bpffsFolder: folderOf(sandbox),
    cgroupRoot: sandbox.root,
    architecture: ARCHITECTURE,
  };
  const seen = await readSyscalls(pod.query, reading);
  await loader.syscalls.remove(row);
  assert.equal(await readSyscalls(pod.query, reading), undefined, "nothing is counted any more");
  assert.ok(seen);
  return seen;
}

/** Mounts of its own: nobody else sees them. runc looks for cgroups before anything else. */
const RUN = `
mount --bind / "$BUNDLE/root" && umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup &&
mount -o remount,bind,ro /sys/fs/cgroup && exec "$RUNTIME" --rootless=true --root "$BUNDLE/state" \
  run --bundle "$BUNDLE" "$NAME"
`;

const python = (program: string) => ["/usr/bin/env", "python3", "-c", program];

/** Under runc, as a user without rights, on this machine's files. */
async function runInContainer(
  args: readonly string[],
  seccomp: SeccompProfile,
  noNewPrivileges: boolean,
) {
  const bundle = await Deno.makeTempDir({ prefix: "pcm-seccomp-" });
  try {
    await Deno.mkdir(`${bundle}/root`);
    const config = {
      ociVersion: "1.0.2",
      process: {
        terminal: false,
        user: { uid: 65_534, gid: 65_534, additionalGids: [65_533] },
        args,
        env: [`PATH=${Deno.env.get("PATH")}`],
        cwd: "/",
        noNewPrivileges,
        capabilities: { bounding: [], effective: [], permitted: [] },
      },
      root: { path: `${bundle}/root`, readonly: true },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/tmp", type: "tmpfs", source: "tmpfs" },
      ],
      linux: {
        namespaces: ["pid", "mount", "ipc", "uts"].map((type) => ({ type })),
        seccomp,
      },
    };
    await Deno.writeTextFile(`${bundle}/config.json`, JSON.stringify(config));
    return await run("unshare", ["--mount", "sh", "-c", RUN], {
      BUNDLE: bundle,
      RUNTIME: Deno.env.get("OCI_RUNTIME") ?? "runc",
      NAME: bundle.split("/").at(-1) ?? "",
    });
  } finally {
    await Deno.remove(bundle, { recursive: true });
  }
}

function profile(seen: SyscallsSeen, options: Partial<ProfileOptions> = {}): SeccompProfile {
  const result = seccompProfile(seen, { ...OPTIONS, ...options });
  assert.ok("profile" in result, JSON.stringify(result));
  assert.deepEqual(result.warnings, []);
  return result.profile;
}

kernelTest(
  "a program runs with the profile of what was seen of it, and does no more",
  async (sandbox) => {
    const seen = await watch(sandbox, PROGRAM);
    const made = profile(seen);
    for (const noNewPrivileges of [true, false]) {
      const same = await runInContainer(python(PROGRAM), made, noNewPrivileges);
      assert.equal(same.output, "done\n", same.errors);
      const more = await runInContainer(python(FURTHER), made, noNewPrivileges);
      assert.equal(more.output, "done\n");
      assert.match(more.errors, /PermissionError: \[Errno 1\]/);
    }
    const kill = await runInContainer(
      python(FURTHER),
      profile(seen, { defaultAction: "kill" }),
      true,
    );
    // Killed by SIGSYS (31); what python3 has not written by then is lost.
    assert.equal(kill.code, 128 + 31, kill.errors);
    for (
      const allowed of [
        profile(seen, { allow: ["mknod", "mknodat"] }),
        profile(seen, { defaultAction: "log" }),
      ]
    ) {
      const further = await runInContainer(python(FURTHER), allowed, true);
      assert.equal(further.output, "done\nfurther\n", further.errors);
    }
  },
  lackOfRunc,
);

const BUSYBOX = "/bin/busybox";
const lackOfBusybox = await Deno.stat(BUSYBOX).then(() => [], () => ["busybox-static"]);

kernelTest(
  "what a runtime needs is enough to start a container that does next to nothing",
  async (sandbox) => {
    const seen = await watch(sandbox, 'print("done")');
    const calls = new BigUint64Array(SYSCALL_NUMBERS);
    calls[syscallTable(ARCHITECTURE).number("write") ?? 0] = 1n;
    const made = profile({ ...seen, calls });
    for (const noNewPrivileges of [true, false]) {
      const { output, errors } = await runInContainer(
        [BUSYBOX, "echo", "started"],
        made,
        noNewPrivileges,
      );
      assert.equal(output, "started\n", errors);
    }
  },
  [...lackOfRunc, ...lackOfBusybox],
);

kernelTest(
  "calls of 32-bit programs are seen, whether they have a name or not",
  async (sandbox) => {
    if (ARCHITECTURE !== "x86_64") return;
    const pod = makePod(sandbox);
    await using actor = await Actor.start();
    await using loader = await openLoader(folderOf(sandbox));
    const row = await loader.syscalls.put(
      await resolverOf(sandbox).resolve(pod.query),
      syscallSpec([], ALL),
    );
    const [getpid, waitpid] = [20, 7];
    const steps = [[`compat:${getpid}`, 4], [`compat:${waitpid}`, 3]];
    await actor.do("work", { cgroup: pod.container, steps });
    const seen = await readSyscalls(pod.query, {
      bpffsFolder: folderOf(sandbox),
      cgroupRoot: sandbox.root,
      architecture: ARCHITECTURE,
    });
    await loader.syscalls.remove(row);
    assert.equal(seen?.compat, 7n);
  },
);

/** Numbers above rise with the kernel's age, and libseccomp 2.5 knows all below 450; but for these. */
const LATE = new Set(["uprobe", "uretprobe"]);

const RESOLVE = `
import ctypes, json, sys
library = ctypes.CDLL("libseccomp.so.2")
resolve = library.seccomp_syscall_resolve_name_arch
architecture = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
print(json.dumps({name: [resolve(architecture[name], call.encode()) for call in calls]
  for name, calls in json.loads(sys.argv[1]).items()}))
`;

kernelTest("profiles name calls as libseccomp does", async () => {
  const names = Object.fromEntries(ARCHITECTURES.map((one) => {
    const table = syscallTable(one);
    return [one, table.numbers.map((number) => table.name(number))];
  }));
  const { output, errors } = await run("python3", ["-c", RESOLVE, JSON.stringify(names)]);
  assert.notEqual(output, "", errors);
  for (const [architecture, resolved] of Object.entries<number[]>(JSON.parse(output))) {
    const table = syscallTable(architecture as Architecture);
    const wrong = table.numbers.filter((number, index) => {
      // Below 0: a library that is older than the call.
      const answer = resolved[index] ?? 0;
      return answer >= 0 ? answer !== number : number < 450 && !LATE.has(table.name(number));
    });
    assert.deepEqual(wrong.map((number) => `${architecture} ${table.name(number)}`), []);
  }
}, lackOfRunc);
