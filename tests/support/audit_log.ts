/**
 * What the API server itself recorded: the audit log, one JSON object a line.
 *
 * The server writes an entry before it answers (log mode "blocking"), so a request that was
 * answered is here. Counting writes here cannot be fooled by a client's own counters.
 */

/** The part of `audit.k8s.io/v1` Event that tests look at. */
export interface AuditEntry {
  readonly auditID: string;
  readonly stage: string;
  /** get, list, watch, create, update, patch, delete, deletecollection. */
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly resource?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly apiGroup?: string;
    readonly subresource?: string;
  };
  /** Among others what the authorizer decided, and why. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly responseStatus?: { readonly code?: number; readonly reason?: string };
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
}

export interface AuditFilter {
  /** Whole user name, such as `system:serviceaccount:ns:name`. */
  user?: string;
  verbs?: readonly string[];
  resource?: string;
  notResources?: readonly string[];
}

export const WRITE_VERBS: readonly string[] = [
  "create",
  "update",
  "patch",
  "delete",
  "deletecollection",
];

/** `none` keeps no log; `writes` keeps {@link WRITE_VERBS}; `all` keeps every request. */
export type AuditLevel = "none" | "writes" | "all";

export function auditPolicy(level: "writes" | "all"): string {
  const rules = level === "all"
    ? [{ level: "Metadata" }]
    : [{ level: "Metadata", verbs: WRITE_VERBS }, { level: "None" }];
  return JSON.stringify({
    apiVersion: "audit.k8s.io/v1",
    kind: "Policy",
    // Left are ResponseComplete and, for a watch also when it begins, ResponseStarted.
    omitStages: ["RequestReceived"],
    rules,
  });
}

const NEWLINE = "\n".charCodeAt(0);

/** A moment to count from. */
export interface AuditMark {
  /** The log's length then. */
  readonly position: number;
  /** Milliseconds of Unix time. */
  readonly at: number;
}

export class AuditLog {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Requests that came after `since` and were answered, in the order of their answers. */
  async entries(filter: AuditFilter = {}, since?: AuditMark): Promise<AuditEntry[]> {
    const bytes = await Deno.readFile(this.#path);
    const { position = 0, at = 0 } = since ?? {};
    // The mark may have been taken in the middle of a line: of a request that was not answered yet.
    const begin = position === 0 ? 0 : bytes.lastIndexOf(NEWLINE, position - 1) + 1;
    const text = new TextDecoder().decode(bytes.subarray(begin));
    return text.split("\n")
      // The last line may still be being written.
      .filter((line) => line.endsWith("}"))
      .map((line) => JSON.parse(line) as AuditEntry)
      // What a request did is to be seen a little before its line is here.
      .filter((entry) => Date.parse(entry.requestReceivedTimestamp) >= at)
      .filter((entry) => matches(entry, filter));
  }

  /** Counts from now on: not what the server has received already, though its line comes later. */
  async mark(): Promise<AuditMark> {
    const at = Date.now();
    return { position: (await Deno.stat(this.#path)).size, at };
  }
}

function matches(entry: AuditEntry, filter: AuditFilter): boolean {
  const resource = entry.objectRef?.resource ?? "";
  return (filter.user === undefined || entry.user.username === filter.user) &&
    (filter.verbs === undefined || filter.verbs.includes(entry.verb)) &&
    (filter.resource === undefined || resource === filter.resource) &&
    !(filter.notResources ?? []).includes(resource);
}
