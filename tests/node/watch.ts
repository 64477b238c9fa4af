/** What becomes of things of a node, moment by moment: `watch.pl` on the node, and what it says. */
import assert from "node:assert/strict";
import { systemClock } from "../../src/lib/clock.ts";
import { eventually } from "../support/eventually.ts";
import type { Vm } from "./vm.ts";

const SCRIPT = new URL("watch.pl", import.meta.url);
const PLACE = "/run/podconfigmap-watch.pl";
const TIMEOUT_MS = 180_000;

interface Sighting {
  readonly name: string;
  readonly state: string;
  /** By the clock of the test, in ms. */
  readonly at: number;
}

/** By what was watched, then by its state: how often it was seen. */
export type Tally = Readonly<Record<string, Readonly<Record<string, number>>>>;

export class Watch implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #done: Promise<void>;
  readonly #seen: Sighting[] = [];
  readonly #tally: Record<string, Record<string, number>> = {};
  #ending = false;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#done = this.#read();
  }

  /**
   * @param things by name: `tcp:ADDRESS:PORT`, `http:PORT/PATH`, `path:PATTERN`, `count:PATTERN`,
   * `ones:PORT/METRIC`.
   * @param network pid on the node of a process in whose network it happens. Default: the node's.
   */
  static async start(
    vm: Vm,
    things: Readonly<Record<string, string>>,
    network?: number,
  ): Promise<Watch> {
    await vm.shell(`cat >${PLACE}`, await Deno.readTextFile(SCRIPT));
    const enter = network === undefined ? "" : `nsenter -t ${network} -n `;
    const args = Object.entries(things).map(([name, thing]) => `'${name}=${thing}'`).join(" ");
    const watch = new Watch(vm.spawn(`${enter}perl ${PLACE} ${args}`));
    await eventually("everything was looked at once", () => {
      assert.deepEqual(Object.keys(things).filter((name) => watch.state(name) === undefined), []);
      return true;
    }, { timeoutMs: TIMEOUT_MS });
    return watch;
  }

  state(name: string): string | undefined {
    return this.#seen.findLast((one) => one.name === name)?.state;
  }

  /** Waits until it is so. @returns since when, at the latest, by the clock of the test, in ms. */
  until(name: string, state: string): Promise<number> {
    return eventually(`${name} is ${state}`, () => {
      const last = this.#seen.findLast((one) => one.name === name);
      assert.equal(last?.state, state);
      return last?.at;
    }, { timeoutMs: TIMEOUT_MS, everyMs: 20 });
  }

  /** When it first was so; undefined: never. */
  first(name: string, state: string): number | undefined {
    return this.#seen.find((one) => one.name === name && one.state === state)?.at;
  }

  /** Ends it. */
  async tally(): Promise<Tally> {
    await this[Symbol.asyncDispose]();
    return this.#tally;
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const now = systemClock.monotonic();
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#take(line, now);
    }
  }

  #take(line: string, now: number): void {
    const total = /^total (\S+) (\S+) (\d+)$/.exec(line);
    if (total !== null) {
      const [, name = "", state = "", count] = total;
      (this.#tally[name] ??= {})[state] = Number(count);
      return;
    }
    const [name = "", state = "", age] = line.split(" ");
    this.#seen.push({ name, state, at: now - Number(age) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ending) {
      this.#ending = true;
      await this.#child.stdin.close();
    }
    await this.#done;
    await this.#child.status;
  }
}
