/** Runs the tools that scripts are made of. */

/**
 * Runs a command to its end, without input.
 * @param hint what to do when it fails.
 * @returns its standard output. @throws Error with its messages when it fails or is not there.
 */
export async function run(
  action: string,
  command: string,
  args: readonly string[],
  hint?: string,
): Promise<string> {
  const fail = (reason: string, cause?: unknown) => {
    const text = `Cannot ${action}: ${reason}${hint === undefined ? "" : `\n${hint}`}`;
    return new Error(text, { cause });
  };
  const child = new Deno.Command(command, {
    args: [...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const result = await child.output().catch((cause) => {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw fail(`there is no ${command} here`, cause);
  });
  const decoder = new TextDecoder();
  if (!result.success) {
    throw fail(decoder.decode(result.stderr).trim() || `exit code ${result.code}`);
  }
  return decoder.decode(result.stdout);
}

/** Ends the process: shows what `main` returns, or says in one line what went wrong. */
export async function script(main: () => Promise<string>): Promise<never> {
  const write = (to: { writeSync(bytes: Uint8Array): number }, text: string) =>
    to.writeSync(new TextEncoder().encode(text));
  try {
    write(Deno.stdout, await main());
  } catch (error) {
    write(Deno.stderr, `error: ${error instanceof Error ? error.message : error}\n`);
    Deno.exit(1);
  }
  Deno.exit(0);
}
