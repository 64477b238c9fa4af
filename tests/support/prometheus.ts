/**
 * A real Prometheus on loopback for tests: `prometheus` and `promtool` on the PATH, such as Debian's
 * package has them. Its data goes with the test.
 */
import { eventually } from "./eventually.ts";
import { freePort, run, RunningProcess, temporaryDir } from "./processes.ts";

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface RuleState {
  readonly name: string;
  readonly type: "alerting" | "recording";
  readonly health: string;
  readonly lastError?: string;
  readonly labels?: { readonly severity?: string };
  /** Of alerts: inactive, pending or firing. */
  readonly state?: string;
}

export class Prometheus implements AsyncDisposable {
  readonly url: string;
  readonly #process: RunningProcess;
  readonly #dir: AsyncDisposable;

  private constructor(url: string, process: RunningProcess, dir: AsyncDisposable) {
    this.url = url;
    this.#process = process;
    this.#dir = dir;
  }

  /** @param files by name; `prometheus.yaml` is its configuration. */
  static async start(files: Readonly<Record<string, string>>): Promise<Prometheus> {
    const dir = await temporaryDir("prometheus");
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${dir.path}/${name}`, text);
    }
    const address = `127.0.0.1:${freePort()}`;
    const process = await RunningProcess.start({
      command: "prometheus",
      args: [
        `--config.file=${dir.path}/prometheus.yaml`,
        `--storage.tsdb.path=${dir.path}/data`,
        `--web.listen-address=${address}`,
      ],
      logFile: `${dir.path}/log`,
    });
    const prometheus = new Prometheus(`http://${address}`, process, dir);
    const outcome = await eventually("Prometheus is ready", async () => {
      if (process.ended !== undefined) return "ended";
      const response = await fetch(`${prometheus.url}/-/ready`);
      await response.body?.cancel();
      return response.ok && "ready";
    });
    if (outcome === "ready") return prometheus;
    const tail = await process.tail();
    await prometheus[Symbol.asyncDispose]();
    throw new Error(`Cannot start Prometheus:\n${tail}`);
  }

  /** An instant query, now. @throws Error with Prometheus' message when it is not one. */
  async query(expr: string): Promise<Sample[]> {
    const { result } = await this.#get(`query?query=${encodeURIComponent(expr)}`);
    return result.map((
      { metric, value }: { metric: Sample["metric"]; value: [number, string] },
    ) => ({
      metric,
      value: Number(value[1]),
    }));
  }

  async rules(): Promise<RuleState[]> {
    const { groups } = await this.#get("rules");
    return groups.flatMap(({ rules }: { rules: RuleState[] }) => rules);
  }

  // deno-lint-ignore no-explicit-any
  async #get(path: string): Promise<any> {
    const response = await fetch(`${this.url}/api/v1/${path}`);
    const { status, data, error } = await response.json();
    if (status === "success") return data;
    throw new Error(`Cannot ask Prometheus for ${decodeURIComponent(path)}: ${error}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop();
    await this.#dir[Symbol.asyncDispose]();
  }
}

/** Runs promtool to its end; `complaints` is empty when all is well. */
export async function promtool(
  args: readonly string[],
  stdin?: string,
): Promise<{ code: number; complaints: string }> {
  const { code, stdout, stderr } = await run(
    "promtool",
    args,
    stdin === undefined ? {} : { stdin },
  );
  const complaints = code === 0 && args[0] !== "check" ? "" : `${stdout}${stderr}`.trim();
  return { code, complaints };
}
