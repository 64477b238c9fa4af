/**
 * One request under a deadline. It settles at the latest when the deadline passes or the caller
 * aborts, whatever the transport does, and leaves no timer and no listener behind.
 *
 * A write that was abandoned may still be carried out by the server.
 */
import type { Clock } from "../lib/clock.ts";
import { KubeConnectionError } from "./ports/errors.ts";
import type { JsonValue, RequestOptions, RestClient } from "./ports/rest.ts";

export interface Deadline {
  readonly rest: RestClient;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** @throws {KubeConnectionError} with failure `timeout`; the reason of `signal`; what the port throws. */
export function requestJson(request: RequestOptions, deadline: Deadline): Promise<JsonValue> {
  return within(
    deadline,
    request,
    // Async, so that a port that throws at once rejects like any other.
    async (abortSignal) =>
      await deadline.rest.performRequest({
        ...request,
        accept: "application/json",
        abortSignal,
        expectJson: true,
      }),
  );
}

/** As {@link requestJson}, for a body in whatever form `request.accept` asks for. */
export function requestBytes(request: RequestOptions, deadline: Deadline): Promise<Uint8Array> {
  return within(
    deadline,
    request,
    async (abortSignal) => await deadline.rest.performRequest({ ...request, abortSignal }),
  );
}

function within<R>(
  { clock, timeoutMs, signal }: Deadline,
  request: RequestOptions,
  perform: (abortSignal: AbortSignal) => Promise<R>,
): Promise<R> {
  const controller = new AbortController();
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const end = () => {
      timer[Symbol.dispose]();
      signal?.removeEventListener("abort", onAbort);
    };
    const abandon = (reason: unknown) => {
      end();
      // Rejecting first: whatever the transport throws on the abort no longer matters.
      reject(reason);
      controller.abort(reason);
    };
    const onAbort = () => abandon(signal?.reason);
    const timer = clock.setTimer(timeoutMs, () => abandon(timeoutError(request, timeoutMs)));
    signal?.addEventListener("abort", onAbort, { once: true });
    perform(controller.signal).then((value) => {
      end();
      resolve(value);
    }, (error) => {
      end();
      reject(error);
    });
  });
}

function timeoutError(request: RequestOptions, timeoutMs: number): KubeConnectionError {
  const reason = `no answer within ${timeoutMs / 1000} s`;
  return new KubeConnectionError("timeout", `Cannot ${request.method} ${request.path}: ${reason}`);
}
