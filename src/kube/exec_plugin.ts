/**
 * Credentials from a program (client.authentication.k8s.io, v1 and v1beta1).
 *
 * The plug-in runs when there are no credentials, when they have expired, and once when the server
 * refused them, never twice at once. Its output is kept in memory only.
 */
import type { Clock } from "../lib/clock.ts";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import type { ClientCertificate, Credentials } from "./connection.ts";
import { assertPair } from "./credentials.ts";
import { isFields } from "./kubeconfig.ts";
import type { ExecSpec } from "./kubeconfig_context.ts";

/** Refused credentials do not start the plug-in more often than this. */
const RERUN_MS_MIN = 10_000;

export interface PluginRun {
  readonly spec: ExecSpec;
  /** The environment variable KUBERNETES_EXEC_INFO. */
  readonly execInfo: string;
  /** Its input and messages are the user's terminal. */
  readonly interactive: boolean;
}

/** Runs a plug-in; its standard output. Rejects with what went wrong. */
export type RunPlugin = (run: PluginRun) => Promise<string>;

interface Issued {
  readonly token?: string;
  readonly certificate?: ClientCertificate;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

export interface ExecCredentialsOptions {
  readonly spec: ExecSpec;
  /** Context and file, for messages. */
  readonly origin: string;
  readonly clock: Clock;
  /** Whether someone is there to answer: standard input is a terminal. */
  readonly terminal: () => boolean;
  readonly run: RunPlugin;
}

export class ExecCredentials implements Credentials {
  readonly #options: ExecCredentialsOptions;
  #issued: Issued | undefined;
  #ranAt = -Infinity;
  #running: Promise<Issued> | undefined;

  constructor(options: ExecCredentialsOptions) {
    this.#options = options;
  }

  authorization(): Promise<string | undefined> | string | undefined {
    const header = (issued: Issued) =>
      issued.token === undefined ? undefined : `Bearer ${issued.token}`;
    const current = this.#current();
    return current ? header(current) : this.#run().then(header);
  }

  async certificate(): Promise<ClientCertificate | undefined> {
    return (this.#current() ?? await this.#run()).certificate;
  }

  async refresh(rejected: string | undefined): Promise<boolean> {
    if ((await this.authorization()) !== rejected) return true;
    // A certificate may be newer than the connection that was refused: that alone is worth a try.
    const throttled = this.#options.clock.monotonic() - this.#ranAt < RERUN_MS_MIN;
    if (throttled) return this.#issued?.certificate !== undefined;
    await this.#run();
    return true;
  }

  #current(): Issued | undefined {
    const issued = this.#issued;
    return issued && this.#options.clock.now() <= issued.expires ? issued : undefined;
  }

  #run(): Promise<Issued> {
    this.#running ??= this.#runOnce().finally(() => this.#running = undefined);
    return this.#running;
  }

  async #runOnce(): Promise<Issued> {
    const { spec, origin, clock, terminal, run } = this.#options;
    try {
      const interactive = spec.interactive !== "Never" && terminal();
      if (spec.interactive === "Always" && !interactive) {
        throw new Error("it wants to ask questions and standard input is not a terminal");
      }
      const output = await run({ spec, execInfo: execInfo(spec, interactive), interactive });
      const issued = parseExecCredential(output, spec.apiVersion);
      if (issued.certificate) assertPair(issued.certificate);
      this.#issued = issued;
      this.#ranAt = clock.monotonic();
      return issued;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const hint = spec.installHint === "" ? "" : ` (${spec.installHint.trim()})`;
      throw new KubeConnectionError(
        "credentials",
        `Cannot get credentials from exec plug-in ${spec.command} of ${origin}: ${reason}${hint}`,
        error,
      );
    }
  }
}

/** The plug-in's input. */
export function execInfo(spec: ExecSpec, interactive: boolean): string {
  return JSON.stringify({
    kind: "ExecCredential",
    apiVersion: spec.apiVersion,
    spec: { interactive, ...(spec.cluster ? { cluster: spec.cluster } : {}) },
  });
}

/** Reads a plug-in's output. @throws {Error} saying what is wrong with it, without quoting it. */
export function parseExecCredential(output: string, apiVersion: string): Issued {
  let value: unknown;
  try {
    value = JSON.parse(output);
  } catch {
    throw new Error("its output is not JSON");
  }
  if (!isFields(value) || value["kind"] !== "ExecCredential") {
    throw new Error("its output is not an ExecCredential");
  }
  if (value["apiVersion"] !== apiVersion) {
    throw new Error(`it answered in apiVersion ${value["apiVersion"]}, not ${apiVersion}`);
  }
  const status = value["status"];
  if (!isFields(status)) throw new Error("its output has no status");
  const text = (field: string): string | undefined => {
    const found = status[field] ?? "";
    if (typeof found !== "string") throw new Error(`status.${field} is not a string`);
    return found === "" ? undefined : found;
  };
  const token = text("token");
  const cert = text("clientCertificateData");
  const key = text("clientKeyData");
  if ((cert === undefined) !== (key === undefined)) {
    throw new Error("it gave a certificate or a key without the other");
  }
  if (token === undefined && cert === undefined) {
    throw new Error("it gave neither a token nor a certificate");
  }
  const expiry = text("expirationTimestamp");
  const expires = expiry === undefined ? Infinity : Date.parse(expiry);
  if (Number.isNaN(expires)) throw new Error("status.expirationTimestamp is not a time");
  return {
    ...(token === undefined ? {} : { token }),
    ...(cert !== undefined && key !== undefined ? { certificate: { cert, key } } : {}),
    expires,
  };
}
