/**
 * The JSON codec: lists, newline-delimited watch frames and single objects into projections.
 *
 * - A frame may be split anywhere by the network, also within a character: bytes are joined up to
 *   the newline (which UTF-8 and JSON never hold inside a value) before they are decoded.
 * - A frame is bounded by {@link FRAME_BYTES_MAX}; what is longer, is not UTF-8, not JSON, of an
 *   unknown type, or whose object `project` refuses, is a `SyntaxError`, never a skipped event.
 * - `metav1.Status` objects of ERROR events become `KubeApiError`s.
 *
 * Of the parsed JSON nothing but what `project` returns stays referenced.
 */
import { errorFromStatus } from "./ports/errors.ts";
import type { Codec, ListPage, StoredObject, WatchDecoder, WatchEvent } from "./ports/codec.ts";
import type { JsonObject } from "./ports/rest.ts";

/** The API server takes objects of up to 3 MiB; JSON escapes and managedFields can multiply that. */
export const FRAME_BYTES_MAX = 16 * 1024 * 1024;

const INITIAL_EVENTS_END = "k8s.io/initial-events-end";
const NEWLINE = 0x0a;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** `project` must take any object of the type that the server may hold, valid or not. */
export function jsonCodec<T extends StoredObject>(project: (json: JsonObject) => T): Codec<T> {
  return {
    listAccept: "application/json",
    watchAccept: "application/json",
    decodeList: (body) => decodeList(body, project),
    watchDecoder: () => new JsonWatchDecoder(project),
    decodeObject: (body) => projected(parseObject([body], body.length, "object"), project),
  };
}

function decodeList<T>(body: Uint8Array, project: (json: JsonObject) => T): ListPage<T> {
  const json = parseObject([body], body.length, "list");
  const { items, metadata } = json;
  if (!Array.isArray(items) && items !== null) {
    throw new SyntaxError("Cannot decode the list: it has no items");
  }
  const { resourceVersion, continue: continueToken } = (metadata ?? {}) as JsonObject;
  if (typeof resourceVersion !== "string" || resourceVersion === "") {
    throw new SyntaxError("Cannot decode the list: it has no resourceVersion");
  }
  return {
    // Go writes an empty slice that was never allocated as null.
    items: (items ?? []).map((item) => projected(item as JsonObject, project)),
    resourceVersion,
    continueToken: typeof continueToken === "string" ? continueToken : "",
  };
}

class JsonWatchDecoder<T extends StoredObject> implements WatchDecoder<T> {
  readonly #project: (json: JsonObject) => T;
  /** The parts, so far, of a frame whose newline has not come. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;

  constructor(project: (json: JsonObject) => T) {
    this.#project = project;
  }

  push(chunk: Uint8Array): WatchEvent<T>[] {
    const events: WatchEvent<T>[] = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, at));
      from = at + 1;
      const parts = this.#parts;
      const bytes = this.#partBytes;
      this.#parts = [];
      this.#partBytes = 0;
      if (!isBlank(parts)) events.push(decodeFrame(parts, bytes, this.#project));
    }
    // A copy: the rest of the frame may take minutes, and the reader may reuse its buffer.
    if (from < chunk.length) this.#keep(chunk.slice(from));
    return events;
  }

  end(): void {
    if (!isBlank(this.#parts)) {
      throw new SyntaxError(
        `Cannot decode the watch: it ended ${this.#partBytes} bytes into an event`,
      );
    }
  }

  #keep(part: Uint8Array): void {
    this.#partBytes += part.length;
    if (this.#partBytes > FRAME_BYTES_MAX) {
      throw new SyntaxError(`Cannot decode the watch: an event of over ${FRAME_BYTES_MAX} bytes`);
    }
    if (part.length > 0) this.#parts.push(part);
  }
}

function isBlank(parts: readonly Uint8Array[]): boolean {
  return parts.every((part) =>
    part.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09)
  );
}

function decodeFrame<T extends StoredObject>(
  parts: readonly Uint8Array[],
  bytes: number,
  project: (json: JsonObject) => T,
): WatchEvent<T> {
  const { type, object } = parseObject(parts, bytes, "watch");
  if (typeof object !== "object" || object === null || Array.isArray(object)) {
    throw new SyntaxError("Cannot decode the watch: an event without an object");
  }
  switch (type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return { type, object: projected(object, project) };
    case "BOOKMARK":
      return decodeBookmark(object);
    case "ERROR":
      return { type, error: errorFromStatus(500, object, "watch") };
    default:
      throw new SyntaxError(`Cannot decode the watch: unknown event type ${JSON.stringify(type)}`);
  }
}

function decodeBookmark<T>(object: JsonObject): WatchEvent<T> {
  const metadata = (object.metadata ?? {}) as JsonObject;
  const annotations = (metadata.annotations ?? {}) as JsonObject;
  if (typeof metadata.resourceVersion !== "string" || metadata.resourceVersion === "") {
    throw new SyntaxError("Cannot decode the watch: a bookmark without a resourceVersion");
  }
  return {
    type: "BOOKMARK",
    resourceVersion: metadata.resourceVersion,
    initialEventsEnd: annotations[INITIAL_EVENTS_END] === "true",
  };
}

function projected<T>(json: JsonObject, project: (json: JsonObject) => T): T {
  try {
    return project(json);
  } catch (cause) {
    const name = ((json?.metadata ?? {}) as JsonObject).name;
    throw new SyntaxError(`Cannot decode the object ${JSON.stringify(name)}: ${cause}`, { cause });
  }
}

function parseObject(parts: readonly Uint8Array[], bytes: number, what: string): JsonObject {
  let json: unknown;
  try {
    json = JSON.parse(utf8.decode(joined(parts, bytes)));
  } catch (cause) {
    const reason = cause instanceof SyntaxError ? "not JSON" : "not UTF-8";
    throw new SyntaxError(`Cannot decode the ${what}: ${reason}`, { cause });
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new SyntaxError(`Cannot decode the ${what}: not a JSON object`);
  }
  return json as JsonObject;
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first) return first;
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
