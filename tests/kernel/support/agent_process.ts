/**
 * A process with the agent's adapters, to be killed at any time:
 *
 *     agent_process.ts FOLDER CGROUP_ROOT POD_UID OPEN_PORT    firewall and counter of one Pod, then waits
 *     agent_process.ts canary                                  the canary, its result as JSON
 *
 * It says one line when it is done, and ends with its standard input.
 */
import { firewallSpec, makePorts, plane, syscallSpec } from "./agent.ts";

async function applyAll(): Promise<string> {
  const [folder = "", root = "", podUid = "", port = ""] = Deno.args;
  const { loader, cgroups } = makePorts(folder, { cgroupRoot: root });
  await loader.open();
  const cgroup = await cgroups.resolve({ podUid });
  const rules = { ingress: plane("block", { [Number(port)]: "allow" }) };
  await loader.firewall.apply(podUid, cgroup, firewallSpec(rules));
  await loader.syscalls.put(cgroup, syscallSpec(["getppid"]));
  return "ready";
}

async function canary(): Promise<string> {
  const bytes = new Uint8Array(1);
  // Once the test has moved this process into a cgroup.
  await Deno.stdin.read(bytes);
  return JSON.stringify(await makePorts("").canary.run());
}

/** What to run. */
export const AGENT_PROCESS = new URL(import.meta.url).pathname;

if (import.meta.main) {
  const line = Deno.args[0] === "canary" ? await canary() : await applyAll();
  await Deno.stdout.write(new TextEncoder().encode(`${line}\n`));
  await Deno.stdin.read(new Uint8Array(1));
}
