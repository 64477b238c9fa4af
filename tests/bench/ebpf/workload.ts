/**
 * The processes that are timed (`workload.c`), and the programs built for the benchmark. What is
 * built lies in a folder of its own, and goes with it.
 */
import { output, temporaryDir } from "../../support/processes.ts";

const HERE = new URL(".", import.meta.url).pathname;
/** Where distributions for several architectures keep <asm/types.h>. */
const SYSTEM_HEADERS = ["/usr/include/x86_64-linux-gnu", "/usr/include/aarch64-linux-gnu"];

export interface Built extends AsyncDisposable {
  readonly workload: string;
  /** Object with the programs of `empty.bpf.c`. */
  readonly empty: Uint8Array<ArrayBuffer>;
}

/** Compiles both. @throws Error with the compiler's messages. */
export async function build(): Promise<Built> {
  const folder = await temporaryDir("bench-ebpf");
  const [workload, object] = [`${folder.path}/workload`, `${folder.path}/empty.bpf.o`];
  const clang = Deno.env.get("CLANG") ?? "clang";
  try {
    await output(clang, ["-O2", "-Wall", "-Werror", "-o", workload, `${HERE}workload.c`]);
    await output(clang, [
      ...["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v2"],
      ...SYSTEM_HEADERS.flatMap((path) => ["-idirafter", path]),
      ...["-c", `${HERE}empty.bpf.c`, "-o", object],
    ]);
    const dispose = () => folder[Symbol.asyncDispose]();
    return { workload, empty: Deno.readFileSync(object), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

export class Workload implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #buffer = "";

  /** @param binary as `build` made it. */
  constructor(binary: string) {
    this.#child = new Deno.Command(binary, { stdin: "piped", stdout: "piped" }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** One command of `workload.c`. @returns what it answers. @throws Error with its reason. */
  async do(command: string): Promise<number> {
    await this.#writer.write(new TextEncoder().encode(`${command}\n`));
    const line = await this.#line(command);
    const [, value] = /^ok (.*)$/.exec(line) ?? [];
    if (value === undefined) throw new Error(`Cannot do "${command}": ${line}`);
    return Number(value);
  }

  async #line(command: string): Promise<string> {
    while (!this.#buffer.includes("\n")) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error(`Cannot do "${command}": the workload has ended`);
      this.#buffer += value;
    }
    const end = this.#buffer.indexOf("\n");
    const line = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + 1);
    return line;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#child.status;
    await this.#reader.cancel().catch(() => {});
  }
}
