/**
 * Runs the kernel tests on other kernels than this machine's, in QEMU by software emulation:
 *
 *     deno run -A scripts/kernels.ts [5.10] [6.1] [6.12]
 *
 * - Kernels are Debian's cloud images, downloaded by apt into the user's cache. KERNEL_IMAGE names
 *   another bzImage (veth and bpf built in), such as a 5.4: it runs instead.
 * - The machine is an initramfs made of what this one has: busybox, Deno, Python, iproute2, libbpf.
 * - All emulated CPUs share one thread. With a thread for each, QEMU may go on to execute an
 *   instruction that another CPU has replaced: QEMU 7.2 panics a guest whose kernel rewrites its code
 *   under load, with no program of ours in it, within seconds. Two machines run side by side instead.
 * - KERNEL_TEST_ARGS: more for `deno test`, such as `--filter=matrix`.
 * - Needs qemu-system-x86, busybox-static, cpio, apt, dpkg, xz, python3, iproute2, libbpf1.
 * - A test may be left out only for want of a newer kernel, or for a reason listed below: each is
 *   printed. The last line of each kernel is `kernel N: ...`; exit code 0 when all passed.
 */

interface Kernel {
  /** As asked for: major.minor. */
  readonly version: string;
  readonly suite: string;
  /** Of the package, without the version's last part. */
  readonly pattern: RegExp;
}

const KERNELS: readonly Kernel[] = [
  { version: "5.10", suite: "bullseye", pattern: /^linux-image-5\.10\S+-cloud-amd64$/ },
  { version: "6.1", suite: "bookworm", pattern: /^linux-image-6\.1\.\S+-cloud-amd64$/ },
  { version: "6.12", suite: "trixie", pattern: /^linux-image-6\.12\S+-cloud-amd64$/ },
];

/** Why a test may be left out, beside the age of the kernel. */
const OTHER_LACKS: readonly RegExp[] = [
  // The machines have no compiler; the test says nothing about a kernel.
  /\[needs [^\]]*clang version [\d.]+\]$/,
  // Debian's 5.10 is built without it: there, it is no way around a firewall.
  /\[needs MPTCP\]$/,
];
const MEMORY_MIB = 2048;
const AT_ONCE = 2;
const BOOT_TIMEOUT_MS = 15 * 60_000;
const ROOT = new URL("..", import.meta.url).pathname;
const PYTHON = "/usr/lib/python3.11";
const PROJECT = ["bpf", "deno.json", "ffi", "main.ts", "scripts", "src", "tests"];
/** Of the programs and the binding, then of the agent's adapters and commands. */
const TESTS = [
  ...["firewall_matrix", "firewall", "syscalls", "lifecycle", "objects", "library"],
  ...["agent_cgroups", "agent_firewall", "agent_syscalls", "agent_lifecycle", "agent_commands"],
  "agent_layouts",
].map((name) => `tests/kernel/${name}_test.ts`);
const APPLETS = [
  "mount",
  "umount",
  "mkdir",
  "insmod",
  "poweroff",
  "ifconfig",
  "cat",
  "sleep",
  "uname",
];

const INIT = `#!/bin/sh
export PATH=/bin:/usr/bin:/usr/sbin HOME=/tmp NO_COLOR=1 DENO_NO_UPDATE_CHECK=1 DENO_DIR=/deno PYTHONHOME=/usr
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/unified
mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
for module in /modules/*.ko; do insmod $module; done
ifconfig lo 127.0.0.1 up
echo
echo "Linux $(uname -r)"
cd /project
deno test --allow-all --no-check --no-lock --cached-only \
  ${Deno.env.get("KERNEL_TEST_ARGS") ?? ""} ${TESTS.join(" ")}
echo "exit code $?"
poweroff -f
`;

interface Machine {
  /** What it is called in the output. */
  readonly name: string;
  /** Path of a bzImage. */
  readonly image: string;
  /** Path of veth.ko, where it is not built in. */
  readonly module?: string;
}

async function main(): Promise<number> {
  const given = Deno.env.get("KERNEL_IMAGE");
  const wanted = Deno.args.length > 0
    ? KERNELS.filter(({ version }) => Deno.args.includes(version))
    : KERNELS;
  const work = await Deno.makeTempDir({ prefix: "podconfigmap-kernels-" });
  try {
    await makeRoot(`${work}/tree`);
    await sh(`cd ${work}/tree && find . | cpio --quiet -o -H newc > ../initramfs`);
    const machines: Machine[] = [];
    if (given !== undefined) machines.push({ name: given, image: given });
    else for (const kernel of wanted) machines.push(await fetchKernel(kernel));
    let passed = true;
    const next = async () => {
      for (let machine = machines.shift(); machine; machine = machines.shift()) {
        if (!await boot(machine, work)) passed = false;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    return passed ? 0 : 1;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

async function boot({ name, image, module }: Machine, work: string): Promise<boolean> {
  const begin = performance.now();
  const folder = await Deno.makeTempDir({ dir: work });
  // An initramfs may be several archives in a row.
  await Deno.copyFile(`${work}/initramfs`, `${folder}/initramfs`);
  if (module !== undefined) {
    await Deno.mkdir(`${folder}/modules`);
    await Deno.copyFile(module, `${folder}/modules/veth.ko`);
    await sh(`cd ${folder} && find modules | cpio --quiet -o -H newc >> initramfs`);
  }
  const child = new Deno.Command("qemu-system-x86_64", {
    args: [
      ...["-accel", "tcg,thread=single", "-cpu", "max", "-m", `${MEMORY_MIB}`, "-smp", "2"],
      ...[
        "-nographic",
        "-nic",
        "none",
        "-no-reboot",
        "-kernel",
        image,
        "-initrd",
        `${folder}/initramfs`,
      ],
      ...["-append", "console=ttyS0 quiet panic=-1"],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), BOOT_TIMEOUT_MS);
  const { stdout, stderr } = await child.output();
  clearTimeout(timer);
  await Deno.remove(folder, { recursive: true });
  const output = new TextDecoder().decode(stdout).replaceAll("\r", "");
  const leftOut = leftOutTests(output);
  const passed = output.includes("\nexit code 0\n") && leftOut.every(({ accepted }) => accepted);
  if (!passed) say(output + new TextDecoder().decode(stderr));
  for (const { test, accepted } of leftOut) {
    say(`kernel ${name}: left out${accepted ? "" : " without a reason that counts"}: ${test}`);
  }
  const [summary = "did not finish"] = /^(ok|FAILED) \| .*$/m.exec(output) ?? [];
  say(`kernel ${name}: ${summary}, ${Math.round((performance.now() - begin) / 1000)} s in all`);
  return passed;
}

/**
 * Tests that did not run. `accepted`: for want of a newer kernel than that machine's, or of what
 * {@link OTHER_LACKS} lists.
 */
export function leftOutTests(output: string): { test: string; accepted: boolean }[] {
  const own = /^Linux (\d+)\.(\d+)/m.exec(output);
  return output.split("\n").flatMap((line) => {
    const [, test] = /^(.*) \.\.\. ignored \(/.exec(line) ?? [];
    if (test === undefined) return [];
    const needed = /\[needs Linux (\d+)\.(\d+)\]$/.exec(test);
    const newer = own !== null && needed !== null && rank(needed) > rank(own);
    return [{ test, accepted: newer || OTHER_LACKS.some((pattern) => pattern.test(test)) }];
  });
}

function rank([, major, minor]: RegExpExecArray): number {
  return Number(major) * 1_000 + Number(minor);
}

/** Everything but the kernel's module. */
async function makeRoot(root: string): Promise<void> {
  for (const folder of ["bin", "dev", "modules", "proc", "project", "sys", "tmp"]) {
    await Deno.mkdir(`${root}/${folder}`, { recursive: true });
  }
  await Deno.copyFile("/bin/busybox", `${root}/bin/busybox`);
  for (const applet of APPLETS) await Deno.symlink("busybox", `${root}/bin/${applet}`);
  await Deno.copyFile(Deno.execPath(), `${root}/bin/deno`);
  await sh(
    `mkdir -p ${root}/usr/lib ${root}/usr/bin ${root}/usr/sbin && ` +
      `cp -r ${PYTHON} ${root}/usr/lib/ && cp /usr/bin/python3 ${root}/usr/bin/ && ` +
      `rm -rf ${root}${PYTHON}/test && cp $(command -v ip) ${root}/usr/sbin/ip && ` +
      // Not busybox's, which prefers its own `ip`.
      `cp /bin/dash ${root}/bin/sh`,
  );
  for (const path of PROJECT) {
    await sh(`cd ${ROOT} && cp -r --parents ${path} ${root}/project/`);
  }
  // What the sources import: there is no network to get it from.
  await sh(`
    cd ${ROOT} && mkdir -p ${root}/deno &&
    "${Deno.execPath()}" cache --quiet main.ts ${TESTS.join(" ")} &&
    packages=$("${Deno.execPath()}" info --json | grep -o '"npmCache": *"[^"]*"' | cut -d '"' -f 4) &&
    cp -r "$packages" ${root}/deno/npm`);
  // What the binaries and Python's modules load, and libbpf.
  await sh(`
    for file in ${root}/bin/deno ${root}/bin/sh ${root}/usr/sbin/ip ${root}/usr/bin/python3 \
        ${PYTHON}/lib-dynload/_ctypes*.so $(ls /usr/lib/*-linux-gnu/libbpf.so.1); do
      ldd "$file" | grep -o '/[^ ]*'
      case $file in /usr/lib/*) echo "$file";; esac
    done | sort -u | while read -r library; do
      mkdir -p "${root}$(dirname "$library")" && cp -L "$library" "${root}$library"
    done`);
  await Deno.writeTextFile(`${root}/init`, INIT, { mode: 0o755 });
}

/** From Debian's archive, once; apt's own state stays as it is. */
async function fetchKernel(kernel: Kernel): Promise<Machine> {
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`;
  const folder = `${cache}/podconfigmap-kernels/${kernel.version}`;
  const name = kernel.version;
  const found = { name, image: `${folder}/vmlinuz`, module: `${folder}/veth.ko` };
  if (exists(found.module)) return found;
  const apt = `${folder}/apt`;
  await sh(
    `mkdir -p ${apt}/lists/partial ${apt}/cache/archives/partial && ` +
      `echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ` +
      `http://deb.debian.org/debian ${kernel.suite} main" > ${apt}/sources.list`,
  );
  const options =
    `-o Dir::Etc::SourceList=${apt}/sources.list -o Dir::Etc::SourceParts=/dev/null ` +
    `-o Dir::State::Lists=${apt}/lists -o Dir::Cache=${apt}/cache -o APT::Sandbox::User=root`;
  await sh(`apt-get ${options} -q update`);
  const names = (await sh(`apt-cache ${options} search --names-only '^linux-image-.*cloud-amd64$'`))
    .split("\n").map((line) => line.split(" ")[0] ?? "").filter((name) =>
      kernel.pattern.test(name)
    );
  const newest = names.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  if (newest === undefined) throw new Error(`Cannot get Linux ${kernel.version}: no package`);
  await sh(
    `cd ${folder} && apt-get ${options} -q download ${newest} && ` +
      `dpkg-deb -x ${newest}_*.deb unpacked && rm -rf apt *.deb && cp unpacked/boot/vmlinuz-* vmlinuz && ` +
      `find unpacked -name 'veth.ko*' -exec cp {} . ';' && rm -rf unpacked && ` +
      `if [ -e veth.ko.xz ]; then xz -d veth.ko.xz; fi`,
  );
  return found;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

async function sh(script: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("sh", { args: ["-ec", script] })
    .output();
  if (!success) throw new Error(`Cannot run ${script}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) Deno.exit(await main());
