/**
 * HTTP/1.1 as bytes: builds request heads and takes responses apart. Pure; knows no socket.
 *
 * Guarantees: input may be split anywhere; interim (1xx) responses are skipped; a body is framed by
 * `Transfer-Encoding: chunked`, `Content-Length` or the end of the connection (RFC 9112 section 6);
 * what is not HTTP/1.x is a {@link HttpFormatError}, never a guess. The body bytes of one input come
 * as one view into it, and to that end are moved together in place: a watch sends three chunks an
 * event and many events at a time, and each piece costs its reader a turn. It neither decompresses
 * (nothing asks for that) nor follows redirects.
 */
import { Buffer } from "node:buffer";
import {
  endOfHead,
  Head,
  HttpFormatError,
  indexOfByte,
  NEWLINE,
  type ResponseHead,
  textOf,
} from "./http1_head.ts";

/** Head and trailer sizes past which a peer is not taken seriously. */
const HEAD_BYTES_MAX = 256 * 1024;
const CHUNK_LINE_BYTES_MAX = 8 * 1024;

export interface ResponseSink {
  head(head: ResponseHead): void;
  body(chunk: Uint8Array): void;
  /** The response is complete. `reusable`: another request may follow on this connection. */
  end(reusable: boolean): void;
}

/** A header field as written; names and values must pass {@link assertHeaderSafe}. */
export type HeaderField = readonly [name: string, value: string];

/** @throws {TypeError} when a field could end its line early (or is not Latin-1) and so forge another. */
export function assertHeaderSafe(name: string, value: string): void {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
    throw new TypeError(`Cannot send header ${JSON.stringify(name)}: not a field name`);
  }
  if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) {
    throw new TypeError(
      `Cannot send header ${name}: its value holds characters that are not allowed`,
    );
  }
}

/**
 * Request line and fields, up to the body; `more`: fields of this request alone, each with its CRLF.
 * @throws {TypeError} when `target` is not a plain path and query.
 */
export function requestHead(
  method: string,
  target: string,
  fields: readonly HeaderField[],
  more = "",
): string {
  if (!/^\/[\x21\x22\x24-\x7e]*$/.test(target)) {
    throw new TypeError(`Cannot request ${JSON.stringify(target)}: not an absolute path in ASCII`);
  }
  return `${method} ${target} HTTP/1.1\r\n${more}${linesOf(fields).text}\r\n`;
}

/** Whether UTF-8 and Latin-1 make the same of these fields. */
export function isAscii(fields: readonly HeaderField[]): boolean {
  return linesOf(fields).ascii;
}

interface Lines {
  readonly text: string;
  readonly ascii: boolean;
}

/** A client sends the same few sets of fields again and again, a long token among them. */
const written = new WeakMap<readonly HeaderField[], Lines>();

function linesOf(fields: readonly HeaderField[]): Lines {
  let lines = written.get(fields);
  if (!lines) {
    let text = "";
    for (const [name, value] of fields) text += `${name}: ${value}\r\n`;
    // deno-lint-ignore no-control-regex
    lines = { text, ascii: /^[\x00-\x7f]*$/.test(text) };
    written.set(fields, lines);
  }
  return lines;
}

type State =
  | "head"
  | "length"
  | "until-close"
  | "chunk-size"
  | "chunk-data"
  | "chunk-end"
  | "trailer"
  | "done";

const NOTHING = Buffer.alloc(0);

/** Takes one response apart. Use one instance per request. */
export class ResponseParser {
  #state: State = "head";
  readonly #sink: ResponseSink;
  readonly #bodyless: boolean;
  #pending: Buffer | undefined;
  #line = "";
  #remaining = 0;
  #keepAlive = false;
  #started = false;
  /** The input being taken apart, and where in it the body bytes seen so far are. */
  #input: Buffer = NOTHING;
  #bodyAt = 0;
  #bodyEnd = 0;

  constructor(method: string, sink: ResponseSink) {
    this.#sink = sink;
    this.#bodyless = method === "HEAD";
  }

  /** A byte of the response has come. */
  get started(): boolean {
    return this.#started;
  }

  get done(): boolean {
    return this.#state === "done";
  }

  /** `input` is the parser's to change. @throws {HttpFormatError} */
  push(input: Uint8Array): void {
    if (input.length === 0) return;
    this.#started = true;
    let chunk = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    if (this.#state === "head") {
      const rest = this.#readHeads(chunk);
      if (!rest) return;
      chunk = rest;
    }
    this.#input = chunk;
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === "done") throw new HttpFormatError("bytes after the end of the response");
      at = this.#step(chunk, at);
    }
    this.#deliver();
    this.#input = NOTHING;
  }

  /** The peer will send no more. @throws {HttpFormatError} when the response is incomplete. */
  close(): void {
    if (this.#state === "done") return;
    if (this.#state !== "until-close") {
      throw new HttpFormatError("the connection ended before the response did");
    }
    this.#finish(false);
  }

  /** Reads heads until a final one is complete; the bytes after it, or undefined while it is not. */
  #readHeads(chunk: Buffer): Buffer | undefined {
    let data = this.#pending ? Buffer.concat([this.#pending, chunk]) : chunk;
    this.#pending = undefined;
    for (;;) {
      const end = endOfHead(data);
      if ((end < 0 ? data.length : end) > HEAD_BYTES_MAX) {
        throw new HttpFormatError(`a response head of more than ${HEAD_BYTES_MAX} bytes`);
      }
      if (end < 0) {
        if (data.length > 5 && data.toString("latin1", 0, 5) !== "HTTP/") {
          throw new HttpFormatError("the answer is not HTTP");
        }
        this.#pending = data;
        return undefined;
      }
      const head = new Head(textOf(data, end));
      data = data.subarray(end + 4);
      if (head.status >= 200) {
        this.#begin(head);
        return data;
      }
      if (head.status === 101) throw new HttpFormatError("the server switched protocols unasked");
    }
  }

  #begin(head: Head): void {
    this.#keepAlive = head.keepAlive;
    const { encoding, length } = head;
    if (this.#bodyless || head.status === 204 || head.status === 304) {
      this.#sink.head(head);
      this.#finish(this.#keepAlive);
    } else if (encoding !== undefined) {
      if (encoding.trim().toLowerCase() !== "chunked") {
        throw new HttpFormatError(`unknown transfer encoding ${JSON.stringify(encoding)}`);
      }
      this.#state = "chunk-size";
      this.#sink.head(head);
    } else if (length !== undefined) {
      this.#remaining = parseLength(length);
      this.#state = "length";
      this.#sink.head(head);
      if (this.#remaining === 0) this.#finish(this.#keepAlive);
    } else {
      this.#state = "until-close";
      this.#sink.head(head);
    }
  }

  #step(chunk: Buffer, at: number): number {
    switch (this.#state) {
      case "length":
      case "chunk-data": {
        const end = Math.min(chunk.length, at + this.#remaining);
        this.#remaining -= end - at;
        this.#take(at, end);
        if (this.#remaining === 0) {
          if (this.#state === "length") this.#finish(this.#keepAlive);
          else this.#state = "chunk-end";
        }
        return end;
      }
      case "until-close":
        this.#take(at, chunk.length);
        return chunk.length;
      default:
        return this.#readLine(chunk, at);
    }
  }

  #readLine(chunk: Buffer, at: number): number {
    const newline = indexOfByte.call(chunk, NEWLINE, at);
    const end = newline < 0 ? chunk.length : newline;
    this.#line += chunk.toString("latin1", at, end);
    if (this.#line.length > CHUNK_LINE_BYTES_MAX) {
      throw new HttpFormatError("an endless chunk line");
    }
    if (newline < 0) return end;
    if (!this.#line.endsWith("\r")) throw new HttpFormatError("a chunk line without CRLF");
    const line = this.#line.slice(0, -1);
    this.#line = "";
    if (this.#state === "chunk-size") {
      const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line)?.[1];
      if (size === undefined) {
        throw new HttpFormatError(`not a chunk size: ${JSON.stringify(line.slice(0, 40))}`);
      }
      this.#remaining = parseInt(size, 16);
      this.#state = this.#remaining === 0 ? "trailer" : "chunk-data";
    } else if (this.#state === "chunk-end") {
      if (line !== "") throw new HttpFormatError("a chunk longer than its size");
      this.#state = "chunk-size";
    } else if (line === "") {
      this.#finish(this.#keepAlive);
    }
    return newline + 1;
  }

  #take(at: number, end: number): void {
    if (this.#bodyAt === this.#bodyEnd) this.#bodyAt = this.#bodyEnd = at;
    else this.#input.copyWithin(this.#bodyEnd, at, end);
    this.#bodyEnd += end - at;
  }

  #deliver(): void {
    if (this.#bodyAt === this.#bodyEnd) return;
    const body = this.#input.subarray(this.#bodyAt, this.#bodyEnd);
    this.#bodyAt = this.#bodyEnd = 0;
    this.#sink.body(body);
  }

  #finish(reusable: boolean): void {
    this.#state = "done";
    this.#deliver();
    this.#sink.end(reusable);
  }
}

function parseLength(text: string): number {
  const values = new Set(text.split(",").map((value) => value.trim()));
  const [value] = values;
  if (values.size !== 1 || value === undefined || !/^\d{1,15}$/.test(value)) {
    throw new HttpFormatError(`not a content length: ${JSON.stringify(text)}`);
  }
  return Number(value);
}
