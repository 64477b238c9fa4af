/**
 * What passes the firewall without a rule of its own, and what does not escape it: replies, loopback,
 * ICMP, established connections, nested cgroups, probes, odd packets.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { RingBuffer } from "../../ffi/mod.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { eventually } from "../support/eventually.ts";
import { Actor, connectNetworks, PEER_V4, PEER_V6, POD_V4, POD_V6 } from "./support/actor.ts";
import {
  codecs,
  Firewall,
  type FirewallOptions,
  fw_direction,
  fw_family,
  fw_protocol,
  fw_verdict,
  FwFlag,
  u32,
  u64,
} from "./support/programs.ts";
import { kernelTest, type Sandbox } from "./support/sandbox.ts";

/** What is blocked is not answered; what is not, as soon as there is a processor for it. */
const SILENCE_S = 0.15;
const PATIENCE_S = 5;
const PORT = 8080;
const FAMILIES = [4, 6] as const;
const podAddress = (family: 4 | 6) => family === 4 ? POD_V4 : POD_V6;
const peerAddress = (family: 4 | 6) => family === 4 ? PEER_V4 : PEER_V6;

interface World extends AsyncDisposable {
  readonly cgroup: string;
  readonly pod: Actor;
  readonly peer: Actor;
  readonly firewall: Firewall;
}

/** A Pod whose firewall blocks everything in both directions, and a peer. */
async function blockedWorld(sandbox: Sandbox, options: FirewallOptions = {}): Promise<World> {
  const stack = new AsyncDisposableStack();
  try {
    const cgroup = sandbox.cgroup("pod");
    const pod = stack.use(await Actor.start({ cgroup, network: true }));
    const peer = stack.use(await Actor.start({ network: true }));
    await connectNetworks(pod, peer);
    const firewall = stack.use(await Firewall.attach(cgroup, options));
    firewall.setAll("block");
    return {
      cgroup,
      pod,
      peer,
      firewall,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** A TCP connection from the peer to the Pod. */
async function connectIn({ peer }: World, family: 4 | 6 = 4, port = PORT, timeout = SILENCE_S) {
  const id = await peer.socket(family, "stream");
  const outcome = await peer.try("connect", { id, host: podAddress(family), port, timeout });
  // Else it is tried again a second later, when the rules may be others.
  if (outcome === "TIMEOUT") await peer.do("close", { id });
  return outcome;
}

kernelTest(
  "replies to what the Pod calls pass a firewall that lets nothing in",
  async (sandbox) => {
    await using world = await blockedWorld(sandbox);
    const { pod, peer, firewall } = world;
    for (const protocol of ["tcp", "udp"] as const) {
      firewall.setRules("egress", protocol, { otherwise: "block", ports: { 53: "allow" } });
    }
    for (const family of FAMILIES) {
      const server = await peer.server(family, "stream", 53, { v6only: true });
      const client = await pod.socket(family, "stream");
      await pod.do("connect", { id: client, host: peerAddress(family), port: 53 });
      await peer.do("accept", { id: server, as_id: "accepted" });
      await peer.do("send", { id: "accepted", data: "hello" });
      assert.deepEqual((await pod.do("receive", { id: client }) as { data: string }).data, "hello");

      const dns = await peer.server(family, "dgram", 53, { v6only: true });
      for (const connected of [true, false]) {
        const id = await pod.socket(family, "dgram");
        const to = { host: peerAddress(family), port: 53 };
        if (connected) await pod.do("connect", { id, ...to });
        await (connected
          ? pod.do("send", { id, data: "question" })
          : pod.do("send_to", { id, data: "question", ...to }));
        const { from } = await peer.do("receive", { id: dns }) as { from: [string, number] };
        await peer.do("send_to", { id: dns, data: "answer", host: from[0], port: from[1] });
        const answer = await pod.do("receive", { id }) as { data: string };
        assert.equal(answer.data, "answer");
      }
      await peer.do("close_all");
    }
  },
);

kernelTest(
  "sockets that share a port by SO_REUSEPORT get the replies to all of them",
  async (sandbox) => {
    await using world = await blockedWorld(sandbox);
    const { pod, peer, firewall } = world;
    firewall.setRules("egress", "udp", { otherwise: "allow" });
    const server = await peer.server(4, "dgram", 53);
    const ids = [
      await pod.server(4, "dgram", 40_000, { reuseport: true }),
      await pod.server(4, "dgram", 40_000, { reuseport: true }),
    ];
    let answers = 0;
    for (const [round, id] of [...ids, ...ids, ...ids].entries()) {
      await pod.do("send_to", { id, data: `q${round}`, host: PEER_V4, port: 53 });
      const { from } = await peer.do("receive", { id: server }) as { from: [string, number] };
      await peer.do("send_to", { id: server, data: "a", host: from[0], port: from[1] });
      await eventually("the answer arrives", async () => {
        for (const id of ids) answers += await pod.do("drain", { id }) as number;
        return answers === round + 1;
      }, { everyMs: 5 });
    }
    // A port and address that nobody asked stay out.
    const other = await peer.socket(4, "dgram");
    await peer.do("send_to", { id: other, data: "x", host: POD_V4, port: 40_000 });
    assert.equal(await pod.try("receive", { id: ids[0], timeout: SILENCE_S }), "TIMEOUT");
  },
);

kernelTest("a UDP server answers its callers though the Pod may call nobody", async (sandbox) => {
  await using world = await blockedWorld(sandbox);
  const { pod, peer, firewall } = world;
  firewall.setRules("ingress", "udp", { otherwise: "block", ports: { [PORT]: "allow" } });
  for (const family of FAMILIES) {
    const server = await pod.server(family, "dgram", PORT);
    const client = await peer.socket(family, "dgram");
    await peer.do("send_to", { id: client, data: "q", host: podAddress(family), port: PORT });
    const { from } = await pod.do("receive", { id: server }) as { from: [string, number] };
    await pod.do("send_to", { id: server, data: "a", host: from[0], port: from[1] });
    assert.equal((await peer.do("receive", { id: client }) as { data: string }).data, "a");
    const stranger = { host: peerAddress(family), port: from[1] + 1 };
    assert.equal(await pod.try("send_to", { id: server, data: "a", ...stranger }), "EPERM");
    await pod.do("close", { id: server });
  }
});

async function loopbackResults(
  pod: Actor,
  host: string,
  port: number,
  timeout = PATIENCE_S,
): Promise<string[]> {
  const family = host.includes(":") ? 6 : 4;
  const results: string[] = [];
  const server = await pod.server(family, "stream", port);
  const client = await pod.socket(family, "stream");
  results.push(await pod.try("connect", { id: client, host, port, timeout }));
  const udpServer = await pod.server(family, "dgram", port);
  const udpClient = await pod.socket(family, "dgram");
  const sent = await pod.try("send_to", { id: udpClient, data: "x", host, port });
  results.push(
    sent === "ok" ? await pod.try("receive", { id: udpServer, timeout }) : sent,
  );
  for (const id of [server, client, udpServer, udpClient]) await pod.do("close", { id });
  return results;
}

kernelTest(
  "loopback passes uncounted, and so do the Pod's own addresses once told",
  async (sandbox) => {
    await using world = await blockedWorld(sandbox);
    const { pod, firewall } = world;
    for (const host of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) {
      assert.deepEqual(await loopbackResults(pod, host, PORT), ["ok", "ok"], host);
    }
    assert.deepEqual(firewall.counts(), {});
    assert.deepEqual(await loopbackResults(pod, POD_V4, PORT), ["EPERM", "EPERM"]);
    const mapped = new Uint32Array(
      new Uint8Array([...Array(10).fill(0), 255, 255, 10, 77, 0, 1]).buffer,
    );
    firewall.setConfig({ self_count: 1, self: mapped });
    assert.deepEqual(await loopbackResults(pod, POD_V4, PORT), ["ok", "ok"]);
  },
);

kernelTest("on the node's network loopback is an address, not an interface", async (sandbox) => {
  await using world = await blockedWorld(sandbox, {
    flags: FwFlag.FW_FLAG_INGRESS | FwFlag.FW_FLAG_HOST_NETWORK,
  });
  const { pod } = world;
  assert.deepEqual(await loopbackResults(pod, "127.0.0.1", PORT), ["ok", "ok"]);
  assert.deepEqual(await loopbackResults(pod, "::1", PORT), ["ok", "ok"]);
  // A neighbour on the node, through the same interface.
  for (const address of [POD_V4, POD_V6]) {
    const results = await loopbackResults(pod, address, PORT, SILENCE_S);
    assert.deepEqual(results, ["TIMEOUT", "TIMEOUT"]);
  }
});

kernelTest("a canary filters loopback like the rest", async (sandbox) => {
  await using world = await blockedWorld(sandbox, {
    flags: FwFlag.FW_FLAG_INGRESS | FwFlag.FW_FLAG_FILTER_LOOPBACK,
  });
  const { pod, firewall } = world;
  firewall.setAll("allow", { [PORT]: "block" });
  const blocked = await loopbackResults(pod, "127.0.0.1", PORT, SILENCE_S);
  assert.deepEqual(blocked, ["TIMEOUT", "TIMEOUT"]);
  assert.deepEqual(await loopbackResults(pod, "127.0.0.1", PORT + 1), ["ok", "ok"]);
});

kernelTest("ICMP passes in both directions, strict or not", async (sandbox) => {
  await using world = await blockedWorld(sandbox, {
    flags: FwFlag.FW_FLAG_INGRESS | FwFlag.FW_FLAG_EGRESS | FwFlag.FW_FLAG_OTHER_BLOCK,
  });
  for (const family of FAMILIES) {
    assert.equal(await world.peer.do("ping", { host: podAddress(family), family }), true);
    assert.equal(await world.pod.do("ping", { host: peerAddress(family), family }), true);
  }
});

kernelTest(
  "an established connection outlives the rule that let it in; a new one does not",
  async (sandbox) => {
    await using world = await blockedWorld(sandbox);
    const { pod, peer, firewall } = world;
    firewall.setAll("allow");
    const server = await pod.server(4, "stream", PORT);
    const client = await peer.socket(4, "stream");
    await peer.do("connect", { id: client, host: POD_V4, port: PORT });
    await pod.do("accept", { id: server, as_id: "accepted" });
    firewall.setAll("block");
    await peer.do("send", { id: client, data: "still" });
    assert.equal((await pod.do("receive", { id: "accepted" }) as { data: string }).data, "still");
    await pod.do("send", { id: "accepted", data: "here" });
    assert.equal((await peer.do("receive", { id: client }) as { data: string }).data, "here");
    assert.equal(await connectIn(world), "TIMEOUT");
  },
);

kernelTest("nested cgroups are covered, made before the firewall or after", async (sandbox) => {
  const before = sandbox.cgroup("pod/before");
  await using world = await blockedWorld(sandbox);
  const after = sandbox.cgroup("pod/after/deep");
  for (const [index, cgroup] of [before, after].entries()) {
    await world.pod.do("join", { cgroup });
    await world.pod.server(4, "stream", PORT + index);
    assert.equal(await connectIn(world, 4, PORT + index), "TIMEOUT", cgroup);
    const client = await world.pod.socket(4, "stream");
    const out = await world.pod.try("connect", { id: client, host: PEER_V4, port: 1, timeout: 1 });
    assert.equal(out, "EPERM", cgroup);
  }
  assert.deepEqual(world.firewall.counts(), {
    "ingress tcp v4 blocked": 2,
    "egress tcp v4 blocked": 2,
  });
});

kernelTest("SYN cookies open no way around the rules", async (sandbox) => {
  await using world = await blockedWorld(sandbox);
  const { pod, firewall } = world;
  await pod.do("write_file", { path: "/proc/sys/net/ipv4/tcp_syncookies", text: "2" });
  firewall.setRules("ingress", "tcp", { otherwise: "block", ports: { [PORT]: "allow" } });
  for (const family of FAMILIES) {
    await pod.server(family, "stream", PORT, { v6only: true });
    await pod.server(family, "stream", PORT + 1, { v6only: true });
    assert.equal(await connectIn(world, family, PORT, PATIENCE_S), "ok");
    assert.equal(await connectIn(world, family, PORT + 1), "TIMEOUT");
  }
  assert.deepEqual(firewall.counts(), {
    "ingress tcp v4 allowed": 1,
    "ingress tcp v4 blocked": 1,
    "ingress tcp v6 allowed": 1,
    "ingress tcp v6 blocked": 1,
  });
});

kernelTest("probes from the node reach declared ports, and nothing else does", async (sandbox) => {
  await using world = await blockedWorld(sandbox);
  const { pod, firewall } = world;
  const address = new Uint8Array([...Array(10).fill(0), 255, 255, 10, 77, 0, 2]);
  for (const port of [PORT, PORT + 1]) await pod.server(6, "stream", port);
  firewall.setConfig({ probe_count: 2, probe_ports: [9999, PORT] });
  assert.equal(await connectIn(world), "TIMEOUT", "the peer is not the node yet");
  firewall.maps.node_addresses.update(address, u32(1));
  assert.equal(await connectIn(world, 4, PORT, PATIENCE_S), "ok");
  assert.equal(await connectIn(world, 4, PORT + 1), "TIMEOUT", "not declared");
  assert.equal(await connectIn(world, 6, PORT), "TIMEOUT", "another address");
  assert.deepEqual(firewall.counts(), {
    "ingress tcp v4 allowed": 1,
    "ingress tcp v4 blocked": 2,
    "ingress tcp v6 blocked": 1,
    probes: 1,
  });
});

kernelTest("IP options, extension headers and fragments change no verdict", async (sandbox) => {
  await using world = await blockedWorld(sandbox);
  const { pod, peer, firewall } = world;
  firewall.setAll("block", { [PORT]: "allow" });
  // IP_OPTIONS (4) with no-operations; IPV6_DSTOPTS (59): 8 bytes of padding.
  const options = { 4: [[0, 4, "01010101"]], 6: [[41, 59, "0000010400000000"]] };
  for (const family of FAMILIES) {
    for (const [port, expected] of [[PORT, "ok"], [PORT + 1, "TIMEOUT"]] as const) {
      const tcp = await pod.server(family, "stream", port, { v6only: true });
      const udp = await pod.server(family, "dgram", port, { v6only: true });
      const to = { host: podAddress(family), port };
      const patience = { timeout: expected === "ok" ? PATIENCE_S : SILENCE_S };
      const client = await peer.socket(family, "stream", { options: options[family] });
      assert.equal(await peer.try("connect", { id: client, ...to, ...patience }), expected);
      const sender = await peer.socket(family, "dgram", { options: options[family] });
      await peer.do("send_to", { id: sender, data: "x", ...to });
      assert.equal(await pod.try("receive", { id: udp, ...patience }), expected);
      const large = await peer.socket(family, "dgram");
      await peer.do("send_to", { id: large, data: "x".repeat(5_000), ...to });
      assert.equal(await pod.try("receive", { id: udp, ...patience }), expected);
      for (const id of [tcp, udp]) await pod.do("close", { id });
    }
  }
  const counts = firewall.counts();
  for (const family of ["v4", "v6"]) {
    for (const verdict of ["allowed", "blocked"]) {
      assert.equal(counts[`ingress tcp ${family} ${verdict}`], 1, `${family} ${verdict}`);
      assert.equal(counts[`ingress udp ${family} ${verdict}`], 2, `${family} ${verdict}`);
    }
  }
});

/** A TCP SYN or a UDP datagram to a port, as a raw socket sends it. */
function crafted(protocol: "tcp" | "udp", port: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  return protocol === "tcp"
    ? `3039${hex(port, 4)}00000001${"0".repeat(8)}5002ffff00000000`
    : `3039${hex(port, 4)}00080000`;
}

kernelTest("strict egress meets what raw sockets craft", async (sandbox) => {
  await using world = await blockedWorld(sandbox, {
    flags: FwFlag.FW_FLAG_EGRESS | FwFlag.FW_FLAG_OTHER_BLOCK,
  });
  const { pod, firewall } = world;
  firewall.setAll("block", { 443: "allow" });
  for (const family of FAMILIES) {
    for (const [protocol, number] of [["tcp", 6], ["udp", 17]] as const) {
      const id = await pod.socket(family, "raw", { protocol: number });
      const to = { id, host: peerAddress(family) };
      assert.equal(await pod.try("send_hex", { ...to, data: crafted(protocol, 443) }), "ok");
      assert.equal(await pod.try("send_hex", { ...to, data: crafted(protocol, 444) }), "EPERM");
    }
    // 253 is for experiments: a protocol without ports.
    const id = await pod.socket(family, "raw", { protocol: 253 });
    assert.equal(await pod.try("send_hex", { id, host: peerAddress(family), data: "00" }), "EPERM");
    const name = `v${family}`;
    const counts = firewall.counts();
    for (const protocol of ["tcp", "udp"]) {
      assert.equal(counts[`egress ${protocol} ${name} allowed`], 1);
      assert.equal(counts[`egress ${protocol} ${name} blocked`], 1);
    }
    assert.equal(counts[`egress other ${name} blocked`], 1);
  }
});

kernelTest(
  "the verdict log tells of blocked and audited connections, up to its rate",
  async (sandbox) => {
    await using world = await blockedWorld(sandbox);
    const { pod, peer, firewall } = world;
    assert.ok(firewall.events);
    using log = new RingBuffer(firewall.events);
    const server = await pod.server(4, "dgram", PORT);
    const send = async () => {
      const id = await peer.socket(4, "dgram");
      await peer.do("send_to", { id, data: "x", host: POD_V4, port: PORT });
      return await peer.do("port_of", { id });
    };
    await send();
    assert.deepEqual(log.consume(), [], "off unless asked for");

    firewall.setConfig({ log_per_second: 3 });
    firewall.setRules("ingress", "udp", { otherwise: "audit" });
    const port = await send();
    await pod.do("receive", { id: server });
    const [event, ...more] = log.consume();
    assert.equal(more.length, 0);
    assert.ok(event);
    const field = (name: Parameters<typeof codecs.event.read>[1]) => codecs.event.read(event, name);
    assert.deepEqual(new Uint32Array(field("remote").map(Number)).at(3), 0x02004d0a);
    assert.deepEqual(
      [field("local_port"), field("remote_port"), field("direction")].flat().map(Number),
      [PORT, port, fw_direction.FW_INGRESS],
    );
    assert.deepEqual(
      [field("protocol"), field("family"), field("verdict")].flat().map(Number),
      [fw_protocol.FW_UDP, fw_family.FW_IPV4, fw_verdict.FW_AUDITED],
    );

    firewall.setConfig({ log_per_second: 3 });
    const begin = systemClock.monotonic();
    for (let count = 0; count < 20; count++) await send();
    const seconds = (systemClock.monotonic() - begin) / 1000;
    const logged = log.consume().length;
    const lost = firewall.counts()["log_lost"] ?? 0;
    assert.equal(logged + lost, 20);
    // Also in the seconds in which it began and ended.
    const most = 3 * (Math.floor(seconds) + 2);
    assert.ok(logged >= 3 && logged <= most, `${logged} in ${seconds} s`);
  },
);

kernelTest(
  "a connection is counted once: repeated SYNs and further datagrams are not",
  async (sandbox) => {
    await using world = await blockedWorld(sandbox);
    const { pod, peer, firewall } = world;
    await pod.server(4, "stream", PORT);
    // Time for one repetition of the SYN, after a second.
    assert.equal(await connectIn(world, 4, PORT, 1.4), "TIMEOUT");
    firewall.setRules("ingress", "udp", { otherwise: "allow" });
    const server = await pod.server(4, "dgram", PORT);
    const client = await peer.socket(4, "dgram");
    for (let count = 0; count < 5; count++) {
      await peer.do("send_to", { id: client, data: "x", host: POD_V4, port: PORT });
      await pod.do("receive", { id: server });
    }
    assert.deepEqual(firewall.counts(), {
      "ingress tcp v4 blocked": 1,
      "ingress udp v4 allowed": 1,
      // Its answers go to a port that the Pod may not call.
      flows_opened: 1,
    });
  },
);

kernelTest(
  "a UDP flow is open to answers for a minute after the last question",
  async (sandbox) => {
    await using world = await blockedWorld(sandbox);
    const { pod, peer, firewall } = world;
    firewall.setRules("egress", "udp", { otherwise: "allow" });
    const server = await peer.server(4, "dgram", 53);
    const client = await pod.server(4, "dgram", 40_000);
    await pod.do("send_to", { id: client, data: "q", host: PEER_V4, port: 53 });
    await peer.do("receive", { id: server });
    const [flow, ...others] = firewall.maps.flows.entries();
    assert.ok(flow);
    assert.equal(others.length, 0);
    const answer = async (timeout: number) => {
      await peer.do("send_to", { id: server, data: "a", host: POD_V4, port: 40_000 });
      return await pod.try("receive", { id: client, timeout });
    };
    const secondsAgo = (seconds: number) => {
      const [uptime = "0"] = Deno.readTextFileSync("/proc/uptime").split(" ");
      const time = BigInt(Math.round((Number(uptime) - seconds) * 1e9));
      firewall.maps.flows.update(flow.key, u64(BigInt.asUintN(64, time)));
    };
    secondsAgo(55);
    assert.equal(await answer(PATIENCE_S), "ok");
    secondsAgo(62);
    assert.equal(await answer(SILENCE_S), "TIMEOUT");
    await pod.do("send_to", { id: client, data: "q", host: PEER_V4, port: 53 });
    assert.equal(await answer(PATIENCE_S), "ok");
  },
);

const IPPROTO_UDPLITE = 136;
const IPPROTO_MPTCP = 262;

kernelTest("UDP-Lite and TCP fast open are not a way around", async (sandbox) => {
  await using world = await blockedWorld(sandbox);
  const { pod, peer, firewall } = world;
  await pod.do("write_file", { path: "/proc/sys/net/ipv4/tcp_fastopen", text: "1" });
  const to = { host: PEER_V4, port: PORT };
  const fast = await pod.socket(4, "stream");
  assert.equal(await pod.try("fast_open", { id: fast, data: "x", ...to }), "EPERM");
  const lite = await pod.socket(4, "dgram", { protocol: IPPROTO_UDPLITE });
  assert.equal(await pod.try("send_to", { id: lite, data: "x", ...to }), "EPERM");
  const server = await pod.server(4, "dgram", PORT, { protocol: IPPROTO_UDPLITE });
  const client = await peer.socket(4, "dgram", { protocol: IPPROTO_UDPLITE });
  await peer.do("send_to", { id: client, data: "x", host: POD_V4, port: PORT });
  assert.equal(await pod.try("receive", { id: server, timeout: SILENCE_S }), "TIMEOUT");
  assert.deepEqual(firewall.counts(), {
    "ingress udp v4 blocked": 1,
    "egress tcp v4 blocked": 1,
    "egress udp v4 blocked": 1,
  });
});

const MPTCP_SWITCH = "/proc/sys/net/mptcp/enabled";

kernelTest("MPTCP is not a way around", async (sandbox) => {
  await using world = await blockedWorld(sandbox);
  const { pod, firewall } = world;
  await pod.do("write_file", { path: MPTCP_SWITCH, text: "1" });
  for (const family of FAMILIES) {
    const id = await pod.socket(family, "stream", { protocol: IPPROTO_MPTCP });
    const host = peerAddress(family);
    assert.equal(await pod.try("connect", { id, host, port: PORT }), "EPERM");
  }
  await pod.server(4, "stream", PORT, { protocol: IPPROTO_MPTCP });
  assert.equal(await connectIn(world), "TIMEOUT");
  assert.deepEqual(firewall.counts(), {
    "ingress tcp v4 blocked": 1,
    "egress tcp v4 blocked": 1,
    "egress tcp v6 blocked": 1,
  });
}, existsSync(MPTCP_SWITCH) ? [] : ["MPTCP"]);
