/**
 * The shipped image as a container runtime on a node would run it: unpacked by umoci, started by
 * runc with what a Pod of Pod Security "restricted" gets (or the agent's three capabilities), a
 * read-only root, no volume that can be written, and the node's network.
 *
 * - No cgroup is made: where cgroup version 2 has no controllers, it could limit nothing, and version 1
 *   is not touched. Tests measure memory instead.
 * - Needs root. Nothing survives the test file (see `processes.ts`): mounts are in a namespace that
 *   goes with the container, files in folders that are removed.
 */
import type { BuiltImage } from "../../scripts/image.ts";
import type { ControlPlane } from "./control_plane.ts";
import { HOME_NAMESPACE, type Launch, type Launched, SERVICE_ACCOUNT } from "./controller.ts";
import { eventually } from "./eventually.ts";
import { output, RunningProcess } from "./processes.ts";
import { defaultSeccomp } from "./seccomp.ts";

/** The part of an OCI runtime configuration that is read or changed here. */
interface RuntimeConfig {
  process: { args: string[]; env: string[]; [field: string]: unknown };
  root: { path: string; readonly: boolean };
  hostname: string;
  mounts: Mount[];
  linux: {
    namespaces: { type: string }[];
    maskedPaths: string[];
    readonlyPaths: string[];
    [field: string]: unknown;
  };
}

interface Mount {
  destination: string;
  type: string;
  source: string;
  options?: string[];
}

export interface ContainerOptions {
  /** Without them: the image's entry point. */
  command?: readonly string[];
  args: readonly string[];
  env?: Record<string, string>;
  logFile: string;
  /** Of the container's user, such as CAP_BPF. Default: none. */
  capabilities?: readonly string[];
  mounts?: readonly Mount[];
}

const SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";
/** Where a read-only root, or a Pod that may write nowhere, has them: nowhere. */
const WRITABLE = ["/dev/shm", "/dev/mqueue"];
/** The mount namespace is ours: nobody else sees these. runc looks for cgroups before anything else. */
const RUN = `
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup &&
mount -o remount,bind,ro /sys/fs/cgroup && exec runc "$@"
`;

export class UnpackedImage {
  readonly folder: string;
  readonly rootfs: string;
  readonly #config: RuntimeConfig;
  #containers = 0;

  private constructor(folder: string, config: RuntimeConfig) {
    this.folder = folder;
    this.rootfs = `${folder}/bundle/rootfs`;
    this.#config = config;
  }

  /** `folder` must not exist; its parent is a temporary one. */
  static async from(
    { archive, reference }: Pick<BuiltImage, "archive" | "reference">,
    folder: string,
  ): Promise<UnpackedImage> {
    const layout = `${folder}/layout`;
    await Deno.mkdir(layout, { recursive: true });
    await output("tar", ["-xf", archive, "-C", layout]);
    const tag = reference.split(":").at(-1);
    await output("umoci", ["unpack", "--image", `${layout}:${tag}`, `${folder}/bundle`]);
    const config = JSON.parse(await Deno.readTextFile(`${folder}/bundle/config.json`));
    return new UnpackedImage(folder, config);
  }

  /** Its entry point and user, as a runtime takes them. */
  get process(): Readonly<Record<string, unknown>> {
    return this.#config.process;
  }

  /** Starts a container, and waits until its first process is there. `pid` is that one's. */
  async start(options: ContainerOptions): Promise<RunningProcess> {
    const id = `pcm-${Deno.pid}-${this.folder.split("/").at(-1)}-${++this.#containers}`;
    const bundle = `${this.folder}/${id}`;
    await Deno.mkdir(bundle);
    const config = JSON.stringify(this.#runtimeConfig(options));
    await Deno.writeTextFile(`${bundle}/config.json`, config);
    const pidFile = `${bundle}/pid`;
    const process = await RunningProcess.start({
      command: "unshare",
      args: [
        ...["--mount", "sh", "-c", RUN, "sh"],
        ...["--rootless=true", "--root", `${this.folder}/state`],
        ...["run", "--bundle", bundle, "--pid-file", pidFile, id],
      ],
      logFile: options.logFile,
    });
    const pid = await eventually(`the container ${id} runs`, async () => {
      // Read the state first: the file is there before the container ends.
      const ended = process.ended !== undefined;
      const text = await Deno.readTextFile(pidFile).catch(() => "");
      return text !== "" ? Number(text) : ended ? -1 : undefined;
    }, { everyMs: 5 });
    if (pid > 0) await process.minds(pid);
    return process;
  }

  #runtimeConfig(options: ContainerOptions): RuntimeConfig {
    const { process, linux, mounts } = this.#config;
    const { command = process.args, args, env = {}, capabilities = [] } = options;
    const variables = Object.entries({ ...env, ...testRun() });
    return {
      ...this.#config,
      process: {
        ...process,
        terminal: false,
        args: [...command, ...args],
        env: [...process.env, ...variables.map(([name, value]) => `${name}=${value}`)],
        noNewPrivileges: true,
        // As Kubernetes does it: a user that is not root has what the file it executes carries.
        capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      },
      root: { path: this.rootfs, readonly: true },
      mounts: [
        ...mounts.filter(({ type, destination }) =>
          type !== "cgroup" && !WRITABLE.includes(destination)
        ),
        ...["/etc/hosts", "/etc/resolv.conf"].map((path) => readOnly(path)),
        ...options.mounts ?? [],
      ],
      linux: {
        ...linux,
        namespaces: ["pid", "ipc", "uts", "mount"].map((type) => ({ type })),
        seccomp: defaultSeccomp(capabilities),
      },
    };
  }
}

export function readOnly(destination: string, source = destination): Mount {
  return { destination, type: "bind", source, options: ["rbind", "ro"] };
}

/** The test runner's mark, by which it finds processes that outlive their test. */
function testRun(): Record<string, string> {
  const name = "PODCONFIGMAP_TEST_RUN";
  const run = Deno.env.get(name);
  return run === undefined ? {} : { [name]: run };
}

/**
 * Starts replicas as containers that reach the API server as Pods do: by the service account's folder
 * and KUBERNETES_SERVICE_HOST.
 */
export async function inContainers(image: UnpackedImage, plane: ControlPlane): Promise<Launch> {
  const folder = `${plane.dir}/service-account`;
  await Deno.mkdir(folder, { recursive: true });
  const token = await plane.serviceAccountToken(HOME_NAMESPACE, SERVICE_ACCOUNT);
  const files = { token, "ca.crt": plane.caCertificate, namespace: HOME_NAMESPACE };
  for (const [name, content] of Object.entries(files)) {
    await Deno.writeTextFile(`${folder}/${name}`, content, { mode: 0o644 });
  }
  const { hostname, port } = new URL(plane.url);
  return ({ args, env, logFile }: Launched) =>
    image.start({
      ...{ args, logFile },
      env: { ...env, KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port },
      mounts: [readOnly(SERVICE_ACCOUNT_FOLDER, folder)],
    });
}
