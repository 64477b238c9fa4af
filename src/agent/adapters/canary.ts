/**
 * Whether a firewall filters here at all: on this process' own cgroup, one port of loopback is
 * blocked, and a connection to it is tried. Other ports and other processes' connections are not touched.
 *
 * Hosts have been seen where programs are attached without an error and never run (a net_cls classid of
 * cgroup version 1 on kernel 5.4).
 */
import {
  AttachType,
  BpfError,
  CgroupDirectory,
  fileExists,
  hasFeature,
  readTextFile,
} from "../../../ffi/mod.ts";
import { FW_LAYOUT } from "../../../bpf/layout.ts";
import { PLANE_BYTES, RULE } from "../../domain/ebpf_programs.ts";
import type { Clock } from "../../lib/clock.ts";
import { type Canary, type CanaryResult, EbpfError } from "../ports.ts";
import { unifiedMounts } from "./cgroups.ts";
import { during, duringAsync, toEbpfError } from "./failures.ts";
import { decodeCounts, encodeSettings, FwFlag } from "./firewall_values.ts";
import { loadObject, openObject, u32 } from "./objects.ts";

const HOST = "127.0.0.1";
/** Loopback answers in far less; a busy machine may not. */
const REFUSED_AFTER_MS = 300;
/** Between looks at whether the connection's first packet was blocked: it is not sent again before a second. */
const LOOK_MS = 10;
const CONNECTED_AFTER_MS = 5_000;
const { fw_direction, fw_protocol } = FW_LAYOUT.enums;
/** The canary is alone, and reports nothing: its maps are as small as the kernel allows. */
const SMALL_MAPS = { flows: 16, node_addresses: 1 } as const;

export class LoopbackCanary implements Canary {
  readonly #clock: Clock;
  readonly #cgroup: string | undefined;

  /** @param options `cgroup`: to attach to; default: the one that this process is in. */
  constructor(options: { clock: Clock; cgroup?: string }) {
    this.#clock = options.clock;
    this.#cgroup = options.cgroup;
  }

  async run(): Promise<CanaryResult> {
    const path = this.#cgroup ?? during("attach", ownCgroup);
    let listener: Deno.TcpListener;
    try {
      listener = Deno.listen({ hostname: HOST, port: 0 });
    } catch (error) {
      throw toEbpfError(error, "attach");
    }
    using _listener = listener;
    const { port } = listener.addr;
    if (!await this.#connects(port, CONNECTED_AFTER_MS)) {
      throw new EbpfError("InternalError", `Cannot test the firewall: loopback does not connect`);
    }
    using directory = during("attach", () => CgroupDirectory.open(path));
    using attached = await attachBlocking(directory, port);
    const count = () => during("map", () => attached.blocked());
    const came = await this.#connects(port, REFUSED_AFTER_MS, () => count() > 0n);
    const blocked = count();
    attached[Symbol.dispose]();
    if (!came && blocked > 0n) return { ok: true };
    if (!came) {
      // A machine so busy that the connection was not tried in time: nothing was seen.
      throw new EbpfError("InternalError", "Cannot test the firewall: no packet came to it");
    }
    const message = `a connection to a blocked port came through on the cgroup ${path}: ` +
      `programs are attached here, and not run`;
    return { ok: false, message };
  }

  /**
   * A connection that comes about later is closed at once.
   * @param isOver nothing comes any more: then it is waited for until one look later only.
   */
  #connects(port: number, withinMs: number, isOver = () => false): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const end = this.#clock.monotonic() + withinMs;
      let over = false;
      let timer: Disposable;
      const settle = (came: boolean) => {
        timer[Symbol.dispose]();
        resolve(came);
      };
      const look = () => {
        try {
          if (over || this.#clock.monotonic() >= end) return resolve(false);
          over = isOver();
          timer = this.#clock.setTimer(LOOK_MS, look);
        } catch (error) {
          reject(error);
        }
      };
      timer = this.#clock.setTimer(LOOK_MS, look);
      Deno.connect({ hostname: HOST, port }).then((connection) => {
        connection.close();
        settle(true);
      }, () => settle(false));
    });
  }
}

interface Attached extends Disposable {
  /** Connections that the program has blocked. */
  blocked(): bigint;
}

async function attachBlocking(directory: CgroupDirectory, port: number): Promise<Attached> {
  using object = during("load", () => openObject("firewall"));
  during("load", () => {
    const flags = FwFlag.FW_FLAG_INGRESS | FwFlag.FW_FLAG_FILTER_LOOPBACK |
      (hasFeature("coarseClock") ? FwFlag.FW_FLAG_COARSE_CLOCK : 0);
    const settings = { podId: directory.id, flags, hashSeed: 0n };
    object.setGlobal("settings", encodeSettings(settings));
    for (const name of object.programNames) object.setAutoload(name, name === "fw_in");
    for (const [map, entries] of Object.entries(SMALL_MAPS)) object.setMaxEntries(map, entries);
    object.setAutocreate("events", false);
  });
  await duringAsync("load", () => loadObject(object));
  using owned = new DisposableStack();
  const counters = owned.use(during("load", () => object.map("counters")));
  during("map", () => {
    using rules = object.map("rules");
    const plane = new Uint8Array(PLANE_BYTES);
    plane[port >> 2] = RULE.block << ((port & 3) * 2);
    rules.update(u32(fw_direction.FW_INGRESS * 2 + fw_protocol.FW_TCP), plane);
  });
  during("attach", () => {
    using program = object.program("fw_in");
    const link = program.attachCgroup(directory, AttachType.CGROUP_INET_INGRESS);
    owned.use(link);
    // At once, where the kernel can; with the descriptor it goes a little later.
    owned.defer(() => detachQuietly(link));
  });
  const held = owned.move();
  return {
    blocked: () => {
      const value = counters.lookup(u32(0));
      if (value === undefined) return 0n;
      return decodeCounts(counters.sumU64(value)).verdicts
        .filter(({ verdict }) => verdict === "blocked")
        .reduce((sum, { count }) => sum + count, 0n);
    },
    [Symbol.dispose]: () => held.dispose(),
  };
}

function detachQuietly(link: { detach(): void }): void {
  try {
    link.detach();
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
  }
}

/**
 * Directory of the cgroup that this process is in, seen through whatever mounts there are: in a container
 * the usual one shows it as the root; the node's own hierarchy, mounted beside, does not say which is ours.
 */
export function ownCgroup(): string {
  const own = /^0::(.*)$/m.exec(readTextFile("/proc/self/cgroup"))?.[1];
  if (own === undefined) {
    throw new EbpfError("UnsupportedCgroups", "Cannot find the own cgroup: not of version 2");
  }
  for (const { path, root } of unifiedMounts()) {
    const inMount = root === "/"
      ? own
      : own === root
      ? ""
      : own.startsWith(`${root}/`)
      ? own.slice(root.length)
      : undefined;
    if (inMount === undefined) continue;
    const found = `${path}${inMount === "/" ? "" : inMount}`;
    if (fileExists(`${found}/cgroup.procs`)) return found;
  }
  throw new EbpfError(
    "CgroupNotFound",
    "Cannot find the own cgroup: no cgroup2 mount shows it (in a container: /sys/fs/cgroup)",
  );
}
