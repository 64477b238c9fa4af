/**
 * The committed objects: every one passes the verifier in every configuration, has the layout that
 * TypeScript was generated from, and is what the sources compile to.
 */
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { Btf, hasFeature, kernelVersion } from "../../ffi/mod.ts";
import { FIREWALL_OBJECT, SYSCALLS_OBJECT } from "../../bpf/embedded.ts";
import { FW_LAYOUT, SYS_LAYOUT } from "../../bpf/layout.ts";
import {
  buildObjects,
  clangVersion,
  layoutsOf,
  objectFile,
  OBJECTS,
  VERSION_FILE,
} from "../../scripts/bpf.ts";
import { codecs, Firewall, FwFlag, openObject, SysFlag } from "./support/programs.ts";
import { kernelTest } from "./support/sandbox.ts";

Deno.test("the generated layout is the objects' own", () => {
  assert.deepEqual(layoutsOf(), { fw_: FW_LAYOUT, sys_: SYS_LAYOUT });
});

const builtBy = Deno.readTextFileSync(VERSION_FILE).trim();
const here = await clangVersion();
const same = here === builtBy;

Deno.test({
  name: `the sources compile to the committed objects${same ? "" : ` [needs ${builtBy}]`}`,
  ignore: !same,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "bpf-objects-" });
    try {
      await buildObjects(folder);
      for (const { name } of OBJECTS) {
        const committed = Deno.readFileSync(objectFile(name));
        assert.ok(equal(committed, Deno.readFileSync(objectFile(name, folder))), name);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

const equal = (a: Uint8Array, b: Uint8Array) =>
  a.length === b.length && a.every((byte, index) => byte === b[index]);

Deno.test("the compiled program carries the committed objects", () => {
  const unpacked = (text: string) => new Uint8Array(gunzipSync(Uint8Array.fromBase64(text)));
  assert.ok(equal(unpacked(FIREWALL_OBJECT), Deno.readFileSync(objectFile("firewall"))));
  assert.ok(equal(unpacked(SYSCALLS_OBJECT), Deno.readFileSync(objectFile("syscalls"))));
});

Deno.test("objects name no folder of the machine that built them, and their licence", () => {
  for (const { name } of OBJECTS) {
    const text = new TextDecoder("latin1").decode(Deno.readFileSync(objectFile(name)));
    assert.ok(!/\/(home|root|work|tmp)\//.test(text), name);
    assert.ok(text.includes("Dual BSD/GPL"), name);
  }
});

Deno.test("global variables are found where the object has them", () => {
  const globals = new Btf(Deno.readFileSync(objectFile("syscalls"))).globals();
  assert.deepEqual(globals["control"], {
    section: ".bss",
    offset: 0,
    size: SYS_LAYOUT.structs.sys_control.size,
  });
  assert.equal(globals["settings"]?.section, ".rodata");
});

/** All combinations of the bits. */
function combinations(bits: readonly number[]): number[] {
  return bits.reduce((sets, bit) => [...sets, ...sets.map((set) => set | bit)], [0]);
}

const FW_BITS = [FwFlag.FW_FLAG_INGRESS, FwFlag.FW_FLAG_EGRESS, FwFlag.FW_FLAG_HOST_NETWORK];
const FW_MODERN = [FwFlag.FW_FLAG_OTHER_BLOCK];
const SYS_BITS = [SysFlag.SYS_FLAG_PIDS, SysFlag.SYS_FLAG_LATENCY, SysFlag.SYS_FLAG_ERRORS];

kernelTest("every object passes the verifier, whatever is turned on", async (_sandbox, t) => {
  for (const { name, legacy, prefix } of OBJECTS) {
    const bits = prefix === "fw_"
      ? [...FW_BITS, ...(legacy ? [] : FW_MODERN)]
      : [...SYS_BITS, ...(hasFeature("taskStorage") && !legacy ? [SysFlag.SYS_FLAG_TASK_BTF] : [])];
    await t.step(name, async () => {
      for (const flags of combinations(bits)) {
        using object = openObject(name);
        const modern = !legacy && hasFeature("coarseClock")
          ? FwFlag.FW_FLAG_COARSE_CLOCK | FwFlag.FW_FLAG_EVENTS
          : 0;
        const settings = prefix === "fw_"
          ? codecs.settings.encode({ flags: flags | modern })
          : codecs.sysSettings.encode({ flags });
        object.setGlobal("settings", settings);
        if (prefix === "sys_") object.setMaxEntries("counts", 4);
        await object.load();
        const programs = object.programNames.map((program) => object.program(program));
        try {
          assert.equal(programs.length, prefix === "fw_" ? 6 : 4);
          // The verifier gives up at a million; loading a firewall for each Pod must stay cheap.
          for (const program of programs) {
            const { verifiedInstructions } = program.info();
            assert.ok(verifiedInstructions < 40_000, `${program.name}: ${verifiedInstructions}`);
          }
        } finally {
          for (const program of programs) program[Symbol.dispose]();
        }
      }
    });
  }
});

/** Bytes as hex: what `testRun` wants begins with an Ethernet header. */
interface Packet {
  what: string;
  ip: 4 | 6;
  hex: string;
  /** Whether it goes out where all ports but 443, and protocols without ports, are blocked. */
  passes: boolean;
}

const zeros = (bytes: number) => "00".repeat(bytes);
const ports = (port: number) => `3039${port.toString(16).padStart(4, "0")}`;
const tcp = (port: number) => `${ports(port)}00000001${zeros(4)}5002ffff${zeros(4)}`;
const udp = (port: number) => `${ports(port)}00080000`;
const v4 = (protocol: number, rest: string, options = "", fragment = "0000") =>
  `4${(5 + options.length / 8).toString(16)}00${zeros(4)}${fragment}40` +
  `${protocol.toString(16).padStart(2, "0")}0000${"0a4d0001"}${"0a4d0002"}${options}${rest}`;
const v6 = (next: number, rest: string) =>
  `60${zeros(5)}${next.toString(16).padStart(2, "0")}40${zeros(31)}02${rest}`;
const extension = (next: number) => `${next.toString(16).padStart(2, "0")}00${zeros(6)}`;
const HOP_BY_HOP = 0;
const FRAGMENT = 44;
const DESTINATION = 60;

const PACKETS: readonly Packet[] = [
  { what: "TCP to an open port", ip: 4, hex: v4(6, tcp(443)), passes: true },
  { what: "TCP to a closed port", ip: 4, hex: v4(6, tcp(444)), passes: false },
  { what: "UDP to an open port", ip: 4, hex: v4(17, udp(443)), passes: true },
  { what: "UDP to a closed port", ip: 4, hex: v4(17, udp(444)), passes: false },
  { what: "IP options before an open port", ip: 4, hex: v4(6, tcp(443), zeros(8)), passes: true },
  { what: "the most IP options", ip: 4, hex: v4(6, tcp(444), zeros(40)), passes: false },
  { what: "a first fragment", ip: 4, hex: v4(17, udp(444), "", "2000"), passes: false },
  { what: "a later fragment", ip: 4, hex: v4(17, zeros(8), "", "0010"), passes: true },
  { what: "TCP cut before its sequence", ip: 4, hex: v4(6, ports(443)), passes: false },
  { what: "no transport header at all", ip: 4, hex: v4(6, ""), passes: false },
  { what: "a header length that lies", ip: 4, hex: `41${v4(6, tcp(443)).slice(2)}`, passes: false },
  { what: "ICMP", ip: 4, hex: v4(1, zeros(8)), passes: true },
  { what: "SCTP", ip: 4, hex: v4(132, zeros(12)), passes: false },
  { what: "TCP to an open port", ip: 6, hex: v6(6, tcp(443)), passes: true },
  { what: "TCP to a closed port", ip: 6, hex: v6(6, tcp(444)), passes: false },
  {
    what: "extension headers before an open port",
    ip: 6,
    hex: v6(HOP_BY_HOP, extension(DESTINATION) + extension(6) + tcp(443)),
    passes: true,
  },
  {
    what: "extension headers before a closed port",
    ip: 6,
    hex: v6(HOP_BY_HOP, extension(DESTINATION) + extension(6) + tcp(444)),
    passes: false,
  },
  {
    what: "a later fragment",
    ip: 6,
    hex: v6(FRAGMENT, `1100001000000001${zeros(8)}`),
    passes: true,
  },
  {
    what: "a chain of extensions without an end",
    ip: 6,
    hex: v6(DESTINATION, extension(DESTINATION).repeat(9) + tcp(443)),
    passes: false,
  },
  { what: "an extension cut off", ip: 6, hex: v6(DESTINATION, "06"), passes: false },
  { what: "ICMPv6", ip: 6, hex: v6(58, zeros(8)), passes: true },
];

/** Before (6.12 is too old, 6.18 is not) a test run shows a cgroup program no byte of the packet. */
function testRunsSeePackets(): boolean {
  const { major, minor } = kernelVersion();
  return major > 6 || (major === 6 && minor >= 18);
}

kernelTest(
  "crafted packets get the verdict of their port, whatever is around it",
  async (sandbox, t) => {
    using firewall = await Firewall.load(sandbox.cgroup("pod"), {
      flags: FwFlag.FW_FLAG_EGRESS | FwFlag.FW_FLAG_OTHER_BLOCK | FwFlag.FW_FLAG_FILTER_LOOPBACK,
    });
    firewall.setAll("block", { 443: "allow" });
    const [ingress, egress] = [firewall.programs.get("fw_in"), firewall.programs.get("fw_out")];
    assert.ok(ingress && egress);
    for (const { what, ip, hex, passes } of PACKETS) {
      await t.step(`IPv${ip}: ${what}`, () => {
        const packet = Uint8Array.fromHex(`${zeros(12)}${ip === 4 ? "0800" : "86dd"}${hex}`);
        assert.equal(egress.testRun(packet).returned, passes ? 1 : 0);
        // Not for a socket of the Pod that could be asked about.
        assert.equal(ingress.testRun(packet).returned, 1);
      });
    }
  },
  testRunsSeePackets() ? [] : ["Linux 6.18"],
);
