/**
 * Makes another implementation of the `RestClient` contract fit for the runtime: its errors become
 * the port's, and aborting ends its streams.
 *
 * Known by shape: `@cloudydeno/kubernetes-client` (`httpCode`, `status`), and errors that carry a
 * status code and a body in the ways of other clients (`statusCode` or `code`, `body`). What throws
 * nothing on a refusal (that library for a text/plain answer to a stream) cannot be told from data.
 * A client on fetch asks for gzip, and kube-apiserver's compressed answer to a watch with
 * `sendInitialEvents` ends at once there: the runtime takes a second to find that and lists instead.
 */
import { errorFromStatus, KubeApiError, KubeConnectionError } from "../runtime/ports/errors.ts";
import type {
  JsonValue,
  KubernetesTunnel,
  RequestOptions,
  RestClient,
} from "../runtime/ports/rest.ts";

export function adaptRestClient(foreign: RestClient): RestClient {
  return new AdaptedRestClient(foreign);
}

class AdaptedRestClient implements RestClient {
  readonly defaultNamespace?: string;
  readonly #foreign: RestClient;

  constructor(foreign: RestClient) {
    this.#foreign = foreign;
    if (foreign.defaultNamespace !== undefined) this.defaultNamespace = foreign.defaultNamespace;
  }

  performRequest(opts: RequestOptions & { expectTunnel: string[] }): Promise<KubernetesTunnel>;
  performRequest(
    opts: RequestOptions & { expectStream: true; expectJson: true },
  ): Promise<ReadableStream<JsonValue>>;
  performRequest(
    opts: RequestOptions & { expectStream: true },
  ): Promise<ReadableStream<Uint8Array>>;
  performRequest(opts: RequestOptions & { expectJson: true }): Promise<JsonValue>;
  performRequest(opts: RequestOptions): Promise<Uint8Array>;
  async performRequest(opts: RequestOptions): Promise<unknown> {
    const translate = (error: unknown) => translateError(error, opts);
    try {
      const answer: unknown = await this.#foreign.performRequest(opts);
      if (!(answer instanceof ReadableStream)) return answer;
      return guardStream(answer, opts.abortSignal, translate);
    } catch (error) {
      throw translate(error);
    }
  }
}

/**
 * A stream with translated errors that ends when `signal` aborts. (After a garbage collection an
 * aborted fetch no longer ends its body by itself.)
 */
function guardStream<T>(
  source: ReadableStream<T>,
  signal: AbortSignal | undefined,
  translate: (error: unknown) => unknown,
): ReadableStream<T> {
  const reader = source.getReader();
  let onAbort = () => {};
  const over = () => signal?.removeEventListener("abort", onAbort);
  return new ReadableStream<T>({
    start(controller) {
      onAbort = () => {
        over();
        controller.error(signal?.reason);
        reader.cancel(signal?.reason).catch(() => {});
      };
      if (signal?.aborted) onAbort();
      else signal?.addEventListener("abort", onAbort);
    },
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (signal?.aborted) return;
        if (!done) return controller.enqueue(value);
        over();
        controller.close();
      } catch (error) {
        over();
        throw translate(error);
      }
    },
    cancel(reason) {
      over();
      return reader.cancel(reason);
    },
  });
}

/** The port's error for what a foreign client threw. An abort's reason passes as it is. */
export function translateError(
  error: unknown,
  request: Pick<RequestOptions, "method" | "path" | "abortSignal">,
): unknown {
  if (error instanceof KubeApiError || error instanceof KubeConnectionError) return error;
  if (request.abortSignal?.aborted) return request.abortSignal.reason;
  const action = `${request.method} ${request.path}`;
  const shape = (typeof error === "object" && error !== null ? error : {}) as Record<
    string,
    unknown
  >;
  const code = [shape["httpCode"], shape["statusCode"], shape["code"]].find((value) =>
    typeof value === "number" && value >= 300 && value <= 599
  );
  const message = error instanceof Error ? error.message : String(error);
  if (typeof code === "number") {
    const body = statusIn(shape["status"]) ?? statusIn(shape["body"]) ?? { message };
    const translated = errorFromStatus(code, body, action);
    const { status, reason, details, retryAfterMs } = translated;
    return new KubeApiError({
      status,
      reason,
      details,
      message: translated.message,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      cause: error,
    });
  }
  return new KubeConnectionError(failureOf(message), `Cannot ${action}: ${message}`, error);
}

function statusIn(value: unknown): object | undefined {
  if (typeof value === "string") {
    try {
      return statusIn(JSON.parse(value));
    } catch {
      return undefined;
    }
  }
  return typeof value === "object" && value !== null ? value : undefined;
}

/** fetch has one error type for all: only its words tell them apart. */
function failureOf(message: string): "connect" | "timeout" | "tls" | "interrupted" {
  if (/certificate|\btls\b|handshake/i.test(message)) return "tls";
  if (/timed? ?out|deadline/i.test(message)) return "timeout";
  if (/\(Connect\)|connection refused|ECONNREFUSED|dns error|ENOTFOUND|net access/i.test(message)) {
    return "connect";
  }
  return "interrupted";
}
