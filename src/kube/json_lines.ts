/** A byte stream of JSON documents, one a line, as a stream of values. Lines may be split anywhere. */
import type { JsonValue } from "../runtime/ports/rest.ts";

/** Errors with a `SyntaxError` on a line that is not JSON. Cancelling cancels the source. */
export function jsonLines(source: ReadableStream<Uint8Array>): ReadableStream<JsonValue> {
  const reader = source.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  return new ReadableStream<JsonValue>({
    async pull(controller) {
      for (let sent = false; !sent;) {
        const { done, value } = await reader.read();
        const lines = (rest + decode(decoder, value)).split("\n");
        rest = done ? "" : lines.pop() as string;
        for (const line of lines) {
          if (line.trim() === "") continue;
          controller.enqueue(JSON.parse(line) as JsonValue);
          sent = true;
        }
        if (done) return controller.close();
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

function decode(decoder: TextDecoder, chunk: Uint8Array | undefined): string {
  try {
    return decoder.decode(chunk, { stream: chunk !== undefined });
  } catch (error) {
    throw new SyntaxError("Cannot read JSON lines: the stream is not UTF-8", { cause: error });
  }
}
