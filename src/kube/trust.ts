/**
 * Exclusive trust for older Deno releases.
 *
 * Up to some release before 2.9, node:tls under Deno *adds* `ca` to the platform's roots and checks
 * the chain against both. There, this module checks once more, after the handshake, that the
 * presented chain leads to one of the given certificates. Newer releases (known by
 * `getPeerX509Certificate`) trust `ca` alone, as Node does; for them it does nothing.
 *
 * It checks signatures only: names, dates and key usages were checked in the handshake.
 */
import { Buffer } from "node:buffer";
import { type KeyObject, verify, X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { KubeConnectionError } from "../runtime/ports/errors.ts";

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
const CHAIN_LENGTH_MAX = 8;

/** The certificates of a PEM bundle. */
export function certificatesIn(pem: string): string[] {
  return pem.match(PEM) ?? [];
}

interface PeerCertificate {
  readonly raw?: Uint8Array;
  readonly issuerCertificate?: PeerCertificate;
}

/**
 * @param roots in PEM; undefined where the platform's count. (Even then: old releases call a
 *   connection secure before its handshake, and what lacks a certificate never passed one.)
 * @throws {KubeConnectionError} of kind `tls` when the peer's chain does not lead to `roots`.
 */
export function assertSignedBy(socket: TLSSocket, roots: string | undefined, peer: string): void {
  if (typeof socket.getPeerX509Certificate === "function") return;
  const chain: Uint8Array[] = [];
  let certificate: PeerCertificate | undefined = socket.getPeerCertificate(true) as PeerCertificate;
  while (certificate?.raw && chain.length < CHAIN_LENGTH_MAX) {
    chain.push(certificate.raw);
    const issuer: PeerCertificate | undefined = certificate.issuerCertificate;
    certificate = issuer === certificate ? undefined : issuer;
  }
  const trusted = roots === undefined ? chain.length > 0 : leadsTo(chain, roots);
  if (trusted) return;
  socket.destroy();
  throw new KubeConnectionError(
    "tls",
    chain.length === 0
      ? `Cannot trust ${peer}: the TLS handshake failed`
      : `Cannot trust ${peer}: its certificate was not issued by the configured certificate authority`,
  );
}

const NO_BYTES = new Uint8Array(0);

/** The last chain that led to its roots: the next connection to that server presents the same. */
let proven: { readonly roots: string; readonly chain: readonly Uint8Array[] } | undefined;

function leadsTo(chain: readonly Uint8Array[], roots: string): boolean {
  const known = proven?.roots === roots && proven.chain.length === chain.length &&
    chain.every((der, index) => Buffer.compare(der, proven?.chain[index] ?? NO_BYTES) === 0);
  if (known && chain.length > 0) return true;
  const trusted = chainLeadsTo(chain, certificatesIn(roots));
  if (trusted) proven = { roots, chain };
  return trusted;
}

/** Whether each certificate (DER, leaf first) is signed by the next, up to one signed by, or being, a root. */
export function chainLeadsTo(chain: readonly Uint8Array[], roots: readonly string[]): boolean {
  const trusted = roots.map((pem) => new X509Certificate(pem).publicKey);
  const trustedDer = roots.map((pem) =>
    Buffer.from(pem.replace(/-----[^-]+-----|\s+/g, ""), "base64")
  );
  for (const [index, der] of chain.entries()) {
    if (trustedDer.some((root) => root.equals(der))) return true;
    if (trusted.some((key) => isSignedBy(der, key))) return true;
    const next = chain[index + 1];
    if (!next || !isSignedBy(der, new X509Certificate(Buffer.from(next)).publicKey)) return false;
  }
  return false;
}

/** Signature algorithms in public certificates, by the DER bytes of their object identifier. */
const HASH_BY_OID: Readonly<Record<string, string | null>> = {
  "2a864886f70d01010b": "sha256", // sha256WithRSAEncryption
  "2a864886f70d01010c": "sha384",
  "2a864886f70d01010d": "sha512",
  "2a8648ce3d040302": "sha256", // ecdsa-with-SHA256
  "2a8648ce3d040303": "sha384",
  "2a8648ce3d040304": "sha512",
  "2b6570": null, // Ed25519 hashes by itself
};

function isSignedBy(der: Uint8Array, key: KeyObject): boolean {
  try {
    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm { oid, ... }, signature BIT STRING }
    const outer = element(der, 0);
    const signed = element(der, outer.start);
    const algorithm = element(der, signed.end);
    const oid = element(der, algorithm.start);
    const signature = element(der, algorithm.end);
    const hash = HASH_BY_OID[Buffer.from(der.subarray(oid.start, oid.end)).toString("hex")];
    if (hash === undefined) return false;
    // The first byte of a BIT STRING counts unused bits: none in a signature.
    const bytes = der.subarray(signature.start + 1, signature.end);
    return verify(hash, der.subarray(outer.start, signed.end), key, bytes);
  } catch {
    // Another kind of key than the signature needs, or not DER: not signed by it.
    return false;
  }
}

/** Bounds of the contents of the DER element at `at`. @throws {RangeError} past the end. */
function element(der: Uint8Array, at: number): { start: number; end: number } {
  const first = der[at + 1] ?? 0x80;
  let start = at + 2;
  let length = first;
  if (first >= 0x80) {
    length = 0;
    const bytes = first & 0x7f;
    if (bytes < 1 || bytes > 3) throw new RangeError("a DER length that is not supported");
    for (let i = 0; i < bytes; i++) length = length * 256 + (der[start + i] ?? 0);
    start += bytes;
  }
  if (start + length > der.length) throw new RangeError("a DER element past the end");
  return { start, end: start + length };
}
