/**
 * Runs the kernel tests on other kernels than this machine's, in QEMU by software emulation:
 *
 *     deno run -A scripts/kernels.ts [5.10] [6.1] [6.12]
 *
 * - Kernels are Debian's cloud images, downloaded by apt into the user's cache. KERNEL_IMAGE names
 *   another bzImage (veth and bpf built in), such as a 5.4: it runs instead.
 * - The machine is an initramfs made of what this one has: busybox, Deno, Python, iproute2, libbpf.
 * - KERNEL_TEST_ARGS: more for `deno test`, such as `--filter=matrix`.
 * - Needs qemu-system-x86, busybox-static, cpio, apt, dpkg, xz, python3, iproute2, libbpf1.
 * - The last line of each kernel is `kernel N: ...`; exit code 0 when all passed.
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

const MEMORY_MIB = 2048;
const BOOT_TIMEOUT_MS = 10 * 60_000;
const ROOT = new URL("..", import.meta.url).pathname;
const PYTHON = "/usr/lib/python3.11";
const PROJECT = ["bpf", "ffi", "scripts/bpf.ts", "tests/kernel", "tests/support", "src/lib"];
/** Of the programs and the binding: they need nothing of src/ but its clock. */
const TESTS = ["firewall_matrix", "firewall", "syscalls", "lifecycle", "objects", "library"]
  .map((name) => `tests/kernel/${name}_test.ts`);
const APPLETS = [
  "mount",
  "umount",
  "mkdir",
  "insmod",
  "poweroff",
  "ifconfig",
  "cat",
  "sleep",
];

const INIT = `#!/bin/sh
export PATH=/bin:/usr/bin:/usr/sbin HOME=/tmp NO_COLOR=1 DENO_NO_UPDATE_CHECK=1 PYTHONHOME=/usr
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/unified
mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
for module in /modules/*.ko; do insmod $module; done
ifconfig lo 127.0.0.1 up
cd /project
deno test --allow-all --no-check --no-lock --no-config --cached-only \
  ${Deno.env.get("KERNEL_TEST_ARGS") ?? ""} ${TESTS.join(" ")}
echo "exit code $?"
poweroff -f
`;

async function main(): Promise<number> {
  const given = Deno.env.get("KERNEL_IMAGE");
  const wanted = Deno.args.length > 0
    ? KERNELS.filter(({ version }) => Deno.args.includes(version))
    : KERNELS;
  const work = await Deno.makeTempDir({ prefix: "podconfigmap-kernels-" });
  let failed = false;
  try {
    await makeRoot(`${work}/tree`);
    if (given !== undefined) {
      failed = !await boot({ name: given, image: given, work });
    } else {
      for (const kernel of wanted) {
        const { image, module } = await fetchKernel(kernel);
        await Deno.copyFile(module, `${work}/tree/modules/veth.ko`);
        if (!await boot({ name: kernel.version, image, work })) failed = true;
      }
    }
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  return failed ? 1 : 0;
}

async function boot(options: { name: string; image: string; work: string }): Promise<boolean> {
  const { name, image, work } = options;
  const begin = performance.now();
  await sh(`cd ${work}/tree && find . | cpio --quiet -o -H newc > ../initramfs`);
  const child = new Deno.Command("qemu-system-x86_64", {
    args: [
      ...["-accel", "tcg", "-cpu", "max", "-m", `${MEMORY_MIB}`, "-smp", "2", "-nographic"],
      ...["-no-reboot", "-kernel", image, "-initrd", `${work}/initramfs`],
      ...["-append", "console=ttyS0 quiet panic=-1"],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), BOOT_TIMEOUT_MS);
  const { stdout } = await child.output();
  clearTimeout(timer);
  const output = new TextDecoder().decode(stdout).replaceAll("\r", "");
  const passed = output.includes("\nexit code 0\n");
  if (!passed) say(output);
  const [summary = "did not finish"] = /^(ok|FAILED) \| .*$/m.exec(output) ?? [];
  say(`kernel ${name}: ${summary}, ${Math.round((performance.now() - begin) / 1000)} s in all`);
  return passed;
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
async function fetchKernel(kernel: Kernel): Promise<{ image: string; module: string }> {
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`;
  const folder = `${cache}/podconfigmap-kernels/${kernel.version}`;
  const found = { image: `${folder}/vmlinuz`, module: `${folder}/veth.ko` };
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
  const name = names.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  if (name === undefined) throw new Error(`Cannot get Linux ${kernel.version}: no package`);
  await sh(
    `cd ${folder} && apt-get ${options} -q download ${name} && ` +
      `dpkg-deb -x ${name}_*.deb unpacked && rm -rf apt *.deb && cp unpacked/boot/vmlinuz-* vmlinuz && ` +
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
