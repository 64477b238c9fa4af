/**
 * The REST port: how everything here talks to a Kubernetes API server.
 *
 * It is the `RestClient` contract of `@cloudydeno/kubernetes-client`, restated as types of our own
 * so that the project neither needs that package nor its registry. Any implementation of that
 * contract is assignable to {@link RestClient}; `src/kube/` holds the default one and
 * `src/simulator/` an in-memory one.
 *
 * Guarantees an implementation gives: a refused request rejects with a `KubeApiError`
 * (`errors.ts`), a request that got no answer with a `KubeConnectionError`, and aborting
 * `abortSignal` ends the request and any stream it returned. It does not retry.
 */

export type JsonPrimitive = string | number | boolean | null | undefined;
export type JsonValue = JsonPrimitive | JsonObject | JsonValue[];
export type JsonObject = { [key: string]: JsonValue };

export type HttpMethod = "GET" | "POST" | "DELETE" | "PUT" | "PATCH" | "OPTIONS" | "HEAD";

export interface RequestOptions {
  method: HttpMethod;
  /** Absolute path without a query, such as `/api/v1/namespaces/x/pods`. */
  path: string;
  querystring?: URLSearchParams;
  abortSignal?: AbortSignal;

  /** Media type of the body; JSON when `bodyJson` is given and this is not. */
  contentType?: string;
  bodyRaw?: Uint8Array;
  bodyJson?: JsonValue;
  bodyStream?: ReadableStream<Uint8Array>;

  accept?: string;
  expectTunnel?: string[];
  expectStream?: boolean;
  expectJson?: boolean;
}

/** A bidirectional connection (exec, attach, port-forward). Nothing here opens one; it is part of the contract. */
export interface KubernetesTunnel {
  readonly transportProtocol: "SPDY" | "WebSocket" | "Opaque";
  readonly subProtocol: string;
  getChannel<R extends boolean, W extends boolean>(opts: {
    spdyHeaders?: Record<string, string | number>;
    streamIndex?: number;
    readable: R;
    writable: W;
  }): Promise<{
    readable: R extends true ? ReadableStream<Uint8Array> : null;
    writable: W extends true ? WritableStream<Uint8Array> : null;
  }>;
  ready(): Promise<void>;
  stop(): Promise<void>;
}

export interface RestClient {
  performRequest(opts: RequestOptions & { expectTunnel: string[] }): Promise<KubernetesTunnel>;
  performRequest(
    opts: RequestOptions & { expectStream: true; expectJson: true },
  ): Promise<ReadableStream<JsonValue>>;
  performRequest(
    opts: RequestOptions & { expectStream: true },
  ): Promise<ReadableStream<Uint8Array>>;
  performRequest(opts: RequestOptions & { expectJson: true }): Promise<JsonValue>;
  performRequest(opts: RequestOptions): Promise<Uint8Array>;
  /** Namespace of the kubeconfig context or of the service account, when known. */
  defaultNamespace?: string;
}
