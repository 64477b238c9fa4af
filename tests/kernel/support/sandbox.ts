/**
 * Where kernel tests happen: cgroups of their own below the cgroup2 mount, a bpffs of their own, and
 * nothing else touched. What an earlier run left because it was killed is removed first.
 */
import assert from "node:assert/strict";
import {
  type Feature,
  hasFeature,
  libraryInfo,
  liveHandles,
  minimumKernel,
  trackHandles,
} from "../../../ffi/mod.ts";
import { eventually } from "../../support/eventually.ts";

const PREFIX = "podconfigmap-test-";

/** What this machine lacks to load and attach programs in a sandbox. */
export function missingForKernel(): string[] {
  const lacks: string[] = [];
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return ["root on Linux"];
  if (cgroupMount() === undefined) lacks.push("a cgroup2 mount");
  try {
    libraryInfo();
  } catch {
    lacks.push("libbpf 1.x");
  }
  for (const tool of ["python3", "ip", "mount"]) {
    if (!onPath(tool)) lacks.push(tool);
  }
  if (!/^CapEff:\t.*$/m.test(status()) || !hasCapability(CAP_SYS_ADMIN)) {
    lacks.push("CAP_SYS_ADMIN");
  }
  return lacks;
}

const CAP_SYS_ADMIN = 21n;
const status = () => Deno.readTextFileSync("/proc/self/status");

function hasCapability(bit: bigint): boolean {
  const [, mask = "0"] = /^CapEff:\t([0-9a-f]+)$/m.exec(status()) ?? [];
  return (BigInt(`0x${mask}`) >> bit & 1n) === 1n;
}

export function onPath(tool: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((folder) => {
    try {
      return Deno.statSync(`${folder}/${tool}`).isFile;
    } catch {
      return false;
    }
  });
}

/** Where the unified hierarchy is mounted, writable. */
function cgroupMount(): string | undefined {
  const mounts = Deno.readTextFileSync("/proc/mounts").split("\n").map((line) => line.split(" "));
  return mounts.find(([, , type, options]) => type === "cgroup2" && options?.split(",")[0] === "rw")
    ?.[1];
}

const lacking = missingForKernel();

/** `Deno.test` for tests that need the kernel; skipped with what is missing, here or in `more`. */
export function kernelTest(
  name: string,
  fn: (sandbox: Sandbox, t: Deno.TestContext) => Promise<void>,
  more: readonly string[] = [],
): void {
  const lacks = [...lacking, ...more];
  Deno.test({
    name: lacks.length === 0 ? name : `${name} [needs ${lacks.join(", ")}]`,
    ignore: lacks.length > 0,
    fn: async (t) => {
      trackHandles(true);
      try {
        await using sandbox = await Sandbox.create();
        await fn(sandbox, t);
      } finally {
        const left = liveHandles().map(({ what, stack }) => `${what}\n${stack}`);
        trackHandles(false);
        assert.deepEqual(left, [], "handles left open");
      }
    },
  });
}

/** For `more` of `kernelTest`: the kernel that brought what this one lacks. */
export function lackOf(feature: Feature): string[] {
  return lacking.length > 0 || hasFeature(feature) ? [] : [`Linux ${minimumKernel(feature)}`];
}

let sandboxes = 0;

export class Sandbox implements AsyncDisposable {
  /** A bpffs. */
  readonly bpffs: string;
  readonly #cgroup: string;

  private constructor(cgroup: string, bpffs: string) {
    this.#cgroup = cgroup;
    this.bpffs = bpffs;
  }

  static async create(): Promise<Sandbox> {
    const mount = cgroupMount();
    if (mount === undefined) throw new Error("Cannot test: no cgroup2 mount");
    if (sandboxes === 0) await removeLeftovers(mount);
    const name = `${PREFIX}${Deno.pid}-${sandboxes++}`;
    const bpffs = await Deno.makeTempDir({ prefix: `${PREFIX}${Deno.pid}-` });
    const sandbox = new Sandbox(`${mount}/${name}`, bpffs);
    Deno.mkdirSync(sandbox.#cgroup);
    try {
      await command("mount", ["-t", "bpf", PREFIX, bpffs]);
    } catch (error) {
      Deno.removeSync(sandbox.#cgroup);
      throw error;
    }
    return sandbox;
  }

  /** The cgroup below which all others are. */
  get root(): string {
    return this.#cgroup;
  }

  /** Levels from the root of the hierarchy to `cgroup("x")`. */
  readonly level = 2;

  /** Makes a cgroup. @param path relative, such as "pod/container". @returns its absolute path. */
  cgroup(path: string): string {
    Deno.mkdirSync(`${this.#cgroup}/${path}`, { recursive: true });
    return `${this.#cgroup}/${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await command("umount", ["-l", this.bpffs]);
    await Deno.remove(this.bpffs);
    await removeCgroup(this.#cgroup);
  }
}

/** Deepest first; a process that has just ended may hold it for a moment. */
export async function removeCgroup(path: string): Promise<void> {
  for (const entry of Deno.readDirSync(path)) {
    if (entry.isDirectory) await removeCgroup(`${path}/${entry.name}`);
  }
  await eventually(`remove the cgroup ${path}`, () => {
    Deno.removeSync(path);
    return true;
  }, { everyMs: 10 });
}

async function removeLeftovers(mount: string): Promise<void> {
  const isDead = (name: string) => {
    const [, pid] = new RegExp(`${PREFIX}(\\d+)-`).exec(name) ?? [];
    return pid !== undefined && Number(pid) !== Deno.pid && !exists(`/proc/${pid}`);
  };
  for (const { name } of Deno.readDirSync(mount)) {
    if (isDead(name)) await removeCgroup(`${mount}/${name}`);
  }
  for (const line of Deno.readTextFileSync("/proc/mounts").split("\n")) {
    const [source, path] = line.split(" ");
    if (source !== PREFIX || path === undefined || !isDead(path)) continue;
    await command("umount", ["-l", path]);
    await Deno.remove(path);
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

async function command(name: string, args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(name, { args }).output();
  if (!success) throw new Error(`${name} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}
