/**
 * X.509 certificates for tests, made in process: no openssl needed.
 *
 * An {@link Authority} is a self-signed CA that issues server and client certificates (EC P-256,
 * ECDSA with SHA-256). Good for a day; never for anything but tests.
 */
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import { Buffer } from "node:buffer";
import { isIP } from "node:net";

export interface KeyPair {
  /** PEM, PKCS #8. */
  readonly key: string;
  /** PEM, X.509; for a bare key pair the public key (SPKI). */
  readonly cert: string;
}

export interface CertificateRequest {
  commonName: string;
  /** `O` of the subject; Kubernetes reads it as the user's groups. */
  organizations?: readonly string[];
  usage: "server" | "client";
  /** Subject alternative names: DNS names and IP addresses. */
  names?: readonly string[];
  /** Milliseconds from now; negative makes an expired certificate. Default one day. */
  validForMs?: number;
}

export interface Authority extends KeyPair {
  issue(request: CertificateRequest): KeyPair;
}

const DAY_MS = 86_400_000;
const OID = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  keyUsage: "2.5.29.15",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** A CA of its own: nothing it signs is trusted by another authority. */
export function createAuthority(commonName: string): Authority {
  const { key, publicKey, pem } = newKey();
  const subject = distinguishedName(commonName, []);
  const cert = certificate({
    issuer: subject,
    issuerKey: key,
    subject,
    publicKey,
    validForMs: DAY_MS,
    extensions: [
      extension(OID.basicConstraints, sequence(boolean(true))),
      extension(OID.keyUsage, bitString(Uint8Array.of(0b0000_0110), 1)),
    ],
  });
  return {
    key: pem,
    cert,
    issue: (request) => issue(request, subject, key),
  };
}

/** A key pair without a certificate, as service account tokens are signed with. */
export function createKeyPair(): KeyPair {
  const { publicKey, pem } = newKey();
  return { key: pem, cert: publicKey.export({ type: "spki", format: "pem" }).toString() };
}

function issue(request: CertificateRequest, issuer: Uint8Array, issuerKey: KeyObject): KeyPair {
  const { publicKey, pem } = newKey();
  const names = (request.names ?? []).map(alternativeName);
  const usage = request.usage === "server" ? OID.serverAuth : OID.clientAuth;
  const cert = certificate({
    issuer,
    issuerKey,
    subject: distinguishedName(request.commonName, request.organizations ?? []),
    publicKey,
    validForMs: request.validForMs ?? DAY_MS,
    extensions: [
      extension(OID.basicConstraints, sequence()),
      extension(OID.keyUsage, bitString(Uint8Array.of(0b1000_0000), 7)),
      extension(OID.extendedKeyUsage, sequence(objectIdentifier(usage))),
      ...(names.length > 0 ? [extension(OID.subjectAltName, sequence(...names))] : []),
    ],
  });
  return { key: pem, cert };
}

function newKey(): { key: KeyObject; publicKey: KeyObject; pem: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { key: createPrivateKey(pem), publicKey, pem };
}

interface CertificateParts {
  issuer: Uint8Array;
  issuerKey: KeyObject;
  subject: Uint8Array;
  publicKey: KeyObject;
  validForMs: number;
  extensions: readonly Uint8Array[];
}

function certificate(parts: CertificateParts): string {
  const algorithm = sequence(objectIdentifier(OID.ecdsaWithSha256));
  const end = new Date(Date.now() + parts.validForMs);
  // Starts a day before both now and its end, so that clocks may differ and expired ones are possible.
  const start = new Date(Math.min(Date.now(), end.getTime()) - DAY_MS);
  const body = sequence(
    tagged(0xa0, integer(Uint8Array.of(2))),
    integer(Uint8Array.of(1, ...randomBytes(15))),
    algorithm,
    parts.issuer,
    sequence(utcTime(start), utcTime(end)),
    parts.subject,
    new Uint8Array(parts.publicKey.export({ type: "spki", format: "der" })),
    tagged(0xa3, sequence(...parts.extensions)),
  );
  const signature = sign("sha256", body, parts.issuerKey);
  return pemBlock(
    "CERTIFICATE",
    sequence(body, algorithm, bitString(new Uint8Array(signature), 0)),
  );
}

function pemBlock(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** One DER value: tag, definite length, content. */
function tagged(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, content) => sum + content.length, 0);
  const header = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : [tag, 0x82, length >> 8, length & 0xff];
  const out = new Uint8Array(header.length + length);
  out.set(header);
  let offset = header.length;
  for (const content of contents) {
    out.set(content, offset);
    offset += content.length;
  }
  return out;
}

function sequence(...contents: readonly Uint8Array[]): Uint8Array {
  return tagged(0x30, ...contents);
}

function integer(bigEndian: Uint8Array): Uint8Array {
  return tagged(0x02, bigEndian);
}

function boolean(value: boolean): Uint8Array {
  return tagged(0x01, Uint8Array.of(value ? 0xff : 0));
}

function bitString(bytes: Uint8Array, unusedBits: number): Uint8Array {
  return tagged(0x03, Uint8Array.of(unusedBits), bytes);
}

function utf8(text: string): Uint8Array {
  return tagged(0x0c, new TextEncoder().encode(text));
}

/** `YYMMDDHHMMSSZ`. */
function utcTime(date: Date): Uint8Array {
  const text = date.toISOString().replace(/\.\d+Z$/, "Z").replace(/[-:T]/g, "").slice(2);
  return tagged(0x17, new TextEncoder().encode(text));
}

function objectIdentifier(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tagged(0x06, Uint8Array.from(bytes));
}

/** All extensions here are critical but the subject alternative name. */
function extension(oid: string, value: Uint8Array): Uint8Array {
  const critical = oid === OID.subjectAltName ? [] : [boolean(true)];
  return sequence(objectIdentifier(oid), ...critical, tagged(0x04, value));
}

function distinguishedName(commonName: string, organizations: readonly string[]): Uint8Array {
  const attribute = (oid: string, value: string) =>
    tagged(0x31, sequence(objectIdentifier(oid), utf8(value)));
  return sequence(
    ...organizations.map((value) => attribute(OID.organization, value)),
    attribute(OID.commonName, commonName),
  );
}

function alternativeName(name: string): Uint8Array {
  if (isIP(name) === 4) return tagged(0x87, Uint8Array.from(name.split(".").map(Number)));
  if (isIP(name) === 6) return tagged(0x87, ipv6Bytes(name));
  return tagged(0x82, new TextEncoder().encode(name));
}

function ipv6Bytes(address: string): Uint8Array {
  const [head = "", tail] = address.split("::");
  const groups = (text: string) => text === "" ? [] : text.split(":").map((g) => parseInt(g, 16));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const filled = [...before, ...Array(8 - before.length - after.length).fill(0), ...after];
  return Uint8Array.from(filled.flatMap((group: number) => [group >> 8, group & 0xff]));
}
