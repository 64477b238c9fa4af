/**
 * podconfigmap-controller: the composition root. It reads the command line, gives commands the
 * process they run in, and is the only place that ends it.
 */
import { cleanup } from "./src/commands/cleanup.ts";
import { agent } from "./src/commands/agent.ts";
import { controller } from "./src/commands/controller.ts";
import { connectionOptions } from "./src/commands/long_running.ts";
import { demo } from "./src/commands/demo.ts";
import { prepareNode } from "./src/commands/prepare_node.ts";
import { render } from "./src/commands/render.ts";
import { run as runEverything } from "./src/commands/run.ts";
import { seccomp } from "./src/commands/seccomp.ts";
import { readSyscalls } from "./src/commands/seccomp_node.ts";
import { selftest } from "./src/commands/selftest.ts";
import { EXIT, type Shell } from "./src/commands/shell.ts";
import { validate } from "./src/commands/validate.ts";
import { version } from "./src/commands/version.ts";
import { createClients } from "./src/kube/clients.ts";
import { KubeconfigError } from "./src/kube/kubeconfig.ts";
import { loadConnection } from "./src/kube/load.ts";
import { type Invocation, type InvocationOf, parseCommandLine } from "./src/ops/options/parse.ts";
import type { RestClient } from "./src/runtime/ports/rest.ts";

const encoder = new TextEncoder();

const shell: Shell = {
  print: (text) => writeAll(Deno.stdout, text),
  printError: (text) => writeAll(Deno.stderr, text),
  readTextFile: (path) => Deno.readTextFile(path),
  readStandardInput: () => new Response(Deno.stdin.readable).text(),
  hostName: () => Deno.hostname(),
  colour: Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR"),
};

/** Output is short and must be out before the process ends: written synchronously, to the last byte. */
function writeAll(to: { writeSync(bytes: Uint8Array): number }, text: string): void {
  try {
    for (let bytes = encoder.encode(text); bytes.length > 0;) {
      bytes = bytes.subarray(to.writeSync(bytes));
    }
  } catch (error) {
    // `render | head`: the reader has had enough. As after SIGPIPE, and as silently.
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(128 + 13);
    throw error;
  }
}

/** Aborts at the first SIGTERM or SIGINT. A second one ends the process at once. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(name, () => {
      if (controller.signal.aborted) Deno.exit(128 + (name === "SIGINT" ? 2 : 15));
      controller.abort(new DOMException(`received ${name}`, "AbortError"));
    });
  }
  return controller.signal;
}

/** Connects to the cluster that a command's options name. */
async function connect(
  invocation: InvocationOf<"render"> | InvocationOf<"seccomp">,
): Promise<RestClient & Disposable> {
  const clients = createClients(await loadConnection(connectionOptions(invocation)));
  return Object.assign(clients.api, { [Symbol.dispose]: () => clients.close() });
}

/** What reaches into the kernel. */
const NATIVE_COMMANDS: ReadonlySet<Invocation["command"]> = new Set([
  "agent",
  "cleanup",
  "prepare-node",
  "run",
  "seccomp",
  "selftest",
]);

async function run(invocation: Invocation): Promise<number> {
  // Native code has every right there is: for the rest of this process, nobody gets to it.
  if (!NATIVE_COMMANDS.has(invocation.command)) Deno.permissions.revokeSync({ name: "ffi" });
  switch (invocation.command) {
    case "agent":
      return await agent(invocation, shell, stopSignal());
    case "cleanup":
      return await cleanup(invocation.options, shell, stopSignal());
    case "controller":
      return await controller(invocation, shell, stopSignal());
    case "demo":
      return await demo(invocation, shell, stopSignal());
    case "prepare-node":
      return prepareNode(invocation.options, shell);
    case "render":
      return await render(invocation.options, shell, () => connect(invocation));
    case "run":
      return await runEverything(invocation, shell, stopSignal());
    case "seccomp":
      return await seccomp(invocation.options, shell, {
        connect: () => connect(invocation),
        read: readSyscalls,
        machine: Deno.build.arch,
      });
    case "selftest":
      return await selftest(invocation.options, shell);
    case "validate":
      return await validate(invocation.options, shell);
    case "version":
      return version(invocation.options, shell);
  }
}

async function main(given: readonly string[]): Promise<number> {
  // Somebody who types the name alone wants to know what this is, not to work on their current cluster.
  const looking = given.length === 0 && Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  const args = looking ? ["--help"] : given;
  const line = parseCommandLine(args, (name) => Deno.env.get(name));
  switch (line.kind) {
    case "run":
      return await run(line.invocation);
    case "help":
      shell.print(line.text);
      return EXIT.ok;
    case "problems":
      shell.printError(line.problems.map((problem) => `error: ${problem}\n`).join(""));
      shell.printError(`${line.hint}\n`);
      return EXIT.usage;
  }
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    shell.printError(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    Deno.exit(error instanceof KubeconfigError ? EXIT.usage : EXIT.failed);
  }
}
