/**
 * The command line: flags over environment over defaults. Pure.
 *
 * Guarantees: every problem is reported, not only the first; a problem names the option the way it
 * was given (flag or variable); an empty variable is as if unset. Flags are Go's and kubectl's:
 * `--flag value`, `--flag=value`, `-flag value` for long names, `-f value`, `-fvalue`; a bool takes a
 * value only after `=`. A bare argument is the command's positional option, if it has one. The last one wins; lists collect. What to do with the outcome (print, exit
 * code 2) is the caller's.
 */
import { assert } from "../../lib/assert.ts";
import { checkOptions } from "./checks.ts";
import { type Command, COMMANDS, type OptionDefinition } from "./definition.ts";
import { helpText } from "./help.ts";
import { suggest } from "./suggest.ts";
import { defaultOf, type OptionsOf, optionsOf } from "./table.ts";
import { formatValue, type OptionValue, parseValue } from "./value.ts";

export type Source = "flag" | "environment" | "default";

export interface InvocationOf<C extends Command> {
  readonly command: C;
  readonly options: OptionsOf<C>;
  /** Where each value came from. */
  readonly sources: Readonly<Record<string, Source>>;
}

/** A command with its options, typed by the command. */
export type Invocation = { [C in Command]: InvocationOf<C> }[Command];

export type CommandLine =
  | { readonly kind: "run"; readonly invocation: Invocation }
  | { readonly kind: "help"; readonly text: string }
  /** Exit code 2. `hint` says where to read more. */
  | { readonly kind: "problems"; readonly problems: readonly string[]; readonly hint: string };

/** One value as it was given. */
interface Given {
  readonly source: Source;
  /** `--pod-workers` or `CONTROLLER_POD_WORKERS`. */
  readonly name: string;
  readonly text: string;
}

const DEFAULT_COMMAND = "run";

/** `args` without the program's name; `env` gives a variable's value or undefined. */
export function parseCommandLine(
  args: readonly string[],
  env: (name: string) => string | undefined,
): CommandLine {
  const [first, ...rest] = args;
  if (first === "--version") return parseCommandLine(["version", ...rest], env);
  if (first === undefined) return parseOptions(DEFAULT_COMMAND, [], env);
  if (["help", "--help", "-h", "-help"].includes(first)) {
    const [topic] = rest;
    return topic === undefined || isCommand(topic)
      ? { kind: "help", text: helpText(topic) }
      : problems([unknownCommand(topic)]);
  }
  // As the original program was called: options alone.
  if (first.startsWith("-")) return parseOptions(DEFAULT_COMMAND, args, env);
  if (!isCommand(first)) return problems([unknownCommand(first)]);
  return parseOptions(first, rest, env);
}

/** What was given, flag -> text, for the line that a process logs at its start. No option is a secret. */
export function givenOptions(invocation: Invocation): Record<string, string> {
  const values = invocation.options as Readonly<Record<string, OptionValue>>;
  const given = optionsOf(invocation.command)
    .filter((option) => invocation.sources[option.key] !== "default");
  return Object.fromEntries(
    given.map((option) => [option.flag, formatValue(option, values[option.key])]),
  );
}

/** The values of a command that is given nothing. */
export function defaultsOf<C extends Command>(command: C): OptionsOf<C> {
  const values = optionsOf(command).map((option) => {
    const parsed = parseValue(option, defaultOf(option, command));
    assert("value" in parsed, `the default of ${option.flag} is a value`);
    return [option.key, parsed.value];
  });
  return Object.fromEntries(values) as OptionsOf<C>;
}

function isCommand(text: string): text is Command {
  return Object.hasOwn(COMMANDS, text);
}

function unknownCommand(text: string): string {
  const near = suggest(text, Object.keys(COMMANDS));
  return `unknown command ${JSON.stringify(text)}${near ? `; did you mean ${near}?` : ""}`;
}

function problems(list: readonly string[], command?: Command): CommandLine {
  const hint = command === undefined
    ? `Commands: ${Object.keys(COMMANDS).join(", ")}. See --help.`
    : `See ${command} --help.`;
  return { kind: "problems", problems: list, hint };
}

function parseOptions(
  command: Command,
  args: readonly string[],
  env: (name: string) => string | undefined,
): CommandLine {
  const options = optionsOf(command);
  const flags = readFlags(options, args);
  if (flags.help) return { kind: "help", text: helpText(command) };
  const found = [...flags.problems];
  const values: Record<string, OptionValue> = {};
  const sources: Record<string, Source> = {};
  for (const option of options) {
    const given = givenFor(option, flags.given, env);
    sources[option.key] = given[0]?.source ?? "default";
    const parsed = given.map((one) => ({ one, result: parseValue(option, one.text) }));
    for (const { one, result } of parsed) {
      if ("problem" in result) found.push(`${one.name}: ${result.problem}`);
    }
    const texts = given.length > 0 ? given.map((one) => one.text) : [defaultOf(option, command)];
    const text = option.type === "list" ? texts.join(",") : texts.at(-1) as string;
    const result = parseValue(option, text);
    // A value that has been complained of is not checked against others.
    if ("value" in result) values[option.key] = result.value;
  }
  found.push(...checkOptions(command, values, sources));
  if (found.length > 0) return problems(found, command);
  return {
    kind: "run",
    invocation: { command, options: values, sources } as unknown as Invocation,
  };
}

/** Flags when there are any, else the variable, else nothing. */
function givenFor(
  option: OptionDefinition,
  flags: ReadonlyMap<OptionDefinition, readonly Given[]>,
  env: (name: string) => string | undefined,
): readonly Given[] {
  const given = flags.get(option);
  if (given !== undefined) return given;
  const text = option.env === undefined ? undefined : env(option.env);
  if (option.env === undefined || text === undefined || text === "") return [];
  return [{ source: "environment", name: option.env, text }];
}

interface Flags {
  readonly given: Map<OptionDefinition, Given[]>;
  readonly problems: string[];
  help: boolean;
}

function readFlags(options: readonly OptionDefinition[], args: readonly string[]): Flags {
  const flags: Flags = { given: new Map(), problems: [], help: false };
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] as string;
    if (["-h", "--help", "-help"].includes(arg)) {
      flags.help = true;
      continue;
    }
    if (!arg.startsWith("-") || arg === "-") {
      const bare = options.find(({ positional }) => positional);
      if (bare !== undefined && !flags.given.has(bare)) {
        flags.given.set(bare, [{ source: "flag", name: `--${bare.flag}`, text: arg }]);
        continue;
      }
      flags.problems.push(`unexpected argument ${JSON.stringify(arg)}`);
      continue;
    }
    const flag = splitFlag(options, arg);
    if (flag === undefined) {
      flags.problems.push(unknownFlag(options, arg));
      // Its value, if that is one, is not a problem of its own.
      const next = args[at + 1];
      if (!arg.includes("=") && next !== undefined && !next.startsWith("-")) at++;
      continue;
    }
    const { option, name } = flag;
    let text = flag.text ?? (option.type === "bool" ? "true" : undefined);
    if (text === undefined) text = args[++at];
    if (text === undefined) flags.problems.push(`${name}: needs a value`);
    else {flags.given.set(option, [...flags.given.get(option) ?? [], {
        source: "flag",
        name,
        text,
      }]);}
  }
  return flags;
}

/** The option that `arg` names, and the value attached to it, if any. */
function splitFlag(
  options: readonly OptionDefinition[],
  arg: string,
): { option: OptionDefinition; name: string; text: string | undefined } | undefined {
  const [, dashes, word = "", text] = /^(--?)([^=]*)(?:=([\s\S]*))?$/.exec(arg) ?? [];
  const long = options.find((option) => option.flag === word);
  if (long !== undefined) return { option: long, name: `--${word}`, text };
  if (dashes !== "-") return undefined;
  const short = options.find((option) => option.short !== undefined && option.short === word[0]);
  if (short === undefined) return undefined;
  const attached = arg.slice(2).replace(/^=/, "");
  return { option: short, name: `-${short.short}`, text: attached === "" ? undefined : attached };
}

function unknownFlag(options: readonly OptionDefinition[], arg: string): string {
  const word = arg.replace(/^-+/, "").replace(/=[\s\S]*$/, "");
  const near = suggest(word, options.map((option) => option.flag));
  return `unknown flag ${arg.replace(/=[\s\S]*$/, "")}${near ? `; did you mean --${near}?` : ""}`;
}
