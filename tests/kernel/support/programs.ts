/**
 * The programs under test, loaded and set up as an agent would, with what tests read from them.
 */
import {
  AttachType,
  type BpfMap,
  BpfObject,
  CgroupDirectory,
  hasFeature,
  type Link,
  type Program,
  StructCodec,
} from "../../../ffi/mod.ts";
import { FW_LAYOUT, SYS_LAYOUT } from "../../../bpf/layout.ts";
import { objectFile } from "../../../scripts/bpf.ts";

const { fw_direction, fw_family, fw_flag, fw_limit, fw_protocol, fw_rule, fw_verdict } =
  FW_LAYOUT.enums;
const { sys_flag, sys_limit } = SYS_LAYOUT.enums;

export const FwFlag = fw_flag;
export const SysFlag = sys_flag;
export const codecs = {
  settings: new StructCodec(FW_LAYOUT.structs.fw_settings),
  config: new StructCodec(FW_LAYOUT.structs.fw_config),
  counters: new StructCodec(FW_LAYOUT.structs.fw_counters),
  event: new StructCodec(FW_LAYOUT.structs.fw_event),
  sysSettings: new StructCodec(SYS_LAYOUT.structs.sys_settings),
  control: new StructCodec(SYS_LAYOUT.structs.sys_control),
  pod: new StructCodec(SYS_LAYOUT.structs.sys_pod),
};

export type Direction = "ingress" | "egress";
export type Protocol = "tcp" | "udp";
export type Rule = "allow" | "block" | "audit";

export const HOOKS = {
  fw_in: AttachType.CGROUP_INET_INGRESS,
  fw_out: AttachType.CGROUP_INET_EGRESS,
  fw_c4: AttachType.CGROUP_INET4_CONNECT,
  fw_c6: AttachType.CGROUP_INET6_CONNECT,
  fw_m4: AttachType.CGROUP_UDP4_SENDMSG,
  fw_m6: AttachType.CGROUP_UDP6_SENDMSG,
} as const;
export type Hook = keyof typeof HOOKS;

export const u32 = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);
export const u64 = (value: bigint) => new Uint8Array(new BigUint64Array([value]).buffer);

/** With the maps that this kernel has: settings must not ask for what the others are for. */
export function openObject(name: string): BpfObject {
  const object = BpfObject.open(Deno.readFileSync(objectFile(name)), name.slice(0, 15));
  const needs = { events: "ringBuffer", starts: "taskStorage" } as const;
  for (const [map, feature] of Object.entries(needs)) {
    if (object.mapNames.includes(map)) object.setAutocreate(map, hasFeature(feature));
  }
  return object;
}

export interface FirewallOptions {
  /** `FwFlag` bits beside what the kernel has; default: both directions. */
  flags?: number;
  object?: "firewall" | "firewall_legacy";
  /** To be taken instead of new ones. */
  maps?: Readonly<Record<string, BpfMap>>;
  /** Default: all. */
  hooks?: readonly Hook[];
}

/** A firewall on one cgroup, with maps of its own. */
export class Firewall implements Disposable {
  readonly maps: Readonly<
    Record<"rules" | "config" | "counters" | "flows" | "node_addresses", BpfMap>
  >;
  readonly events: BpfMap | undefined;
  readonly programs: ReadonlyMap<Hook, Program>;
  readonly links = new Map<Hook, Link>();
  readonly #owned: DisposableStack;

  private constructor(object: BpfObject, owned: DisposableStack, hooks: readonly Hook[]) {
    this.#owned = owned;
    const map = (name: string) => owned.use(object.map(name));
    this.maps = {
      rules: map("rules"),
      config: map("config"),
      counters: map("counters"),
      flows: map("flows"),
      node_addresses: map("node_addresses"),
    };
    this.events = object.mapNames.includes("events") ? map("events") : undefined;
    this.programs = new Map(hooks.map((hook) => [hook, owned.use(object.program(hook))]));
  }

  static async load(cgroup: string, options: FirewallOptions = {}): Promise<Firewall> {
    using object = openObject(options.object ?? "firewall");
    using directory = CgroupDirectory.open(cgroup);
    const hooks = options.hooks ?? (Object.keys(HOOKS) as Hook[]);
    object.checkLayout("fw_", FW_LAYOUT);
    const modern = options.object !== "firewall_legacy";
    const flags = (options.flags ?? fw_flag.FW_FLAG_INGRESS | fw_flag.FW_FLAG_EGRESS) |
      (modern && hasFeature("coarseClock") ? fw_flag.FW_FLAG_COARSE_CLOCK : 0) |
      (modern && hasFeature("ringBuffer") ? fw_flag.FW_FLAG_EVENTS : 0);
    object.setGlobal("settings", codecs.settings.encode({ pod_id: directory.id, flags }));
    for (const hook of Object.keys(HOOKS)) object.setAutoload(hook, hooks.includes(hook as Hook));
    for (const [name, map] of Object.entries(options.maps ?? {})) object.reuse(name, map);
    await object.load();
    const owned = new DisposableStack();
    try {
      return new Firewall(object, owned, hooks);
    } catch (error) {
      owned.dispose();
      throw error;
    }
  }

  static async attach(cgroup: string, options: FirewallOptions = {}): Promise<Firewall> {
    const firewall = await Firewall.load(cgroup, options);
    try {
      using directory = CgroupDirectory.open(cgroup);
      for (const [hook, program] of firewall.programs) {
        const link = program.attachCgroup(directory, HOOKS[hook]);
        firewall.links.set(hook, firewall.#owned.use(link));
      }
    } catch (error) {
      firewall[Symbol.dispose]();
      throw error;
    }
    return firewall;
  }

  /** Sets every port of the plane to `otherwise`, but for those listed. */
  setRules(
    direction: Direction,
    protocol: Protocol,
    rules: { otherwise: Rule; ports?: Readonly<Record<number, Rule>> },
  ): void {
    const plane = new Uint8Array(fw_limit.FW_PLANE_BYTES)
      .fill(code(rules.otherwise) * 0b01010101);
    for (const [port, rule] of Object.entries(rules.ports ?? {})) {
      const at = Number(port) >> 2;
      const shift = (Number(port) & 3) * 2;
      plane[at] = ((plane[at] ?? 0) & ~(3 << shift)) | (code(rule) << shift);
    }
    const key = fw_direction[direction === "ingress" ? "FW_INGRESS" : "FW_EGRESS"] * 2 +
      fw_protocol[protocol === "tcp" ? "FW_TCP" : "FW_UDP"];
    this.maps.rules.update(u32(key), plane);
  }

  /** Both directions and protocols. */
  setAll(otherwise: Rule, ports: Readonly<Record<number, Rule>> = {}): void {
    for (const direction of ["ingress", "egress"] as const) {
      for (const protocol of ["tcp", "udp"] as const) {
        this.setRules(direction, protocol, { otherwise, ports });
      }
    }
  }

  setConfig(values: Parameters<typeof codecs.config.encode>[0]): void {
    this.maps.config.update(u32(0), codecs.config.encode(values));
  }

  /** Sums over CPUs, only what is not zero, such as { "ingress tcp v4 allowed": 1 }. */
  counts(): Record<string, number> {
    const value = this.maps.counters.lookup(u32(0));
    if (value === undefined) throw new Error("Cannot read the counters");
    const sums = new Uint8Array(this.maps.counters.sumU64(value).buffer);
    const verdicts = codecs.counters.read(sums, "verdicts");
    const counts: Record<string, number> = {};
    const names = ["ingress", "egress"].flatMap((direction) =>
      ["tcp", "udp", "other"].flatMap((protocol) =>
        ["v4", "v6"].flatMap((family) =>
          ["allowed", "blocked", "audited"].map((verdict) =>
            `${direction} ${protocol} ${family} ${verdict}`
          )
        )
      )
    );
    verdicts.forEach((count, index) => {
      if (count > 0n) counts[names[index] ?? ""] = Number(count);
    });
    for (const name of ["probes", "log_lost", "flows_opened", "flows_failed"] as const) {
      const count = codecs.counters.readNumber(sums, name);
      if (count > 0) counts[name] = count;
    }
    return counts;
  }

  /** Verdicts alone, as they changed since `before`. */
  changes(before: Record<string, number>): Record<string, number> {
    return Object.fromEntries(
      Object.entries(this.counts())
        .map(([name, count]): [string, number] => [name, count - (before[name] ?? 0)])
        .filter(([name, change]) => change !== 0 && name.includes(" ")),
    );
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

const code = (rule: Rule) =>
  fw_rule[
    ({ allow: "FW_RULE_ALLOW", block: "FW_RULE_BLOCK", audit: "FW_RULE_AUDIT" } as const)[rule]
  ];

export { fw_direction, fw_family, fw_protocol, fw_verdict, sys_limit };
