/** Credentials that need no other program: tokens, passwords and certificates, given or in files. */
import { Buffer } from "node:buffer";
import { createPublicKey, X509Certificate } from "node:crypto";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import type { CachedFile } from "./cached_file.ts";
import type { ClientCertificate, Credentials } from "./connection.ts";

/** A text at hand, or in a file. */
export type Value = string | CachedFile;

export interface FixedCredentialsOptions {
  readonly token?: Value;
  readonly basic?: { readonly username: string; readonly password: string };
  readonly clientCertificate?: { readonly cert: Value; readonly key: Value };
}

function valueOf(value: Value): Promise<string> | string {
  return typeof value === "string" ? value : value.get();
}

export class FixedCredentials implements Credentials {
  readonly #options: FixedCredentialsOptions;
  #checked: ClientCertificate | undefined;

  constructor(options: FixedCredentialsOptions) {
    this.#options = options;
  }

  authorization(): Promise<string | undefined> | string | undefined {
    const { token, basic } = this.#options;
    if (basic) {
      return `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString("base64")}`;
    }
    if (token === undefined) return undefined;
    const value = valueOf(token);
    return typeof value === "string" ? bearer(value) : value.then(bearer);
  }

  async certificate(): Promise<ClientCertificate | undefined> {
    const pair = this.#options.clientCertificate;
    if (!pair) return undefined;
    const found = { cert: await valueOf(pair.cert), key: await valueOf(pair.key) };
    const known = this.#checked?.cert === found.cert && this.#checked.key === found.key;
    if (!known) assertPair(found);
    this.#checked = found;
    return found;
  }

  async refresh(rejected: string | undefined): Promise<boolean> {
    const { token, clientCertificate } = this.#options;
    const files = [token, clientCertificate?.cert, clientCertificate?.key];
    let changed = false;
    for (const file of files) {
      if (typeof file === "object" && await file.reload()) changed = true;
    }
    // Another request may have read the newer token already.
    return changed || (await this.authorization()) !== rejected;
  }
}

function bearer(token: string): string {
  return `Bearer ${token.trim()}`;
}

/** @throws {KubeConnectionError} when the key is not the certificate's. (Old Deno releases crash on such a pair.) */
export function assertPair(pair: ClientCertificate): void {
  let reason = "the key does not belong to the certificate";
  let cause: unknown;
  try {
    const spki = { type: "spki", format: "der" } as const;
    const wanted = new X509Certificate(pair.cert).publicKey.export(spki);
    if (Buffer.compare(createPublicKey(pair.key).export(spki), wanted) === 0) return;
  } catch (error) {
    cause = error;
    reason = `it is not PEM, or of a kind that is not supported: ${(error as Error).message}`;
  }
  throw new KubeConnectionError(
    "credentials",
    `Cannot use the client certificate: ${reason}`,
    cause,
  );
}
