/**
 * Who wrote what, when, and what came of it: one record for every request that could change something,
 * refused ones and ones without effect included. For invariants of tests and for the demo.
 */
import type { Clock } from "../lib/clock.ts";
import type { KubeObject } from "./objects.ts";
import type { Target, Verb } from "./request.ts";
import { apiVersionOf } from "./types.ts";

export interface WriteRecord {
  /** 1, 2, 3, ... over the cluster's life. */
  readonly sequence: number;
  /** Wall clock, ms. */
  readonly time: number;
  /** Monotonic clock, ms. */
  readonly elapsed: number;
  readonly user: string;
  readonly verb: Verb;
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly subresource: string;
  readonly namespace: string;
  /** "" where a creation was refused before its name was looked at. */
  readonly name: string;
  /** HTTP status code of the answer. */
  readonly code: number;
  /** It became a commit. False for refusals, dry runs and updates without a difference. */
  readonly changed: boolean;
  readonly dryRun: boolean;
  readonly before: KubeObject | undefined;
  /** Undefined when refused or when the object is gone. */
  readonly after: KubeObject | undefined;
}

interface Source {
  readonly verb: Verb;
  readonly target: Target;
  readonly user: string;
}

export class WriteLog {
  readonly #clock: Clock;
  readonly #max: number;
  readonly #records: WriteRecord[] = [];
  #sequence = 0;

  constructor(options: { clock: Clock; max: number }) {
    this.#clock = options.clock;
    this.#max = options.max;
  }

  /** Oldest first; the oldest are dropped beyond the limit. */
  get records(): readonly WriteRecord[] {
    return this.#records;
  }

  add(
    source: Source,
    result: {
      code: number;
      before: KubeObject | undefined;
      object: KubeObject | undefined;
      changed: boolean;
      dryRun: boolean;
    },
  ): void {
    const { code, before, object: after, changed, dryRun } = result;
    this.#push(source, { code, before, after, changed, dryRun });
  }

  refused(source: Source, code: number): void {
    const nothing = { before: undefined, after: undefined, changed: false, dryRun: false };
    this.#push(source, { code, ...nothing });
  }

  #push(
    { verb, target, user }: Source,
    result: Pick<WriteRecord, "code" | "before" | "after" | "changed" | "dryRun">,
  ): void {
    const { type, namespace, subresource } = target;
    this.#records.push({
      sequence: ++this.#sequence,
      time: this.#clock.now(),
      elapsed: this.#clock.monotonic(),
      user,
      verb,
      apiVersion: apiVersionOf(type),
      kind: type.kind,
      plural: type.plural,
      subresource,
      namespace,
      name: target.name || result.after?.metadata.name || "",
      ...result,
    });
    // In one go, not one by one: shifting costs the length of the log.
    if (this.#records.length >= this.#max * 2) this.#records.splice(0, this.#max);
  }
}
