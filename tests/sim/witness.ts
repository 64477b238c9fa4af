/**
 * Watches one process's requests as they are sent, and holds them against the invariants that must hold
 * at every moment. What needs the whole history is in `invariants.ts`.
 */
import type { JsonObject, JsonValue, RequestOptions } from "../../src/runtime/ports/rest.ts";
import type { SimulatedCluster, WriteRecord } from "../../src/simulator/cluster.ts";
import type { Channel, Witness } from "./faulty_client.ts";
import { neverToBeDeleted, ownsItselfTwice, undoneBefore } from "./commit_checks.ts";
import type { Journal } from "./journal.ts";
import { isTerminating, LABEL_PCMC, pairOf } from "./oracle.ts";
import type { SimulatedProcess } from "./process.ts";

/** Far above what the small world of a run needs, far below what a loop without a pause makes. */
const REQUESTS_PER_MINUTE_MAX = 600;

/** Which process wrote the lease last, over all processes of a run. */
export class Leadership {
  last: ProcessWitness | undefined;
  /**
   * Whose term another process may have cut short without a chance to know of it: the lease was
   * deleted, and the other had never seen one, or last seen it without a holder.
   */
  excused: ProcessWitness | undefined;
  /** The last one took it so. */
  cameBlindly = false;
}

export class ProcessWitness implements Witness {
  readonly process: SimulatedProcess;
  readonly #cluster: SimulatedCluster;
  readonly #journal: Journal;
  readonly #leadership: Leadership;
  readonly #renewDeadlineMs: number;
  readonly #watchesArePrompt: boolean;
  /** Monotonic time at which its last renewal that it knows of was sent. */
  #renewedAt = -Infinity;
  /** It gives the lease back, or has done so. */
  #releases = false;
  /** The last holder that it saw in the lease. */
  #sawHolder = "";
  /** Path of what it created and knows that it did -> uid. */
  readonly #created = new Map<string, string>();
  /** Uids of what it deleted and knows that it did. */
  readonly #deleted = new Set<string>();
  #minute = 0;
  #requests = 0;
  /** Most requests in one virtual minute. */
  requestsMax = 0;

  constructor(options: {
    process: SimulatedProcess;
    cluster: SimulatedCluster;
    journal: Journal;
    leadership: Leadership;
    renewDeadlineMs: number;
    /** No fault delays what it sees. */
    watchesArePrompt: boolean;
  }) {
    this.process = options.process;
    this.#cluster = options.cluster;
    this.#journal = options.journal;
    this.#leadership = options.leadership;
    this.#renewDeadlineMs = options.renewDeadlineMs;
    this.#watchesArePrompt = options.watchesArePrompt;
  }

  /** Whether it may take itself for the leader: what it knows says so. */
  get believesToLead(): boolean {
    if (this.process.crashed || this.#releases || this.#sawHolder !== this.process.name) {
      return false;
    }
    return this.process.clock.monotonic() < this.#renewedAt + this.#renewDeadlineMs;
  }

  sent(channel: Channel, request: RequestOptions): void {
    this.#count();
    const { method, path } = request;
    if (channel === "lease" && method !== "GET") {
      this.#releases = holderOf(request.bodyJson) === "";
    }
    if (channel === "lease" || method === "GET") {
      this.#journal.detail(() => `  ${this.process.name} sends ${method} ${path}`);
      return;
    }
    this.#journal.note(`  ${this.process.name} sends ${method} ${targetOf(request)}`);
    this.#checkFence(request);
    this.#checkRepeatedCreate(request);
    this.#checkRepeatedDelete(request);
  }

  reached(channel: Channel, { method, bodyJson }: RequestOptions): void {
    const record = this.#cluster.writes.at(-1);
    if (record?.user !== this.process.name || !record.changed) return;
    if (channel !== "lease") return this.#checkCommit(record);
    const leadership = this.#leadership;
    if (leadership.last === this || holderOf(bodyJson) !== this.process.name) return;
    const isBlind = method === "POST" && this.#sawHolder === "";
    // Where somebody came in blindly, also the one before is taken by surprise.
    const isUnknown = isBlind || method === "POST" && leadership.cameBlindly &&
        this.#sawHolder !== leadership.last?.process.name;
    leadership.cameBlindly = isUnknown;
    leadership.excused = isUnknown ? leadership.last : undefined;
    if (!isUnknown && leadership.last?.believesToLead) {
      this.#journal.violate(
        "the lease is not taken while its holder may still write",
        `${this.process.name} took it from ${leadership.last.process.name}`,
      );
    }
    leadership.last = this;
    this.#journal.note(`${this.process.name} takes the lease`);
  }

  answered(
    channel: Channel,
    request: RequestOptions,
    answer: JsonValue,
    sentAt: number,
  ): void {
    if (channel === "lease") {
      this.#sawHolder = holderOf(answer);
      const isOwn = request.method !== "GET" && holderOf(request.bodyJson) === this.process.name;
      if (isOwn) this.#renewedAt = Math.max(this.#renewedAt, sentAt);
      return;
    }
    if (request.method === "DELETE") this.#deleted.add(uidOfDeletion(request));
    const uid = metadataOf(answer)["uid"];
    if (request.method === "POST") this.#created.set(targetOf(request), String(uid));
  }

  #checkCommit(record: WriteRecord): void {
    const { kind, verb, namespace, name } = record;
    if (kind === "ConfigMap" && verb !== "delete" && ownsItselfTwice(record)) {
      this.#journal.violate(
        "a ConfigMap that is written belongs to one incarnation of its Pod",
        `${this.process.name} wrote ${namespace}/${name} with labels of one and owner of another`,
      );
    }
    if (kind === "ConfigMap" && verb === "delete" && neverToBeDeleted(record, this.#cluster)) {
      this.#journal.violate(
        "nothing is deleted whose PCMC and Pod are there and have not changed",
        `${this.process.name} deleted ${namespace}/${name}`,
      );
    }
    if (kind === "PodConfigMapConfig" && this.#watchesArePrompt) {
      for (const problem of undoneBefore(record, this.#cluster)) {
        this.#journal.violate(
          "observedGeneration names a generation whose work is done",
          `${this.process.name} told so of ${namespace}/${name}, but ${problem}`,
        );
      }
    }
  }

  #count(): void {
    const minute = Math.floor(this.process.clock.monotonic() / 60_000);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#requests = 0;
    }
    this.#requests++;
    this.requestsMax = Math.max(this.requestsMax, this.#requests);
    if (this.#requests === REQUESTS_PER_MINUTE_MAX + 1) {
      const detail = `${this.process.name} sent more than ${REQUESTS_PER_MINUTE_MAX} requests`;
      this.#journal.violate("no process sends requests in a hot loop", detail);
      // A loop without a wait would never give the clock a turn again.
      this.process.crash();
    }
  }

  #checkFence(request: RequestOptions): void {
    const now = this.process.clock.monotonic();
    const { name } = this.process;
    const late = now - (this.#renewedAt + this.#renewDeadlineMs);
    if (late >= 0) {
      this.#journal.violate(
        "no write is sent by a process past its own deadline",
        `${name} sent ${request.method} ${targetOf(request)} ${late} ms past it`,
      );
    }
    const { last, excused } = this.#leadership;
    if (last !== this && excused !== this) {
      this.#journal.violate(
        "there is at most one writer per lease term",
        `${name} sent ${request.method} ${targetOf(request)} in the term of ${last?.process.name}`,
      );
    }
  }

  #checkRepeatedCreate(request: RequestOptions): void {
    if (request.method !== "POST" || !request.path.endsWith("/configmaps")) return;
    const target = targetOf(request);
    const uid = this.#created.get(target);
    const { namespace = "", name = "" } = metadataOf(request.bodyJson) as Record<string, string>;
    const stored = this.#cluster.get("v1", "ConfigMap", namespace, name);
    if (uid === undefined || stored?.metadata.uid !== uid) return;
    // Its own deletion, held by a finalizer: whether it is gone, only the watch can tell.
    if (isTerminating(stored)) return;
    if (this.#wasDisguised(uid)) return;
    this.#journal.violate(
      "no process creates what it has created itself and what still exists",
      `${this.process.name} sent POST ${target}`,
    );
  }

  #checkRepeatedDelete(request: RequestOptions): void {
    if (request.method !== "DELETE" || !this.#deleted.has(uidOfDeletion(request))) return;
    this.#journal.violate(
      "no process deletes what it has deleted itself",
      `${this.process.name} sent DELETE ${targetOf(request)}`,
    );
  }

  /** Without our label it left the process's watch; where nothing on it tells its pair, no index finds it. */
  #wasDisguised(uid: string): boolean {
    return this.#cluster.writes.some(({ after }) =>
      after?.metadata.uid === uid &&
      (after.metadata.labels?.[LABEL_PCMC] === undefined || pairOf(after, []) === undefined)
    );
  }
}

/** "ns/name" of what a request is about, with its kind's plural. */
export function targetOf({ method, path, bodyJson }: RequestOptions): string {
  const parts = path.split("/namespaces/")[1]?.split("/") ?? [path];
  const [namespace = "", plural = "", name = "", ...sub] = parts;
  const target = method === "POST" ? metadataOf(bodyJson)["name"] : name;
  return [plural, ...sub].join(".") + ` ${namespace}/${target}`;
}

function uidOfDeletion({ bodyJson }: RequestOptions): string {
  const preconditions = (bodyJson as JsonObject | undefined)?.["preconditions"];
  return String((preconditions as JsonObject | undefined)?.["uid"]);
}

function metadataOf(object: JsonValue): JsonObject {
  return ((object as JsonObject | undefined)?.["metadata"] ?? {}) as JsonObject;
}

function holderOf(lease: JsonValue): string {
  const spec = ((lease as JsonObject | undefined)?.["spec"] ?? {}) as JsonObject;
  return String(spec["holderIdentity"] ?? "");
}
