/**
 * A real Kubernetes node in a virtual machine, with a control plane of its own on loopback.
 *
 * NODE_VM names the folder of the scripts that make it:
 *
 *     up.sh -d DIR [-g cgroupfs]   starts both, prints the administrator's kubeconfig
 *     DIR/ssh COMMAND              runs a command on the node, as root
 *     load-image.sh DIR TAR        imports an image into the node's container runtime
 *     down.sh DIR                  stops all of that
 *
 * - Nothing survives the test, also when it is killed: a guard takes the machine down then.
 * - The machine is emulated, and slow: waits are long, and poll.
 */
import { eventually } from "../support/eventually.ts";
import { output } from "../support/processes.ts";

const TIMEOUT_MS = 120_000;
const START_TIMEOUT_MS = 300_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** It also starts the machine: killed in between, it goes on until there is something to take down. */
const GUARD = `trap '' INT TERM HUP
scripts=$1 dir=$2
shift 2
if "$scripts/up.sh" -d "$dir/vm" "$@" >"$dir/kubeconfig" 2>"$dir/up.log" </dev/null; then
  mv "$dir/kubeconfig" "$dir/started"
else
  touch "$dir/failed"
fi
cat >/dev/null
[ ! -e "$dir/vm/node-ip" ] || "$scripts/down.sh" "$dir/vm"
rm -rf -- "$dir"`;

export type CgroupDriver = "systemd" | "cgroupfs";

/** An object of the API, as far as it is looked at. */
// deno-lint-ignore no-explicit-any
export type KubeObject = any;

export class Vm implements AsyncDisposable {
  readonly #scripts: string;
  readonly #home: string;
  readonly #dir: string;
  readonly #guard: Deno.ChildProcess;
  #kubeconfig = "";
  #url = "";
  #http: Deno.HttpClient | undefined;

  private constructor(scripts: string, home: string, args: readonly string[]) {
    this.#scripts = scripts;
    this.#home = home;
    this.#dir = `${home}/vm`;
    this.#guard = new Deno.Command("sh", {
      args: ["-c", GUARD, "sh", scripts, home, ...args],
      ...{ stdin: "piped", stdout: "null", stderr: "null" },
    }).spawn();
  }

  /** @throws Error with what up.sh said. */
  static async start(driver: CgroupDriver = "systemd"): Promise<Vm> {
    const scripts = Deno.env.get("NODE_VM");
    if (scripts === undefined) throw new Error("Cannot start a node: NODE_VM is not set");
    // Not in the folder of the run: interrupted, that goes at once, and with it what down.sh goes by.
    const home = await Deno.makeTempDir({ dir: "/tmp", prefix: "podconfigmap-node-" });
    const vm = new Vm(scripts, home, driver === "systemd" ? [] : ["-g", driver]);
    try {
      await vm.#up();
      return vm;
    } catch (error) {
      await vm[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #up(): Promise<void> {
    const names = await eventually("the node has started", () => {
      const names = [...Deno.readDirSync(this.#home)].map(({ name }) => name);
      return (names.includes("started") || names.includes("failed")) && names;
    }, { timeoutMs: START_TIMEOUT_MS, everyMs: 100 });
    if (names.includes("failed")) {
      throw new Error(`Cannot start a node: ${await Deno.readTextFile(`${this.#home}/up.log`)}`);
    }
    this.#kubeconfig = (await Deno.readTextFile(`${this.#home}/started`)).trim();
    const config = await Deno.readTextFile(this.#kubeconfig);
    const [, url] = /server: "?(https:[^"\s]+)/.exec(config) ?? [];
    if (url === undefined) throw new Error(`Cannot find the API server in ${this.#kubeconfig}`);
    this.#url = url;
    const read = (name: string) => Deno.readTextFile(`${this.#dir}/cp/pki/${name}`);
    this.#http = Deno.createHttpClient({
      caCerts: [await read("ca.crt")],
      cert: await read("admin.crt"),
      key: await read("admin.key"),
    });
    await this.#connect();
  }

  /** Later commands share this connection, which is not to hold our pipes. */
  #connect(): Promise<unknown> {
    const quiet = { stdin: "null", stdout: "null", stderr: "null" } as const;
    return eventually("the node can be reached", async () => {
      const command = new Deno.Command(`${this.#dir}/ssh`, { args: ["true"], ...quiet });
      return (await command.spawn().status).success;
    }, { timeoutMs: TIMEOUT_MS, everyMs: 500 });
  }

  async loadImage(archive: string): Promise<void> {
    await output(`${this.#scripts}/load-image.sh`, [this.#dir, archive]);
  }

  /** Runs a shell command on the node, as root. */
  shell(command: string, stdin?: string): Promise<string> {
    return output(`${this.#dir}/ssh`, [command], stdin === undefined ? {} : { stdin });
  }

  /** A command on the node that goes on until its standard input ends. */
  spawn(command: string): Deno.ChildProcess {
    return new Deno.Command(`${this.#dir}/ssh`, {
      args: [command],
      ...{ stdin: "piped", stdout: "piped", stderr: "null" },
    }).spawn();
  }

  kubectl(...args: string[]): Promise<string> {
    return this.kubectlWith("", ...args);
  }

  kubectlWith(stdin: string, ...args: string[]): Promise<string> {
    const kubectl = `${Deno.env.get("KUBEBUILDER_ASSETS")}/kubectl`;
    return output(kubectl, ["--kubeconfig", this.#kubeconfig, ...args], { stdin });
  }

  /** A request as the administrator. @throws Error where the answer is no success. */
  async request(method: string, path: string, body?: unknown): Promise<KubeObject> {
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const response = await fetch(`${this.#url}${path}`, {
      ...(this.#http === undefined ? {} : { client: this.#http }),
      method,
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      headers: body === undefined ? {} : { "content-type": type },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Cannot ${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** As an administrator of the node would: its disk stays. Returns when it has begun to boot again. */
  async reboot(): Promise<void> {
    const bootId = () => this.shell("cat /proc/sys/kernel/random/boot_id");
    const before = await bootId();
    // What systemctl asks of systemd, without the bus that a small node does without.
    await this.shell("kill -RTMIN+5 1");
    const control = ["-q", "-F", "none", "-o", `ControlPath=${this.#dir}/ssh.sock`];
    await output("ssh", [...control, "-O", "exit", "node"]).catch(() => {});
    await eventually("the node has booted again", async () => {
      await this.#connect();
      return await bootId() !== before;
    }, { timeoutMs: TIMEOUT_MS, everyMs: 500 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http?.close();
    await this.#guard.stdin.close();
    await this.#guard.status;
  }
}
