/**
 * The process of `actor.py`: in a cgroup and a network of its own, it does what the test says.
 */
import { eventually } from "../../support/eventually.ts";

const SCRIPT = new URL("actor.py", import.meta.url).pathname;

export type Family = 4 | 6;

export class Actor implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #buffer = "";
  #nextSocket = 0;

  private constructor() {
    this.#child = new Deno.Command("python3", {
      args: [SCRIPT],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** @param cgroup path of the cgroup to be in; `network`: with a network namespace of its own. */
  static async start(options: { cgroup?: string; network?: boolean } = {}): Promise<Actor> {
    const actor = new Actor();
    if (options.network) await actor.do("new_network");
    if (options.cgroup !== undefined) await actor.do("join", { cgroup: options.cgroup });
    return actor;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** @throws Error with the errno's name when it failed. */
  async do(op: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const { ok, error } = await this.#ask(op, args);
    if (error !== undefined) throw new Error(`${op} ${JSON.stringify(args)}: ${error}`);
    return ok;
  }

  /** @returns "ok", or the errno's name; "TIMEOUT" when nothing happened. */
  async try(op: string, args: Record<string, unknown> = {}): Promise<string> {
    const { error } = await this.#ask(op, args);
    return error ?? "ok";
  }

  /** @returns the id of a new socket. */
  async socket(
    family: Family,
    type: "stream" | "dgram" | "raw",
    options: Record<string, unknown> = {},
  ): Promise<string> {
    const id = `s${this.#nextSocket++}`;
    await this.do("open_socket", { id, family, type, ...options });
    return id;
  }

  /** A socket bound to all addresses, listening if it is TCP. */
  async server(
    family: Family,
    type: "stream" | "dgram",
    port: number,
    options: Record<string, unknown> = {},
  ): Promise<string> {
    const id = await this.socket(family, type, options);
    await this.do("bind", { id, host: family === 4 ? "0.0.0.0" : "::", port });
    if (type === "stream") await this.do("listen", { id });
    return id;
  }

  async #ask(op: string, args: object): Promise<{ ok?: unknown; error?: string }> {
    await this.#writer.write(new TextEncoder().encode(`${JSON.stringify({ op, ...args })}\n`));
    while (!this.#buffer.includes("\n")) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error(`Cannot do ${op}: the actor has ended`);
      this.#buffer += value;
    }
    const end = this.#buffer.indexOf("\n");
    const line = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + 1);
    return JSON.parse(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#child.status;
    await this.#reader.cancel().catch(() => {});
  }
}

export const POD_V4 = "10.77.0.1";
export const PEER_V4 = "10.77.0.2";
export const POD_V6 = "fd00:77::1";
export const PEER_V6 = "fd00:77::2";

const POD_MAC = "02:00:00:00:00:01";
const PEER_MAC = "02:00:00:00:00:02";

/** Two networks with a cable between them: the Pod's, and its peer's. */
export async function connectNetworks(pod: Actor, peer: Actor): Promise<void> {
  await pod.do("shell", {
    line: `ip link add eth0 address ${POD_MAC} type veth ` +
      `peer name eth0 address ${PEER_MAC} netns ${peer.pid}`,
  });
  // Known neighbours: asking for them takes a second while the link comes up.
  const setUp = (own: readonly string[], other: readonly string[]) => ({
    line: `ip link set lo up && ip link set eth0 up && ` +
      `ip addr add ${own[1]}/24 dev eth0 && ip addr add ${own[2]}/64 dev eth0 nodad && ` +
      `ip neigh add ${other[2]} lladdr ${other[0]} dev eth0`,
  });
  const [podSide, peerSide] = [[POD_MAC, POD_V4, POD_V6], [PEER_MAC, PEER_V4, PEER_V6]] as const;
  await pod.do("shell", setUp(podSide, peerSide));
  await peer.do("shell", setUp(peerSide, podSide));
  await eventually(
    "the networks are connected",
    async () => await pod.do("ping", { host: PEER_V6, family: 6, timeout: 0.05 }) === true,
    { everyMs: 5 },
  );
}
