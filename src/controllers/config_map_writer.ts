/**
 * Carries out one decision about one ConfigMap, and lets the cache see the answer at once
 * (read-your-writes). Every write is safe to repeat: names are deterministic, and changes and
 * deletions carry the uid and resourceVersion that the decision was made on.
 */
import type { ObservedConfigMap } from "../domain/model.ts";
import type { ConfigMapBody, JsonPatchOperation, Preconditions } from "../domain/plan.ts";
import type { ApiClient } from "../runtime/api_client.ts";
import { isAlreadyExists, isNotFound, KubeApiError } from "../runtime/ports/errors.ts";
import type { Codec } from "../runtime/ports/codec.ts";
import type { JsonValue } from "../runtime/ports/rest.ts";
import { objectKey } from "../runtime/resource.ts";
import type { Store } from "../runtime/store.ts";
import { CONFIG_MAPS } from "./resources.ts";
import type { DomainMetrics } from "./settings.ts";

export interface ConfigMapWriterOptions {
  readonly api: ApiClient;
  readonly store: Store<ObservedConfigMap>;
  readonly codec: Codec<ObservedConfigMap>;
  readonly metrics: DomainMetrics;
}

export class ConfigMapWriter {
  readonly #api: ApiClient;
  readonly #store: Store<ObservedConfigMap>;
  readonly #codec: Codec<ObservedConfigMap>;
  readonly #metrics: DomainMetrics;

  constructor({ api, store, codec, metrics }: ConfigMapWriterOptions) {
    this.#api = api;
    this.#store = store;
    this.#codec = codec;
    this.#metrics = metrics;
  }

  /**
   * Creates it; "exists" when something of that name is there already (whose, the caller must find
   * out: our watch sees only objects that carry our label).
   */
  async create(body: ConfigMapBody, signal: AbortSignal): Promise<"created" | "exists"> {
    const { namespace } = body.metadata;
    try {
      await this.#counted("create", namespace, async () => {
        const answer = await this.#api.create<ObservedConfigMap>(
          CONFIG_MAPS,
          { namespace },
          body as unknown as JsonValue,
          signal,
          this.#codec,
        );
        this.#store.observeWrite(answer);
      });
      return "created";
    } catch (error) {
      if (isAlreadyExists(error)) return "exists";
      throw error;
    }
  }

  async patch(
    at: { namespace: string; name: string },
    operations: readonly JsonPatchOperation[],
    signal: AbortSignal,
  ): Promise<void> {
    await this.#counted("update", at.namespace, async () => {
      const patch = {
        contentType: "application/json-patch+json",
        body: operations as unknown as JsonValue,
      };
      const answer = await this.#api.patch<ObservedConfigMap>(
        CONFIG_MAPS,
        at,
        patch,
        signal,
        this.#codec,
      );
      this.#store.observeWrite(answer);
    });
  }

  async delete(
    at: { namespace: string; name: string },
    { uid, resourceVersion }: Preconditions,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#counted("delete", at.namespace, async () => {
      await this.#api.delete(CONFIG_MAPS, at, { uid, resourceVersion }, signal);
      this.#store.observeDelete(objectKey(at.namespace, at.name), uid, resourceVersion);
    });
  }

  /** What has that name now, whoever made it. A live read, past the cache. */
  async read(
    at: { namespace: string; name: string },
    signal: AbortSignal,
  ): Promise<ObservedConfigMap | undefined> {
    try {
      return await this.#api.read(CONFIG_MAPS, at, this.#codec, signal);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #counted(
    operation: "create" | "update" | "delete",
    namespace: string,
    write: () => Promise<void>,
  ): Promise<void> {
    try {
      await write();
      this.#metrics.configMapOperation(operation, namespace, "success");
    } catch (error) {
      // A name that is taken, or an object that has moved on, is a finding, not a failure.
      const finding = error instanceof KubeApiError && error.status === 409;
      if (!finding) this.#metrics.configMapOperation(operation, namespace, "error");
      throw error;
    }
  }
}
