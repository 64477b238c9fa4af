/**
 * Firewall rules of several configs on one Pod, folded into two bits a port. Pure.
 *
 * Configs that enforce are merged: a port is blocked if any of them blocks it, else allowed if any
 * lists it as allowed, else blocked if the default of any is to block. Configs that only audit are
 * merged the same way apart: what they would block, and the others do not, passes and is counted. A
 * config speaks only of its directions.
 */
import type { EbpfConfig } from "../api/spec_schema.ts";
import { type Direction, PLANE_BYTES, RULE } from "./ebpf_programs.ts";

export type L4Firewall = NonNullable<EbpfConfig["l4Firewall"]>;
type Plane = Uint8Array<ArrayBuffer>;

/** One direction, for TCP and for UDP alike. */
export interface DirectionRules {
  readonly plane: Plane;
  /** What becomes of a port that no list names, and of protocols without ports. */
  readonly rest: keyof typeof RULE;
}

const NO_RULES: DirectionRules = { plane: new Uint8Array(PLANE_BYTES), rest: "allow" };

/** Rules of that direction; undefined where no config speaks of it. */
export function directionRules(
  configs: readonly L4Firewall[],
  direction: Direction,
): DirectionRules | undefined {
  const concerned = configs.filter(({ directions }) => directions.includes(direction));
  if (concerned.length === 0) return undefined;
  const enforced = merge(concerned.filter(({ mode }) => mode === "enforce"));
  const audited = merge(concerned.filter(({ mode }) => mode === "audit"));
  const ruleOf = (port: number | undefined): keyof typeof RULE => {
    if (blocks(enforced, port)) return "block";
    return blocks(audited, port) ? "audit" : "allow";
  };
  const rest = ruleOf(undefined);
  const plane = new Uint8Array(PLANE_BYTES).fill(RULE[rest] * 0b01010101);
  for (const { listed } of [enforced, audited]) {
    for (const port of listed) setRule(plane, port, RULE[ruleOf(port)]);
  }
  return { plane, rest };
}

/** A direction that is off: nothing is asked. */
export function noRules(): DirectionRules {
  return NO_RULES;
}

/** What the program reads for that port. */
export function ruleOf(plane: Uint8Array, port: number): number {
  return ((plane[port >> 2] as number) >> ((port & 3) * 2)) & 3;
}

interface Merged {
  readonly blocked: ReadonlySet<number>;
  readonly allowed: ReadonlySet<number>;
  readonly listed: ReadonlySet<number>;
  readonly blocksRest: boolean;
}

function merge(configs: readonly L4Firewall[]): Merged {
  const blocked = new Set(configs.flatMap(({ blockedPorts }) => blockedPorts ?? []));
  const allowed = new Set(configs.flatMap(({ allowedPorts }) => allowedPorts ?? []));
  return {
    blocked,
    allowed,
    listed: new Set([...blocked, ...allowed]),
    blocksRest: configs.some(({ defaultAction }) => defaultAction === "block"),
  };
}

/** `port` undefined: one that no list names. */
function blocks({ blocked, allowed, blocksRest }: Merged, port: number | undefined): boolean {
  if (port === undefined) return blocksRest;
  return blocked.has(port) || (blocksRest && !allowed.has(port));
}

function setRule(plane: Plane, port: number, rule: number): void {
  const shift = (port & 3) * 2;
  const byte = plane[port >> 2] as number;
  plane[port >> 2] = (byte & ~(3 << shift)) | (rule << shift);
}
