/**
 * The network between one process and the API servers, as a decorator over the RestClient port: it
 * tells the {@link Witness} of each request at the moment it is sent, commits or is answered, and lets
 * the seed's faults happen in between. The simulated server itself never misbehaves.
 */
import type { Clock } from "../../src/lib/clock.ts";
import { KubeApiError, KubeConnectionError } from "../../src/runtime/ports/errors.ts";
import type { JsonValue, RequestOptions, RestClient } from "../../src/runtime/ports/rest.ts";
import type { Fault, Faults } from "./faults.ts";
import { FaultyWatch } from "./faulty_watch.ts";
import type { SimulatedProcess } from "./process.ts";

export type Channel = "api" | "watch" | "lease";

/** Hears of every request. */
export interface Witness {
  sent(channel: Channel, request: RequestOptions): void;
  /** The server has just acted on a write, or refused it: the last record of its write log. */
  reached(channel: Channel, request: RequestOptions): void;
  /** The process got to see that. */
  answered(channel: Channel, request: RequestOptions, answer: JsonValue, sentAt: number): void;
}

export interface Network {
  readonly clock: Clock;
  readonly faults: Faults;
  /** Why no server can be reached now; undefined when one can. */
  readonly down: boolean;
  /** All writes but those of leases are answered with a failure. */
  readonly writesFail: boolean;
  /** The servers have no watch cache, and answer lists in small pages. */
  readonly pagesLists: boolean;
  /** What this process is connected to for that request: the live server, or one that lags. */
  serverFor(process: SimulatedProcess, request: RequestOptions): RestClient;
  readonly watches: Map<FaultyWatch, SimulatedProcess>;
  crash(process: SimulatedProcess, why: Fault): void;
  note(text: () => string): void;
}

const WRITE_FATES = [
  "crash-before-write",
  "crash-after-commit",
  "crash-after-answer",
  "conflict-409",
  "throttled-429",
  "throttled-429-retry-after",
  "error-500-before-commit",
  "error-500-after-commit",
  "timeout-before-commit",
  "timeout-after-commit",
  "reset-before-commit",
  "reset-after-commit",
] as const satisfies readonly Fault[];
const READ_FATES = [
  "read-429-retry-after",
  "read-500",
  "read-reset",
  "read-timeout",
] as const satisfies readonly Fault[];
type Fate = (typeof WRITE_FATES)[number] | (typeof READ_FATES)[number];

const COMMITTING: ReadonlySet<Fault> = new Set([
  "crash-after-commit",
  "crash-after-answer",
  "error-500-after-commit",
  "timeout-after-commit",
  "reset-after-commit",
]);
/** Mostly a moment, at times longer than any deadline of a lease. */
const SLOW_MS = 800;
/** Where all answers are slow: several in a row take longer than a status waits for its work. */
const SLOW_SERVER_MS = 2_000;
const VERY_SLOW_MS = 12_000;
const VERY_SLOW_SHARE = 0.1;
/** Small pages, so that continue tokens are used at all. */
const PAGE_ITEMS = 4;

export class FaultyClient implements RestClient {
  readonly defaultNamespace = "default";
  readonly #network: Network;
  readonly #process: SimulatedProcess;
  readonly #channel: Channel;
  readonly #witness: Witness;

  constructor(
    network: Network,
    options: { process: SimulatedProcess; channel: Channel; witness: Witness },
  ) {
    this.#network = network;
    this.#process = options.process;
    this.#channel = options.channel;
    this.#witness = options.witness;
  }

  // The port's overloads promise more than one implementation signature can say.
  // deno-lint-ignore no-explicit-any
  performRequest(request: RequestOptions): Promise<any> {
    if (this.#process.crashed) return never();
    if (this.#channel !== "watch" && !request.expectStream && !request.expectJson) {
      // The witness reads JSON, whatever form the process wants.
      return this.performRequest({ ...request, expectJson: true }).then((answer) =>
        new TextEncoder().encode(JSON.stringify(answer))
      );
    }
    this.#witness.sent(this.#channel, request);
    const { method } = request;
    if (request.expectStream) return this.#watch(request);
    if (method !== "GET") return this.#write(request);
    return this.#channel === "watch" ? this.#list(request) : this.#get(request);
  }

  async #write(request: RequestOptions): Promise<JsonValue> {
    const { faults, clock } = this.#network;
    const sentAt = clock.monotonic();
    const fate = faults.pick(WRITE_FATES);
    if (fate !== undefined) this.#noteFault(fate, request);
    const [thereMs, backMs] = this.#delays();
    if (thereMs > 0) await this.#pass(thereMs);
    if (fate === "crash-before-write") this.#network.crash(this.#process, fate);
    let answer: Promise<JsonValue>;
    if (fate === undefined || COMMITTING.has(fate)) {
      answer = this.#reach(request);
      // Where a fault takes its place, nobody looks at it.
      answer.catch(() => {});
      this.#witness.reached(this.#channel, request);
      if (fate === "crash-after-commit") this.#network.crash(this.#process, fate);
    } else {
      answer = never();
    }
    const outcome = fate === undefined || fate === "crash-after-answer"
      ? answer
      : failureOf(fate, request);
    if (backMs > 0) await this.#settled(outcome).then(() => this.#pass(backMs));
    if (fate === "crash-after-answer") {
      this.#network.clock.setTimer(0, () => this.#network.crash(this.#process, fate));
    }
    const value = await this.#process.receive(outcome);
    // Who has given up on an answer does not learn from it.
    if (!request.abortSignal?.aborted) {
      this.#witness.answered(this.#channel, request, value, sentAt);
    }
    return value;
  }

  async #get(request: RequestOptions): Promise<JsonValue> {
    const { faults, clock } = this.#network;
    const sentAt = clock.monotonic();
    const fate = faults.pick(READ_FATES);
    if (fate !== undefined) this.#noteFault(fate, request);
    const [thereMs, backMs] = this.#delays();
    if (thereMs > 0) await this.#pass(thereMs);
    const outcome = fate === undefined ? this.#reach(request) : failureOf(fate, request);
    if (backMs > 0) await this.#settled(outcome).then(() => this.#pass(backMs));
    const value = await this.#process.receive(outcome);
    // Who has given up on an answer does not learn from it.
    if (!request.abortSignal?.aborted) {
      this.#witness.answered(this.#channel, request, value, sentAt);
    }
    return value;
  }

  async #list(request: RequestOptions): Promise<unknown> {
    const { faults } = this.#network;
    const query = new URLSearchParams(request.querystring);
    if (query.has("limit") && this.#network.pagesLists) {
      query.set("limit", String(PAGE_ITEMS));
      // Without a watch cache any list is the newest, and paged.
      query.delete("resourceVersion");
      query.delete("resourceVersionMatch");
    }
    const asked = { ...request, querystring: query };
    const goneFault = query.has("continue") ? "continue-410" : "list-410";
    const fate = faults.strikes(goneFault) ? goneFault : faults.pick(READ_FATES);
    if (fate !== undefined) this.#noteFault(fate, request);
    const [thereMs, backMs] = this.#delays();
    if (thereMs > 0) await this.#pass(thereMs);
    const outcome = fate === undefined
      ? this.#reach(asked)
      : fate === "list-410" || fate === "continue-410"
      ? Promise.reject(gone(request))
      : failureOf(fate, request);
    if (backMs > 0) await this.#settled(outcome).then(() => this.#pass(backMs));
    return await this.#process.receive(outcome);
  }

  async #watch(request: RequestOptions): Promise<ReadableStream<Uint8Array>> {
    const { faults, watches, clock } = this.#network;
    const initial = request.querystring?.get("sendInitialEvents") === "true";
    if (initial && faults.strikes("watch-list-refused")) {
      this.#noteFault("watch-list-refused", request);
      return await this.#process.receive(Promise.reject(refused(request)));
    }
    const fate = faults.strikes("watch-open-410") ? "watch-open-410" : faults.pick(READ_FATES);
    if (fate !== undefined) this.#noteFault(fate, request);
    const [thereMs] = this.#delays();
    if (thereMs > 0) await this.#pass(thereMs);
    const outcome = fate === undefined
      ? this.#reach(request) as unknown as Promise<ReadableStream<Uint8Array>>
      : fate === "watch-open-410"
      ? Promise.reject(gone(request))
      : failureOf(fate, request);
    const source = await outcome.catch((error) =>
      this.#process.receive<ReadableStream<Uint8Array>>(Promise.reject(error))
    );
    if (this.#process.crashed) {
      await source.cancel();
      return await never();
    }
    const context = { process: this.#process, clock, faults };
    const watch = new FaultyWatch(source, context, () => watches.delete(watch));
    watches.set(watch, this.#process);
    return await this.#process.receive(Promise.resolve(watch.stream));
  }

  /** The request arrives at the server, which acts at once. */
  #reach(request: RequestOptions): Promise<JsonValue> {
    if (this.#network.down) {
      const { method, path } = request;
      const reason = `Cannot ${method} ${path}: connection refused`;
      return Promise.reject(new KubeConnectionError("connect", reason));
    }
    if (this.#network.writesFail && this.#channel === "api" && request.method !== "GET") {
      return failureOf("error-500-before-commit", request);
    }
    const server = this.#network.serverFor(this.#process, request);
    // Once sent, a request is out of its sender's hands.
    const { abortSignal: _, ...sent } = request;
    return server.performRequest(sent as RequestOptions & { expectJson: true });
  }

  #delays(): [number, number] {
    const { faults } = this.#network;
    const isSlow = faults.slow && faults.active && this.#channel === "api";
    if (!isSlow && !faults.strikes("slow-answer")) return [0, 0];
    faults.fired("slow-answer");
    const isVerySlow = !isSlow && faults.between(0, 1) < VERY_SLOW_SHARE;
    const limit = isSlow ? SLOW_SERVER_MS : isVerySlow ? VERY_SLOW_MS : SLOW_MS;
    const whole = Math.ceil(faults.between(1, limit));
    const there = Math.floor(faults.between(0, whole));
    return [there, whole - there];
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => this.#network.clock.setTimer(ms, resolve));
  }

  #settled(work: Promise<unknown>): Promise<unknown> {
    return work.then(() => {}, () => {});
  }

  #noteFault(fault: Fault, { method, path }: RequestOptions): void {
    this.#network.faults.fired(fault);
    this.#network.note(() => `  fault ${fault}: ${this.#process.name} ${method} ${path}`);
  }
}

function failureOf(fate: Fate, { method, path }: RequestOptions): Promise<never> {
  const what = `Cannot ${method} ${path}`;
  switch (fate) {
    case "conflict-409":
      return refusal(409, "Conflict", `${what}: the object has been modified`);
    case "throttled-429":
      return refusal(429, "TooManyRequests", `${what}: too many requests`);
    case "throttled-429-retry-after":
    case "read-429-retry-after":
      return refusal(429, "TooManyRequests", `${what}: too many requests`, 1_000);
    case "error-500-before-commit":
    case "error-500-after-commit":
    case "read-500":
      return refusal(500, "InternalError", `${what}: etcdserver: leader changed`);
    case "reset-before-commit":
    case "reset-after-commit":
    case "read-reset":
      return Promise.reject(new KubeConnectionError("interrupted", `${what}: connection reset`));
    case "timeout-before-commit":
    case "timeout-after-commit":
    case "read-timeout":
    case "crash-before-write":
    case "crash-after-commit":
    case "crash-after-answer":
      return never();
  }
}

function refusal(status: number, reason: string, message: string, retryAfterMs?: number) {
  const more = retryAfterMs === undefined ? {} : { retryAfterMs };
  return Promise.reject(new KubeApiError({ status, reason, message, ...more }));
}

function gone({ method, path }: RequestOptions): KubeApiError {
  const message = `Cannot ${method} ${path}: too old resource version`;
  return new KubeApiError({ status: 410, reason: "Expired", message });
}

/** As a server without the feature answers. */
function refused({ method, path }: RequestOptions): KubeApiError {
  const message = `Cannot ${method} ${path}: sendInitialEvents is forbidden for watch`;
  return new KubeApiError({ status: 422, reason: "Invalid", message });
}

function never(): Promise<never> {
  return new Promise(() => {});
}
