/**
 * The simulated API server without a front: routes requests to reads, writes and deletions, answers
 * failures as Status objects, and keeps the write log.
 *
 * Guarantees: `handle` is synchronous and deterministic; the same requests at the same times give the
 * same answers, uids and revisions.
 */
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import { readOptionalBody } from "./bodies.ts";
import { established, typesOf } from "./crds.ts";
import { Deleter, type DeleteResult } from "./deletes.ts";
import { discover } from "./discovery.ts";
import { type KubeObject, timestamp } from "./objects.ts";
import { openApi } from "./openapi.ts";
import { parseDeleteOptions, parseListOptions } from "./options.ts";
import { Reads } from "./reads.ts";
import { jsonBody } from "./represent.ts";
import {
  type ApiRequest,
  type ApiResponse,
  flagOf,
  parsePath,
  type Target,
  type Verb,
  verbOf,
} from "./request.ts";
import { failure, pathNotFound, StatusError, success } from "./status.ts";
import { Store, type StoreEvent } from "./store.ts";
import { CRDS, TypeRegistry } from "./types.ts";
import { type ReadView, WatchHub } from "./watch_hub.ts";
import { Writer, type WriteResult } from "./writes.ts";
import { WriteLog } from "./write_log.ts";

/** Sees the newest state. */
export const LIVE: ReadView = { frozenAt: undefined };

export interface ApiServerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly historyWindow: number;
  readonly writeLogMax: number;
  /** After the watchers had the event. */
  readonly onCommit: (storage: string, event: StoreEvent) => void;
}

export class ApiServer {
  readonly store: Store;
  readonly hub: WatchHub;
  readonly registry = new TypeRegistry();
  readonly log: WriteLog;
  readonly #clock: Clock;
  readonly #reads: Reads;
  readonly #writer: Writer;
  readonly #deleter: Deleter;

  constructor(options: ApiServerOptions) {
    const { clock, random } = options;
    this.#clock = clock;
    this.store = new Store({
      historyWindow: options.historyWindow,
      onCommit: (storage, event) => {
        if (storage === CRDS.storage) this.#serve(event);
        this.hub.publish(storage, event);
        options.onCommit(storage, event);
      },
    });
    this.hub = new WatchHub({ clock, store: this.store });
    this.log = new WriteLog({ clock, max: options.writeLogMax });
    this.#reads = new Reads({ store: this.store, hub: this.hub, clock, random });
    this.#writer = new Writer({ store: this.store, registry: this.registry, clock, random });
    this.#deleter = new Deleter({ store: this.store, clock });
  }

  handle(request: ApiRequest, view: ReadView = LIVE): ApiResponse {
    try {
      return this.#document(request) ?? this.#resource(request, view);
    } catch (error) {
      if (error instanceof StatusError) return refusal(error);
      throw error;
    }
  }

  /** Discovery, OpenAPI, health. */
  #document(request: ApiRequest): ApiResponse | undefined {
    const { path } = request;
    const [, root = "", ...rest] = path.replace(/\/$/, "").split("/");
    const depth = { api: 1, apis: 2, version: 0 }[root];
    if (depth !== undefined && rest.length > depth) return undefined;
    if (root === "healthz" || root === "livez" || root === "readyz") return plainText(200, "ok");
    const types = [...this.registry.values()];
    const found = depth === undefined
      ? openApiAnswer(path, types)
      : discover(path, request.accept, types);
    if (found === undefined) throw pathNotFound();
    return {
      status: 200,
      contentType: found.contentType,
      warnings: [],
      body: jsonBody(found.body),
    };
  }

  #resource(request: ApiRequest, view: ReadView): ApiResponse {
    const target = parsePath(request.path, this.registry);
    const verb = verbOf(request.method, target, flagOf(request.query, "watch") ?? false);
    switch (verb) {
      case "get":
        return this.#reads.get(target, request, view);
      case "list":
        return this.#reads.list(target, request, view);
      case "watch":
        return this.#reads.watch(target, request, view);
      case "deletecollection":
        return this.#deleteCollection(target, request);
      default:
        return this.#logged(verb, target, request);
    }
  }

  #logged(verb: Verb, target: Target, request: ApiRequest): ApiResponse {
    try {
      return verb === "delete"
        ? this.#delete(verb, target, request)
        : this.#write(verb, target, request);
    } catch (error) {
      if (error instanceof StatusError) {
        const name = target.name || error.status.details?.name || "";
        this.log.refused({ verb, target: { ...target, name }, user: request.user }, error.code);
      }
      throw error;
    }
  }

  #write(verb: Verb, target: Target, request: ApiRequest): ApiResponse {
    const result = this.#perform(verb, target, request);
    this.log.add({ verb, target, user: request.user }, result);
    if (target.subresource === "binding") {
      const status = {
        kind: "Status",
        apiVersion: "v1",
        metadata: {},
        status: "Success",
        code: 201,
      };
      return { status: 201, contentType: "application/json", warnings: [], body: jsonBody(status) };
    }
    const answer = this.#reads.answer(result.code, target.type, result.object, request);
    if (target.type.storage === CRDS.storage && verb === "create" && result.changed) {
      this.#establish(result.object);
    }
    return { ...answer, warnings: result.warnings };
  }

  #perform(verb: Verb, target: Target, request: ApiRequest): WriteResult {
    this.#reads.viewOf(request);
    if (target.subresource === "binding") return this.#writer.bind(target, request);
    if (verb === "create") {
      this.#requireServing(target);
      return this.#writer.create(target, request);
    }
    return verb === "update"
      ? this.#writer.update(target, request)
      : this.#writer.patch(target, request);
  }

  #delete(verb: Verb, target: Target, request: ApiRequest): ApiResponse {
    const result = this.#deleter.delete(target, request);
    this.#logDeletion(verb, target, request.user, result);
    if (result.showsObject) return this.#reads.answer(200, target.type, result.object, request);
    const { name, uid } = result.object.metadata;
    const body = jsonBody(success(target.type, name, uid));
    return { status: 200, contentType: "application/json", warnings: [], body };
  }

  #deleteCollection(target: Target, request: ApiRequest): ApiResponse {
    const body = readOptionalBody(request);
    const options = parseDeleteOptions(request.query, body);
    const selection = parseListOptions(request.query, target.type, "list");
    const { metadata, items } = this.#reads.page(target, selection, LIVE);
    for (const item of items) {
      const one = { ...target, name: item.metadata.name };
      const result = this.#deleter.deleteOne(one, options);
      this.#logDeletion("deletecollection", one, request.user, result);
    }
    return this.#reads.listAnswer(target.type, metadata, items, request, "whole");
  }

  #logDeletion(verb: Verb, target: Target, user: string, result: DeleteResult): void {
    const { before, changed, dryRun, removed } = result;
    const after = removed ? undefined : result.object;
    this.log.add({ verb, target, user }, { code: 200, before, object: after, changed, dryRun });
  }

  /** A definition that is going away takes no new objects. */
  #requireServing({ type }: Target): void {
    if (type.custom === undefined) return;
    const crd = this.store.get(CRDS.storage, type.custom.crd);
    if (crd?.metadata.deletionTimestamp === undefined) return;
    const message = "create not allowed while custom resource definition is terminating";
    throw failure({ code: 405, reason: "MethodNotAllowed", message, details: {} });
  }

  #establish(crd: KubeObject): void {
    const now = timestamp(this.#clock.now());
    this.store.put(CRDS.storage, crd.metadata.name, established(crd, now));
  }

  #serve(event: StoreEvent): void {
    const wanted = event.type === "DELETED" ? [] : typesOf(event.object);
    if (event.previous !== undefined) {
      const kept = new Set(wanted.map((type) => type.version));
      for (const old of typesOf(event.previous)) {
        if (!kept.has(old.version)) this.registry.remove(old);
      }
    }
    for (const type of wanted) this.registry.add(type);
  }
}

function openApiAnswer(
  path: string,
  types: Parameters<typeof openApi>[1],
): { contentType: string; body: unknown } | undefined {
  const body = openApi(path, types);
  return body === undefined ? undefined : { contentType: "application/json", body };
}

function plainText(status: number, text: string): ApiResponse {
  const body = { text: () => text, value: () => text };
  return { status, contentType: "text/plain; charset=utf-8", warnings: [], body };
}

function refusal(error: StatusError): ApiResponse {
  if (error.plainText !== undefined) return plainText(error.code, error.plainText);
  const answer = {
    status: error.code,
    contentType: "application/json",
    warnings: error.warnings,
    body: jsonBody(error.status),
  };
  const retryAfterSeconds = error.status.details?.retryAfterSeconds;
  return retryAfterSeconds === undefined ? answer : { ...answer, retryAfterSeconds };
}
