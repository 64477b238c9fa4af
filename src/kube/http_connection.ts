/**
 * One keep-alive HTTP/1.1 connection: carries one exchange at a time.
 *
 * It tells its pool when it is free again and when it is gone. An exchange it was carrying when the
 * peer closed is either failed or, where sending it again is safe, handed back.
 */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Carrier, Exchange } from "./exchange.ts";
import { isAscii, requestHead, ResponseParser } from "./http1.ts";

/** Bodies up to this size leave in one write with their head. */
const JOINED_BODY_BYTES_MAX = 64 * 1024;

/** Methods that RFC 9110 section 9.2.2 calls idempotent: sending twice has the effect of once. */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

export interface ConnectionOwner {
  /** It may carry another exchange. */
  free(connection: HttpConnection): void;
  /** It is closed; `unsent` must be sent again on another one. */
  gone(connection: HttpConnection, unsent?: Exchange): void;
}

export class HttpConnection implements Carrier {
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  /** The field, as written. */
  readonly #host: string;
  #exchange: Exchange | undefined;
  #parser: ResponseParser | undefined;
  #carried = 0;
  #reusable = false;
  #uploading = false;
  #gone = false;
  #paused = false;
  /** `clock.monotonic()` when it became free; kept by the pool. */
  freeSince = 0;

  constructor(socket: Socket, host: string, owner: ConnectionOwner) {
    this.#socket = socket;
    this.#host = `Host: ${host}\r\n`;
    this.#owner = owner;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error: Error) => this.#lost(error));
    socket.on("end", () => this.#lost(undefined));
    socket.on("close", () => this.#lost(undefined));
    socket.resume();
  }

  start(exchange: Exchange): void {
    this.#exchange = exchange;
    this.#carried++;
    this.#reusable = false;
    this.#parser = new ResponseParser(exchange.request.method, {
      head: (head) => exchange.onHead(head),
      body: (chunk) => exchange.onBody(chunk),
      end: (reusable) => {
        this.#reusable = reusable && !this.#uploading;
        this.#exchange = undefined;
        exchange.onEnd();
      },
    });
    exchange.carriedBy(this);
    this.#write(exchange);
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  /** HTTP/1.1 cannot take back a request: the connection goes with it. */
  abandon(): void {
    this.#exchange = undefined;
    this.close();
  }

  close(): void {
    this.#lost(undefined);
  }

  #receive(chunk: Buffer): void {
    if (this.#gone) return;
    // A server may not speak unasked.
    if (!this.#exchange || !this.#parser) return this.close();
    try {
      this.#parser.push(chunk);
    } catch (error) {
      return this.#lost(error);
    }
    if (this.#exchange || this.#gone) return;
    this.resume();
    if (this.#reusable) this.#owner.free(this);
    else this.close();
  }

  #lost(cause: unknown): void {
    if (this.#gone) return;
    this.#gone = true;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#socket.destroy();
    if (!exchange || exchange.over) return this.#owner.gone(this);
    const again = !this.#parser?.started && this.#carried > 1 && exchange.attempts < 2 &&
      IDEMPOTENT.has(exchange.request.method) &&
      !(exchange.request.body instanceof ReadableStream);
    this.#owner.gone(this, again ? exchange : undefined);
    if (!again) this.#finish(exchange, cause);
  }

  /** The peer's end is also the end of a body that nothing else frames. */
  #finish(exchange: Exchange, cause: unknown): void {
    try {
      if (cause === undefined && this.#parser?.started) this.#parser.close();
      else exchange.interrupted(cause);
    } catch (error) {
      exchange.interrupted(error);
    }
  }

  #write(exchange: Exchange): void {
    const { method, target, headers, body } = exchange.request;
    const head = (framing: string) => requestHead(method, target, headers, this.#host + framing);
    if (body === undefined) {
      const bare = method === "GET" || method === "HEAD";
      this.#socket.write(head(bare ? "" : lengthField(0)), "latin1");
    } else if (typeof body === "string") {
      const text = head(lengthField(Buffer.byteLength(body)));
      // Fields are ASCII in all but odd cases, where UTF-8 would change them.
      if (isAscii(headers)) this.#socket.write(text + body, "utf8");
      else this.#writeBytes(text, Buffer.from(body));
    } else if (body instanceof Uint8Array) {
      this.#writeBytes(head(lengthField(body.length)), body);
    } else {
      this.#socket.write(head("Transfer-Encoding: chunked\r\n"), "latin1");
      this.#uploading = true;
      this.#upload(body).then(() => {
        this.#uploading = false;
      }, (error) => exchange.fail(error));
    }
  }

  #writeBytes(head: string, body: Uint8Array): void {
    const first = Buffer.from(head, "latin1");
    if (body.length <= JOINED_BODY_BYTES_MAX) {
      this.#socket.write(Buffer.concat([first, body]));
    } else {
      this.#socket.write(first);
      this.#socket.write(body);
    }
  }

  async #upload(body: ReadableStream<Uint8Array>): Promise<void> {
    for await (const chunk of body) {
      if (this.#gone) return;
      if (chunk.length === 0) continue;
      this.#socket.write(`${chunk.length.toString(16)}\r\n`, "latin1");
      this.#socket.write(chunk);
      if (!this.#socket.write("\r\n", "latin1")) await this.#drained();
    }
    if (!this.#gone) this.#socket.write("0\r\n\r\n", "latin1");
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#socket.removeListener("drain", done);
        this.#socket.removeListener("close", done);
        resolve();
      };
      this.#socket.once("drain", done);
      this.#socket.once("close", done);
    });
  }
}

function lengthField(bytes: number): string {
  return `Content-Length: ${bytes}\r\n`;
}
