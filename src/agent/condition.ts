/** What is to be said in the condition of a Pod of this node. Pure. */
import { formatReport } from "../domain/ebpf_report.ts";
import type { WantedPrograms } from "../domain/ebpf_wanted.ts";
import type { PodCondition } from "../domain/node_pod.ts";
import { notRequired } from "../domain/pod_condition.ts";
import type { EbpfError, ProgramType } from "./ports.ts";

export interface ProgramFailure {
  readonly type: ProgramType;
  readonly error: EbpfError;
}

const UNKNOWN_NAMES_MAX = 20;

/** Undefined: no condition. The reason is that of the first failure. */
export function desiredCondition(
  wanted: WantedPrograms,
  failures: readonly ProgramFailure[],
  options: { readonly gated: boolean; readonly architecture: string },
): PodCondition | undefined {
  const { revision, pcmcs } = wanted;
  const [first] = failures;
  if (first !== undefined) {
    const text = [...new Set(failures.map(({ error }) => error.message))].join("; ");
    const failed = failedNames(wanted, failures);
    const message = formatReport({ revision, failed, text: sentence(text) });
    return { status: "False", reason: first.error.reason, message };
  }
  if (pcmcs.length === 0) return options.gated ? notRequired(revision) : undefined;
  const text = `All programs are in place.${unknownNames(wanted, options.architecture)}`;
  return {
    status: "True",
    reason: "Applied",
    message: formatReport({ revision, failed: [], text }),
  };
}

/** A failure of a program that nobody wants any more is everybody's. */
function failedNames(wanted: WantedPrograms, failures: readonly ProgramFailure[]) {
  const names = new Set<string>();
  for (const { type } of failures) {
    const by = type === "l4_firewall" ? wanted.firewall : wanted.syscalls;
    if (by === undefined) return "all";
    for (const name of by.pcmcs) names.add(name);
  }
  return [...names].sort();
}

function unknownNames({ unknownSyscalls }: WantedPrograms, architecture: string): string {
  if (unknownSyscalls.length === 0) return "";
  const more = unknownSyscalls.length - UNKNOWN_NAMES_MAX;
  const names = unknownSyscalls.slice(0, UNKNOWN_NAMES_MAX).join(", ");
  return ` Not counted, as ${architecture} has no such system call: ${names}${
    more > 0 ? ` and ${more} more` : ""
  }.`;
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
