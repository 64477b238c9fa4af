/**
 * Turns a refused response into a `KubeApiError`, whatever its body is: a `metav1.Status` in JSON or
 * protobuf, a proxy's text or HTML, nothing. Pure.
 */
import { errorFromStatus, KubeApiError } from "../runtime/ports/errors.ts";
import { decodeStatus, isProtobuf } from "./protobuf_objects.ts";

/** Of a body that is not a Status, this much is quoted. */
const QUOTED_CHARACTERS_MAX = 300;

export interface RefusedResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

/** `action` completes "Cannot ..."; `nowMs` is needed for a `Retry-After` that is a date. */
export function refusedResponse(
  response: RefusedResponse,
  action: string,
  nowMs: number,
): KubeApiError {
  const error = errorFromStatus(response.status, statusOf(response), action);
  const header = response.headers.get("retry-after");
  const retryAfterMs = error.retryAfterMs ??
    (header === undefined ? undefined : retryAfter(header, nowMs));
  if (retryAfterMs === error.retryAfterMs || retryAfterMs === undefined) return error;
  const { status, reason, message, details } = error;
  return new KubeApiError({ status, reason, message, details, retryAfterMs });
}

/** Milliseconds to wait by a `Retry-After` header (seconds, or an HTTP date); undefined when it is neither. */
export function retryAfter(header: string, nowMs: number): number | undefined {
  const text = header.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = /[A-Za-z]{3}/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

function statusOf(response: RefusedResponse): unknown {
  try {
    if (isProtobuf(response.body)) return decodeStatus(response.body);
  } catch {
    return {};
  }
  const text = new TextDecoder().decode(response.body).trim();
  if (text.startsWith("{")) {
    try {
      const value = JSON.parse(text) as { kind?: unknown };
      if (value.kind === "Status") return value;
    } catch {
      // Quoted below.
    }
  }
  const plain = text.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").trim();
  const quoted = plain.length > QUOTED_CHARACTERS_MAX
    ? `${plain.slice(0, QUOTED_CHARACTERS_MAX)}...`
    : plain;
  return { message: `HTTP status ${response.status}${quoted === "" ? "" : `: ${quoted}`}` };
}
