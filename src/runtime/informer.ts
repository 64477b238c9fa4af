import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { Codec, StoredObject } from "./ports/codec.ts";
import type { RestClient } from "./ports/rest.ts";
import type { ResourceType } from "./resource.ts";
import type { Store } from "./store.ts";

export interface WatchMetrics {
  /** A watch ended and is opened anew; `reason` is from a closed set. */
  restart(resource: string, reason: string): void;
  /** The collection is listed again. */
  relist(resource: string): void;
}

export interface InformerOptions<T extends StoredObject> {
  readonly rest: RestClient;
  readonly type: ResourceType;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly codec: Codec<T>;
  readonly store: Store<T>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: WatchMetrics;
  readonly resyncMs?: number;
}

export class Informer<T extends StoredObject> {
  readonly #options: InformerOptions<T>;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
  }

  get synced(): boolean {
    return false;
  }

  /** `clock.monotonic()` of the last answer, event or bookmark. */
  get lastProgress(): number {
    return this.#options.clock.monotonic();
  }

  /** Last failure while not following; undefined while following. */
  get trouble(): Error | undefined {
    return undefined;
  }

  run(_signal: AbortSignal): Promise<void> {
    return Promise.resolve();
  }
}
