/**
 * All options of all commands: the one source of flags, environment variables, defaults, `--help`,
 * docs/configuration.md and the types of what a command is given.
 */
import { CONTROLLER_OPTIONS } from "./controller_options.ts";
import type { Command, OptionDefinition } from "./definition.ts";
import { EBPF_OPTIONS } from "./ebpf_options.ts";
import { TOOL_OPTIONS } from "./tool_options.ts";
import type { ListenAddress } from "../../lib/address.ts";

export const OPTIONS = [...TOOL_OPTIONS, ...CONTROLLER_OPTIONS, ...EBPF_OPTIONS] as const;

type Definition = (typeof OPTIONS)[number];
type DefinitionFor<C extends Command> = Definition extends infer D
  ? D extends { commands: readonly (infer Of)[] } ? C extends Of ? D : never : never
  : never;
type ValueOf<D> = D extends { type: "enum"; values: infer Values } ? Values[keyof Values]
  : D extends { type: "bool" } ? boolean
  : D extends { type: "int" | "duration" } ? number
  : D extends { type: "list" } ? readonly string[]
  : D extends { type: "address" } ? ListenAddress | undefined
  : string;

/** What a command is given: a value for each of its options. Durations are milliseconds. */
export type OptionsOf<C extends Command> = {
  readonly [D in DefinitionFor<C> as D["key"]]: ValueOf<D>;
};

/** The definitions that `command` takes, in the order of the table. */
export function optionsOf(command: Command): readonly OptionDefinition[] {
  return (OPTIONS as readonly OptionDefinition[])
    .filter((option) => option.commands.includes(command));
}

export function defaultOf(option: OptionDefinition, command: Command): string {
  return option.defaults?.[command] ?? option.default;
}
