/**
 * What an option is, and the commands there are: the vocabulary of the option tables. Data only;
 * values are read in `value.ts`, command lines in `parse.ts`.
 */

export const COMMANDS = {
  agent: "Count system calls and filter connections of one node's Pods with eBPF",
  cleanup: "Remove every eBPF program, map and pin of ours from this node",
  controller: "Keep one ConfigMap per matching Pod and PodConfigMapConfig, on a real cluster",
  demo: "In-memory Kubernetes API on loopback, the controller, and a scripted story",
  "prepare-node": "Make the agent's folder in the bpffs, as root, before the agent runs",
  render: "Print the ConfigMaps that manifests, or a cluster's objects, would give",
  run: "The controller, and eBPF for the Pods of its own node while it leads; the default",
  seccomp: "Print a seccomp profile of the system calls seen of a Pod of this node",
  selftest: "Say what this node can do for eBPF; exit 1 when it cannot",
  validate: "Check manifests; exit 1 when one is invalid",
  version: "Print the version",
} as const;

export type Command = keyof typeof COMMANDS;

export const GROUPS = [
  "Input and output",
  "Cluster access",
  "eBPF",
  "Demo",
  "Leader election",
  "Controller",
  "Identity",
  "Metrics and health",
  "Logging",
] as const;

export interface OptionDefinition {
  /** Name of the value in the program. */
  readonly key: string;
  readonly flag: string;
  /** May be given as a bare argument, without its flag; one of a command at most. */
  readonly positional?: boolean;
  /** One letter. */
  readonly short?: string;
  readonly env?: string;
  readonly type: OptionType;
  /** As a user would write it; empty: none. */
  readonly default: string;
  /** Where a command's default differs. */
  readonly defaults?: Partial<Record<Command, string>>;
  readonly description: string;
  readonly commands: readonly Command[];
  readonly group: (typeof GROUPS)[number];
  /** `int`: inclusive bounds. `duration`: bounds in milliseconds. */
  readonly min?: number;
  readonly max?: number;
  /** `enum`: what may be written, and what it means. */
  readonly values?: Readonly<Record<string, string>>;
  /** `string` and `list`: what each must be. */
  readonly format?: "dns-label" | "dns-subdomain" | "namespace/name";
}

export type OptionType = "bool" | "int" | "duration" | "enum" | "string" | "list" | "address";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
