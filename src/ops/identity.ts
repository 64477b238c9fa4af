/**
 * Names of a process: unique among replicas, and telling on which node it runs. Pure.
 */
import { type Random, randomInt } from "../lib/random.ts";

export interface IdentityParts {
  /** Empty outside of a Pod. */
  readonly podName: string;
  readonly podNamespace: string;
  /** Empty: the host is the node. */
  readonly nodeName: string;
  readonly hostName: string;
}

const SUFFIX_CHARACTERS = 8;

/**
 * `<namespace>/<pod>_<node>`, or `<host>_<node>_<random>` outside of a Pod, where one host may run
 * several processes. A Pod whose container restarts keeps its name and so takes its own lease back.
 * `_` is in no name of a Pod or node.
 */
export function processIdentity(parts: IdentityParts, random: Random): string {
  // Of a host name only: it may hold what separates the parts.
  const hostName = parts.hostName.replaceAll("_", "-");
  const node = parts.nodeName || hostName;
  if (parts.podName !== "") {
    const namespace = parts.podNamespace === "" ? "" : `${parts.podNamespace}/`;
    return `${namespace}${parts.podName}_${node}`;
  }
  const suffix = Array.from(
    { length: SUFFIX_CHARACTERS },
    () => randomInt(random, 0, 35).toString(36),
  );
  return `${hostName}_${node}_${suffix.join("")}`;
}

/** client-go's usual identity is a host name, `_` and one of these. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The node that an identity of this program names; undefined where it names none, as another program's. */
export function nodeOfIdentity(identity: string): string | undefined {
  const [first, node, suffix, ...more] = identity.split("_");
  const fits = suffix === undefined || suffix.length === SUFFIX_CHARACTERS;
  if (!first || !node || !fits || more.length > 0 || UUID.test(node)) return undefined;
  return node;
}

/** Of this machine, as `uname -m` says. */
export function machineArchitecture(): string {
  return Deno.build.arch;
}
