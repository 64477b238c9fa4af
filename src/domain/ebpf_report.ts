/**
 * What an agent says of a Pod in the message of its condition, and how the controller reads it. Pure.
 *
 *     revision 0123456789ab: All programs are in place.
 *     revision 0123456789ab, failed web, db: Cannot attach ...
 */

export interface EbpfReport {
  /** `ebpfRevision` of the configs that the agent speaks of. */
  readonly revision: string;
  /** Names of configs that are not in place; `all` also where there are too many to name. */
  readonly failed: readonly string[] | "all";
  readonly text: string;
}

/** Beyond that many names "all" is said. */
const NAMES_MAX = 40;
/** Characters of a message; the API server takes 32,768, people read less. */
const MESSAGE_CHARS_MAX = 4_096;

export function formatReport({ revision, failed, text }: EbpfReport): string {
  const names = failed === "all" || failed.length > NAMES_MAX ? "*" : failed.join(", ");
  const message = `revision ${revision}${names === "" ? "" : `, failed ${names}`}: ${text}`;
  if (message.length <= MESSAGE_CHARS_MAX) return message;
  return `${message.slice(0, MESSAGE_CHARS_MAX - 3).replace(/[\uD800-\uDBFF]$/, "")}...`;
}

/** Undefined for what no agent of ours wrote. */
export function parseReport(message: string): EbpfReport | undefined {
  const match = /^revision ([0-9a-f]{12})(?:, failed ([^:]+))?: ([\s\S]*)$/.exec(message);
  if (match === null) return undefined;
  const [, revision = "", names, text = ""] = match;
  const failed = names === "*" ? "all" : names?.split(", ") ?? [];
  return { revision, failed, text };
}
