/**
 * get, list and watch: resourceVersion semantics, paging over a consistent snapshot, views.
 */
import type { Clock } from "../lib/clock.ts";
import { type Random, randomInt } from "../lib/random.ts";
import { encode, type KubeObject, storeKey } from "./objects.ts";
import { type ListOptions, parseListOptions } from "./options.ts";
import {
  jsonBody,
  listBody,
  type ListMeta,
  metadataOnly,
  objectBody,
  representationOf,
  tableOf,
} from "./represent.ts";
import type { ApiRequest, ApiResponse, Target } from "./request.ts";
import { badRequest, expired, failure, notFound, versionTooLarge } from "./status.ts";
import { lowerBound, type Snapshot, type Store } from "./store.ts";
import { negotiateView, type View } from "./table.ts";
import type { ServedType } from "./types.ts";
import { type ReadView, tooOld, type WatchHub, type WatchOptions } from "./watch_hub.ts";

/** Without `timeoutSeconds` a watch lasts between one and two times this. */
const WATCH_MIN_MS = 1_800_000;

const CONTINUE_EXPIRED =
  "The provided continue parameter is too old to display a consistent list " +
  "result. You can start a new list without the continue parameter, or use the continue token in this " +
  "response to retrieve the remainder of the results. Continuing with the provided token results in an " +
  "inconsistent list - objects that were created, modified, or deleted between the time the first " +
  "chunk was returned and now may show up in the list.";
const LIST_EXPIRED = "The resourceVersion for the provided list is too old.";
const MEDIA_TYPES = "406: Not Acceptable\n\nAvailable representations: application/json, " +
  "application/json;stream=watch";

export class Reads {
  readonly #store: Store;
  readonly #hub: WatchHub;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(options: { store: Store; hub: WatchHub; clock: Clock; random: Random }) {
    this.#store = options.store;
    this.#hub = options.hub;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  get(target: Target, request: ApiRequest, view: ReadView): ApiResponse {
    const shown = this.viewOf(request);
    const { type, namespace, name } = target;
    const { revision } = parseListOptions(request.query, type, "get");
    const current = this.#revision(view);
    if (revision > current) throw versionTooLarge(revision, current);
    const object = this.#at(type, current).objects.get(storeKey(namespace, name));
    if (object === undefined) throw notFound(type, name);
    return this.answer(200, type, object, request, shown);
  }

  /** One object, as the client wants to see it. */
  answer(
    status: number,
    type: ServedType,
    object: KubeObject,
    request: ApiRequest,
    shown: View = this.viewOf(request),
  ): ApiResponse {
    const represented = representationOf(type).of(object);
    const body = shown === "whole"
      ? objectBody(represented)
      : shown === "metadata"
      ? jsonBody(metadataOnly(represented))
      : jsonBody(tableOf(type, [represented], metaOf(represented), {
        query: request.query,
        now: this.#clock.now(),
        withDefinitions: true,
      }));
    return { status, contentType: "application/json", warnings: [], body };
  }

  /** @throws {StatusError} 406 */
  viewOf(request: ApiRequest): View {
    if (request.accept === undefined || request.accept === "application/json") return "whole";
    const shown = negotiateView(request.accept);
    if (shown !== undefined) return shown;
    throw failure({ code: 406, reason: "NotAcceptable", message: MEDIA_TYPES, details: {} });
  }

  list(target: Target, request: ApiRequest, view: ReadView): ApiResponse {
    const shown = this.viewOf(request);
    const options = parseListOptions(request.query, target.type, "list");
    const { metadata, items } = this.page(target, options, view);
    return this.listAnswer(target.type, metadata, items, request, shown);
  }

  listAnswer(
    type: ServedType,
    metadata: ListMeta,
    items: readonly KubeObject[],
    request: ApiRequest,
    shown: View,
  ): ApiResponse {
    const answer = { status: 200, contentType: "application/json", warnings: [] };
    if (shown === "whole") return { ...answer, body: listBody(type, metadata, items) };
    if (shown === "metadata") {
      const head = { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata };
      return { ...answer, body: jsonBody({ ...head, items: items.map(metadataOnly) }) };
    }
    const table = { query: request.query, now: this.#clock.now(), withDefinitions: true };
    return { ...answer, body: jsonBody(tableOf(type, items, metadata, table)) };
  }

  /** Objects of one page, in the version asked for. */
  page(
    target: Target,
    options: ListOptions,
    view: ReadView,
  ): { metadata: ListMeta; items: KubeObject[] } {
    const { snapshot, start, limit } = this.#startOf(target.type, options, view);
    const prefix = target.namespace === "" ? "" : `${target.namespace}/`;
    const represent = representationOf(target.type);
    const items: KubeObject[] = [];
    const from = options.onlyName !== undefined && prefix !== ""
      ? storeKey(target.namespace, options.onlyName)
      : prefix;
    let more = false;
    let index = lowerBound(snapshot.keys, start > from ? start : from);
    for (; index < snapshot.keys.length; index++) {
      const key = snapshot.keys[index] as string;
      if (!key.startsWith(prefix)) break;
      if (from !== prefix && key !== from) break;
      const object = represent.of(snapshot.objects.get(key) as KubeObject);
      if (!options.selects(object)) continue;
      more = limit > 0 && items.length === limit;
      if (more) break;
      items.push(object);
    }
    const metadata: ListMeta = {
      ...(target.type.custom === undefined || more ? {} : { continue: "" }),
      resourceVersion: String(snapshot.revision),
      ...(more ? this.#continuation(snapshot, items, prefix, index, options) : {}),
    };
    return { metadata, items };
  }

  #continuation(
    snapshot: Snapshot,
    items: readonly KubeObject[],
    prefix: string,
    next: number,
    options: ListOptions,
  ): Partial<ListMeta> {
    const last = items[items.length - 1] as KubeObject;
    const key = storeKey(last.metadata.namespace ?? "", last.metadata.name);
    const token = encodeContinue(snapshot.revision, `${key}\0`);
    if (options.hasSelector) return { continue: token };
    // "0" is the character after "/": the end of the namespace's keys.
    const end = prefix === ""
      ? snapshot.keys.length
      : lowerBound(snapshot.keys, `${prefix.slice(0, -1)}0`);
    return { continue: token, remainingItemCount: end - next };
  }

  #startOf(
    type: ServedType,
    options: ListOptions,
    view: ReadView,
  ): { snapshot: Snapshot; start: string; limit: number } {
    const current = this.#revision(view);
    const { revision, limit } = options;
    if (options.continueToken !== "") {
      if (options.resourceVersion !== "" && options.resourceVersion !== "0") {
        throw badRequest("specifying resource version is not allowed when using continue");
      }
      const token = decodeContinue(options.continueToken);
      const asked = token.revision < 0 ? current : token.revision;
      const snapshot = this.#store.collection(type.storage).at(asked);
      if (snapshot === undefined) throw expired(CONTINUE_EXPIRED, encodeContinue(-1, token.start));
      return { snapshot, start: token.start, limit };
    }
    if (revision > current) throw versionTooLarge(revision, current);
    const exact = options.match === "Exact" ||
      (options.match === "" && limit > 0 && revision > 0);
    if (exact) {
      const snapshot = this.#store.collection(type.storage).at(revision);
      if (snapshot === undefined) throw expired(LIST_EXPIRED);
      return { snapshot, start: "", limit };
    }
    // A list at "0" comes from the watch cache, which does not page.
    const unpaged = options.resourceVersion === "0";
    return { snapshot: this.#at(type, current), start: "", limit: unpaged ? 0 : limit };
  }

  watch(target: Target, request: ApiRequest, view: ReadView): ApiResponse {
    const shown = this.viewOf(request);
    const { type } = target;
    const options = parseListOptions(request.query, type, "watch");
    const current = this.#revision(view);
    const { revision, sendInitialEvents } = options;
    if (sendInitialEvents && revision > current) throw versionTooLarge(revision, current);
    const fromState = sendInitialEvents ?? revision === 0;
    const represent = representationOf(type);
    const selects = (object: KubeObject) =>
      (target.namespace === "" || object.metadata.namespace === target.namespace) &&
      (!options.hasSelector || options.selects(represent.of(object)));
    const after = fromState || revision === 0 ? current : revision;
    const stream = this.#hub.open({
      storage: type.storage,
      view,
      representation: represent,
      kind: type.kind,
      selects,
      after,
      initial: fromState ? this.#initial(type, current, selects) : undefined,
      bookmarks: options.bookmarks,
      timeoutMs: this.#timeout(options.timeoutSeconds),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
      ...(shown === "whole" ? {} : { encodeLine: this.#encoder(type, request, shown) }),
    });
    return { status: 200, contentType: "application/json", warnings: [], stream };
  }

  #timeout(seconds: number | undefined): number {
    if (seconds !== undefined) return seconds * 1000;
    return WATCH_MIN_MS + randomInt(this.#random, 0, WATCH_MIN_MS);
  }

  #initial(
    type: ServedType,
    revision: number,
    selects: (object: KubeObject) => boolean,
  ): KubeObject[] {
    const { keys, objects } = this.#at(type, revision);
    return keys.map((key) => objects.get(key) as KubeObject).filter(selects);
  }

  #encoder(
    type: ServedType,
    request: ApiRequest,
    shown: View,
  ): WatchOptions["encodeLine"] & object {
    let first = true;
    return (event, object) => {
      const table = { query: request.query, now: this.#clock.now(), withDefinitions: first };
      first = false;
      const value = shown === "metadata"
        ? metadataOnly(object)
        : tableOf(type, [object], metaOf(object), table);
      return encode(`${JSON.stringify({ type: event, object: value })}\n`);
    };
  }

  #revision(view: ReadView): number {
    return view.frozenAt ?? this.#store.revision;
  }

  /** The state that a view at `revision` shows; what history has lost is refused. */
  #at(type: ServedType, revision: number): Snapshot {
    const collection = this.#store.collection(type.storage);
    const snapshot = collection.at(revision);
    if (snapshot === undefined) throw tooOld(revision, collection.floor);
    return snapshot;
  }
}

function metaOf(object: KubeObject): ListMeta {
  return { resourceVersion: object.metadata.resourceVersion ?? "" };
}

const TOKEN_VERSION = "meta.k8s.io/v1";

function encodeContinue(revision: number, start: string): string {
  const token = JSON.stringify({ v: TOKEN_VERSION, rv: revision, start });
  return btoa(token).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function decodeContinue(token: string): { revision: number; start: string } {
  try {
    const text = atob(token.replaceAll("-", "+").replaceAll("_", "/"));
    if (text[0] !== "{") {
      throw new SyntaxError(`invalid character '${text[0] ?? ""}' looking for beginning of value`);
    }
    const parsed = JSON.parse(text);
    if (parsed.v !== TOKEN_VERSION || !Number.isInteger(parsed.rv) || parsed.rv === 0) {
      throw new RangeError("incorrect encoded start resourceVersion");
    }
    return { revision: parsed.rv, start: String(parsed.start) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw badRequest(`invalid continue token: continue key is not valid: ${why}`);
  }
}
