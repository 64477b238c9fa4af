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
  const node = parts.nodeName || parts.hostName;
  if (parts.podName !== "") {
    const namespace = parts.podNamespace === "" ? "" : `${parts.podNamespace}/`;
    return `${namespace}${parts.podName}_${node}`;
  }
  const suffix = Array.from(
    { length: SUFFIX_CHARACTERS },
    () => randomInt(random, 0, 35).toString(36),
  );
  return `${parts.hostName}_${node}_${suffix.join("")}`;
}

/** Of this machine, as `uname -m` says. */
export function machineArchitecture(): string {
  return Deno.build.arch;
}
