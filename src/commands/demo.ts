/**
 * `demo`: a Kubernetes API in memory, the real controller on it, and a story told on the terminal.
 *
 * kubectl can join in over loopback HTTP. Nothing outside of the process is touched.
 */
import { type Clock, sleep, systemClock } from "../lib/clock.ts";
import { createLogger } from "../lib/log_output.ts";
import { systemRandom } from "../lib/random.ts";
import { PODS } from "../controllers/resources.ts";
import { configMapName } from "../domain/names.ts";
import { defaultsOf, type InvocationOf } from "../ops/options/parse.ts";
import type { SimulatedCluster } from "../simulator/cluster.ts";
import { serveHttp } from "../simulator/http_front.ts";
import { runController } from "./controller.ts";
import { demoStory, type Step } from "./demo_story.ts";
import {
  DEMO_NAMESPACE,
  DEMO_PCMC,
  demoCluster,
  demoNamespace,
  demoPod,
  DemoUser,
  DemoView,
} from "./demo_world.ts";
import { EXIT, type Shell } from "./shell.ts";

/** Pause before each step, for people to read. */
const PAUSE_MS = 700;
/** A step that takes longer has gone wrong. */
const STEP_LIMIT_MS = 15_000;
const POLL_MS = 2;
/** After the story, a Pod comes or goes this often. */
const CHURN_MS = 4_000;

export async function demo(
  invocation: InvocationOf<"demo">,
  shell: Shell,
  signal: AbortSignal,
): Promise<number> {
  const { options } = invocation;
  const clock = systemClock;
  const cluster = demoCluster({ clock, random: systemRandom });
  const pods = Array.from({ length: options.pods }, (_, index) => demoPod(`web-${index + 1}`));
  cluster.seed([demoNamespace, ...pods]);
  const front = serveHttp({ cluster, port: options.port });
  const ending = new AbortController();
  const end = () => ending.abort();
  signal.addEventListener("abort", end, { once: true });
  using _timer = options.durationMs > 0 ? clock.setTimer(options.durationMs, end) : undefined;
  const rest = cluster.client({ user: "controller" });
  const log = createLogger({
    format: options.logFormat,
    level: options.logLevel,
    clock,
    name: "controller",
  });
  const controlling = runController({
    options: { ...defaultsOf("controller"), ...options },
    shell,
    signal: ending.signal,
    log,
    clients: { api: rest, watch: rest, lease: rest },
  });
  try {
    const teller = new Teller({ cluster, shell, clock, signal: ending.signal });
    teller.introduce(front.url, options.pods);
    const told = options.noStory || await teller.tell(demoStory(options.pods));
    if (!told) return EXIT.failed;
    if (!options.once && !options.noStory) await teller.goOn();
    else if (!options.once) await untilAborted(ending.signal);
    return EXIT.ok;
  } finally {
    signal.removeEventListener("abort", end);
    end();
    await controlling;
    await front.close();
    cluster.stop();
  }
}

class Teller {
  readonly #view: DemoView;
  readonly #user: DemoUser;
  readonly #shell: Shell;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;

  constructor(
    { cluster, shell, clock, signal }: {
      cluster: SimulatedCluster;
      shell: Shell;
      clock: Clock;
      signal: AbortSignal;
    },
  ) {
    this.#view = new DemoView(cluster);
    this.#user = new DemoUser(cluster.client({ user: "you" }));
    this.#shell = shell;
    this.#clock = clock;
    this.#signal = signal;
  }

  introduce(url: string, pods: number): void {
    this.#shell.print(
      `A Kubernetes API in memory serves at ${url}, with ${pods} Pods in namespace ` +
        `${DEMO_NAMESPACE}.\nJoin in from another terminal:\n\n` +
        `  kubectl --server ${url} -n ${DEMO_NAMESPACE} get pods,configmaps,pcmc\n\n`,
    );
  }

  /** False when a step did not come out as told, and nobody who joined in can be why. */
  async tell(story: readonly Step[]): Promise<boolean> {
    try {
      for (const step of story) {
        this.#shell.print(`${this.#bold("•")} ${step.says}\n`);
        if (!await this.#play(step)) return false;
        await sleep(this.#clock, PAUSE_MS, this.#signal);
      }
      return await this.#rest();
    } catch (error) {
      if (this.#signal.aborted) return true;
      throw error;
    }
  }

  async #play(step: Step): Promise<boolean> {
    const startedAt = this.#clock.monotonic();
    await step.act(this.#user);
    while (!step.holds(this.#view)) {
      if (this.#clock.monotonic() - startedAt > STEP_LIMIT_MS) return this.#failed(step);
      await sleep(this.#clock, POLL_MS, this.#signal);
    }
    const ms = Math.ceil(this.#clock.monotonic() - startedAt);
    this.#shell.print(`    ${this.#green("✓")} ${step.outcome} ${this.#dim(`(${ms} ms)`)}\n`);
    if (step.show !== undefined) this.#show(step.show);
    return true;
  }

  /** True when the story goes on all the same. */
  #failed(step: Step): boolean {
    const what = `after ${STEP_LIMIT_MS / 1000} s still not: ${step.outcome}`;
    const joined = this.#view.guestsWrote();
    if (joined) this.#shell.print(`    – ${what}; others have changed things meanwhile\n`);
    else this.#shell.printError(`error: ${what}\n`);
    return joined;
  }

  #show(name: string): void {
    const lines = Object.entries(this.#view.data(name) ?? {}).sort();
    this.#shell.print(`        ConfigMap ${name}\n`);
    for (const [key, value] of lines) this.#shell.print(this.#dim(`          ${key}: ${value}\n`));
  }

  /** Converged, the controller is quiet: shown by counting what the API server took from it. */
  async #rest(): Promise<boolean> {
    const seconds = 3;
    this.#shell.print(`${this.#bold("•")} nobody does anything for ${seconds} s\n`);
    // The last step's own aftermath (a Pod that turns Running) first.
    await sleep(this.#clock, 1_000, this.#signal);
    const before = this.#view.controllerWrites();
    await sleep(this.#clock, seconds * 1_000, this.#signal);
    const writes = this.#view.controllerWrites() - before;
    const times = writes === 1 ? "once" : `${writes} times`;
    const wrote = `the controller wrote ${times} (its lease apart)`;
    // Who joined in gave it work, and counts in a status follow some seconds later.
    const joined = writes > 0 && this.#view.guestsWrote();
    const mark = writes === 0 ? this.#green("✓") : joined ? "–" : "✗";
    this.#shell.print(`    ${mark} ${wrote}${joined ? ": others have changed things" : ""}\n`);
    return writes === 0 || joined;
  }

  /** A Pod comes, a Pod goes, until the end. */
  async goOn(): Promise<void> {
    if (this.#signal.aborted) return;
    this.#shell.print(
      `\nThe story is told. Pods go on coming and going; Ctrl-C ends the demo.\n`,
    );
    try {
      for (let number = 1;; number++) {
        const pod = `guest-${number}`;
        const name = configMapName(pod, DEMO_PCMC);
        await this.#user.create(PODS, demoPod(pod));
        await sleep(this.#clock, CHURN_MS, this.#signal);
        const made = this.#view.data(name) !== undefined;
        this.#shell.print(`${pod} came: ConfigMap ${name} is ${made ? "there" : "missing"}\n`);
        await this.#user.delete(PODS, pod);
        await sleep(this.#clock, CHURN_MS, this.#signal);
        const gone = this.#view.data(name) === undefined;
        this.#shell.print(`${pod} went: the ConfigMap is ${gone ? "gone" : "still there"}\n`);
      }
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    }
  }

  #bold = (text: string) => this.#shell.colour ? `\x1b[1m${text}\x1b[0m` : text;
  #dim = (text: string) => this.#shell.colour ? `\x1b[2m${text}\x1b[0m` : text;
  #green = (text: string) => this.#shell.colour ? `\x1b[32m${text}\x1b[0m` : text;
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const aborted = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => aborted.resolve(), { once: true });
  await aborted.promise;
}
