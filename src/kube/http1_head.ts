/**
 * The head of an HTTP/1.1 response: finds its end, reads what frames the body, and leaves the rest
 * until somebody asks. Pure. Of the heads of an API server hardly a field is ever read.
 */
import type { Buffer } from "node:buffer";

export class HttpFormatError extends Error {
  override readonly name = "HttpFormatError";
}

export interface ResponseHead {
  readonly status: number;
  /** Names in lower case; repeated fields joined by `, `. Taken apart when first asked for. */
  readonly headers: ReadonlyMap<string, string>;
  /** False for `Connection: close` and for HTTP/1.0 without keep-alive. */
  readonly keepAlive: boolean;
}

/** Where the empty line that ends a head begins, at its `\r\n\r\n`; -1 when it is not there yet. */
export function endOfHead(data: Uint8Array): number {
  let at = indexOfByte.call(data, NEWLINE, 3);
  while (at >= 0) {
    const ends = data[at - 1] === RETURN && data[at - 2] === NEWLINE && data[at - 3] === RETURN;
    if (ends) return at - 3;
    at = indexOfByte.call(data, NEWLINE, at + 1);
  }
  return -1;
}

/** Not Buffer's own `indexOf`, which takes thirty times as long to begin. */
export const indexOfByte = Uint8Array.prototype.indexOf;
export const NEWLINE = 10;
const RETURN = 13;

/** The first `end` bytes. As Latin-1 they would take ten times as long; of ASCII both make the same. */
export function textOf(data: Buffer, end: number): string {
  const text = data.toString("utf8", 0, end);
  return text.length === end && !text.includes("\ufffd") ? text : data.toString("latin1", 0, end);
}

/** A response head whose framing is known at once, and the other fields on demand: hardly any is read. */
export class Head implements ResponseHead {
  readonly status: number;
  readonly keepAlive: boolean;
  /** `Transfer-Encoding` and `Content-Length`; undefined where there is none. */
  readonly encoding: string | undefined;
  readonly length: string | undefined;
  readonly #text: string;
  #headers: ReadonlyMap<string, string> | undefined;

  /** @throws {HttpFormatError} */
  constructor(text: string) {
    const start = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: |\r|$)/.exec(text);
    if (!start) throw new HttpFormatError("the answer is not HTTP/1.1");
    this.#text = text;
    this.status = Number(start[2]);
    let connection: string | undefined;
    let length: string | undefined;
    let encoding: string | undefined;
    eachField(text, FRAMING, (name, value) => {
      if (name === "connection") connection = joined(connection, value);
      else if (name === "content-length") length = joined(length, value);
      else if (name === "transfer-encoding") encoding = joined(encoding, value);
    });
    this.length = length;
    this.encoding = encoding;
    const wish = (connection as string | undefined)?.toLowerCase() ?? "";
    this.keepAlive = start[1] === "1" ? !wish.includes("close") : wish.includes("keep-alive");
  }

  get headers(): ReadonlyMap<string, string> {
    if (this.#headers) return this.#headers;
    const headers = new Map<string, string>();
    eachField(this.#text, undefined, (name, value) => {
      headers.set(name, joined(headers.get(name), value));
    });
    this.#headers = headers;
    return headers;
  }
}

/** Lengths of the names of the fields that frame a response: what else is there need not be cut out. */
const FRAMING: ReadonlySet<number> = new Set(
  ["connection", "content-length", "transfer-encoding"].map((name) => name.length),
);

/** Calls `use` for each field below the start line, or only for names of one of `lengths`. */
function eachField(
  text: string,
  lengths: ReadonlySet<number> | undefined,
  use: (name: string, value: string) => void,
): void {
  let at = text.indexOf("\r\n");
  while (at >= 0) {
    const start = at + 2;
    const next = text.indexOf("\r\n", start);
    const end = next < 0 ? text.length : next;
    const colon = text.indexOf(":", start);
    if (colon <= start || colon >= end) throw new HttpFormatError("a header line without a name");
    if (!lengths || lengths.has(colon - start)) {
      use(text.slice(start, colon).toLowerCase(), text.slice(colon + 1, end).trim());
    }
    at = next;
  }
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`;
}
