/**
 * Lists, watches and single objects of built-in types in protobuf: a third of JSON's CPU for Pods, because what
 * the descriptor does not list is passed over without being built.
 *
 * Asks for protobuf and takes JSON when the server (or the simulator) answers so: such bodies go to
 * the `fallback` codec. Whatever the bytes, only `SyntaxError`s are thrown.
 */
import { Buffer } from "node:buffer";
import type {
  Codec,
  ListPage,
  StoredObject,
  WatchDecoder,
  WatchEvent,
} from "../runtime/ports/codec.ts";
import { errorFromStatus } from "../runtime/ports/errors.ts";
import {
  decodeStatus,
  type Envelope,
  isProtobuf,
  listOf,
  openEnvelope,
  watchEvent,
} from "./protobuf_objects.ts";
import { decodeMessage, type Message, type Partial } from "./protobuf_reader.ts";

/** A frame of a watch larger than this is no Kubernetes object (etcd's limit is 1.5 MiB by default). */
const FRAME_BYTES_MAX = 64 * 1024 * 1024;
const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

export interface ProtobufCodecOptions<T extends StoredObject> {
  /** Of one object, with `metadata` in field 1 (`pod`, `configMap`). */
  readonly message: Message;
  /** From the fields that `message` lists, named and nested as in JSON; absent ones are missing. */
  readonly project: (partial: Partial) => T;
  /** Reads bodies in JSON. */
  readonly fallback: Codec<T>;
}

export function protobufCodec<T extends StoredObject>(options: ProtobufCodecOptions<T>): Codec<T> {
  const { message, project, fallback } = options;
  const list = listOf(message);
  return {
    listAccept: `application/vnd.kubernetes.protobuf,${fallback.listAccept}`,
    watchAccept: `application/vnd.kubernetes.protobuf;stream=watch,${fallback.watchAccept}`,
    decodeList(body) {
      if (!isProtobuf(body)) return fallback.decodeList(body);
      return decodeList(openEnvelope(body), list, project);
    },
    watchDecoder: () => new SniffingDecoder(options),
    decodeObject(body) {
      if (!isProtobuf(body)) return fallback.decodeObject(body);
      const partial = decodeMessage(openEnvelope(body).raw, message);
      return guarded(() => project(partial));
    },
  };
}

interface PartialList {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly Partial[];
}

function decodeList<T>(
  envelope: Envelope,
  list: Message,
  project: (partial: Partial) => T,
): ListPage<T> {
  if (!envelope.kind.endsWith("List")) {
    throw new SyntaxError(`Cannot read list: a ${envelope.kind || "nameless kind"} is none`);
  }
  const { metadata, items } = decodeMessage(envelope.raw, list) as PartialList;
  return {
    items: (items ?? []).map((item) => guarded(() => project(item))),
    resourceVersion: metadata?.resourceVersion ?? "",
    continueToken: metadata?.continue ?? "",
  };
}

/** A projection that trips over what is missing: the object is not what it should be. */
function guarded<T>(project: () => T): T {
  try {
    return project();
  } catch (error) {
    throw new SyntaxError("Cannot read object: it lacks what its type requires", { cause: error });
  }
}

/** Chooses by the first byte: a frame's length cannot start with that of `{`. */
class SniffingDecoder<T extends StoredObject> implements WatchDecoder<T> {
  readonly #options: ProtobufCodecOptions<T>;
  #inner: WatchDecoder<T> | undefined;

  constructor(options: ProtobufCodecOptions<T>) {
    this.#options = options;
  }

  push(chunk: Uint8Array): WatchEvent<T>[] {
    if (chunk.length === 0) return [];
    this.#inner ??= (chunk[0] as number) >= 0x09
      ? this.#options.fallback.watchDecoder()
      : new FrameDecoder(this.#options);
    return this.#inner.push(chunk);
  }

  end(): void {
    this.#inner?.end();
  }
}

/** Frames of four bytes of length (big-endian) and a bare `metav1.WatchEvent`. */
class FrameDecoder<T extends StoredObject> implements WatchDecoder<T> {
  readonly #options: ProtobufCodecOptions<T>;
  #parts: Uint8Array[] = [];
  #buffered = 0;
  /** Bytes needed before there is anything to do. */
  #needed = 4;

  constructor(options: ProtobufCodecOptions<T>) {
    this.#options = options;
  }

  push(chunk: Uint8Array): WatchEvent<T>[] {
    this.#parts.push(chunk);
    this.#buffered += chunk.length;
    if (this.#buffered < this.#needed) return [];
    const data = this.#parts.length === 1
      ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      : Buffer.concat(this.#parts);
    const events: WatchEvent<T>[] = [];
    let at = 0;
    this.#needed = 4;
    while (data.length - at >= 4) {
      const length = data.readUInt32BE(at);
      if (length > FRAME_BYTES_MAX) {
        throw new SyntaxError(`Cannot read watch: a frame of ${length} bytes`);
      }
      if (data.length - at - 4 < length) {
        this.#needed = 4 + length;
        break;
      }
      events.push(this.#event(data.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
    const rest = data.subarray(at);
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#buffered = rest.length;
    return events;
  }

  end(): void {
    if (this.#buffered > 0) throw new SyntaxError("Cannot read watch: it ended within a frame");
  }

  #event(frame: Uint8Array): WatchEvent<T> {
    const { type, object } = decodeMessage(frame, watchEvent) as {
      type?: string;
      object?: { raw?: Uint8Array };
    };
    const enveloped = object?.raw ?? new Uint8Array(0);
    switch (type) {
      case "ADDED":
      case "MODIFIED":
      case "DELETED": {
        const partial = decodeMessage(openEnvelope(enveloped).raw, this.#options.message);
        return { type, object: guarded(() => this.#options.project(partial)) };
      }
      case "BOOKMARK": {
        const partial = decodeMessage(openEnvelope(enveloped).raw, this.#options.message);
        const { resourceVersion = "", annotations } = (partial.metadata ?? {}) as {
          resourceVersion?: string;
          annotations?: Record<string, string>;
        };
        const initialEventsEnd = annotations?.[INITIAL_EVENTS_END] === "true";
        return { type, resourceVersion, initialEventsEnd };
      }
      case "ERROR":
        return { type, error: errorFromStatus(500, decodeStatus(enveloped), "watch") };
      default:
        throw new SyntaxError(`Cannot read watch: an event of type ${JSON.stringify(type ?? "")}`);
    }
  }
}
