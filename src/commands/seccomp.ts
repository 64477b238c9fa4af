/**
 * `seccomp`: a seccomp profile of the system calls that this node's counter saw of a Pod.
 *
 * The Pod is looked up by a list of one, which is what the agent may do: the command runs in its Pod.
 */
import { EbpfError } from "../agent/ports.ts";
import { PODS } from "../agent/resources.ts";
import { projectNodePod } from "../domain/node_pod.ts";
import { unseenStarts } from "../domain/seccomp_pod.ts";
import {
  type DefaultAction,
  seccompProfile,
  seenCalls,
  type SyscallsSeen,
} from "../domain/seccomp_profile.ts";
import { ARCHITECTURES } from "../domain/syscall_table.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import type { JsonObject, RestClient } from "../runtime/ports/rest.ts";
import { resourcePath } from "../runtime/resource.ts";
import type { readSyscalls } from "./seccomp_node.ts";
import { EXIT, type Shell } from "./shell.ts";

export interface SeccompPorts {
  readonly connect: () => Promise<RestClient & Disposable>;
  readonly read: typeof readSyscalls;
  /** This node's, as `uname -m` says it. */
  readonly machine: string;
}

export async function seccomp(
  options: OptionsOf<"seccomp">,
  shell: Shell,
  { connect, read, machine }: SeccompPorts,
): Promise<number> {
  const fail = (problems: readonly string[]) => {
    for (const problem of problems) shell.printError(`error: ${problem}\n`);
    return EXIT.failed;
  };
  const architecture = ARCHITECTURES.find((one) => one === machine);
  if (architecture === undefined) return fail([`no system calls are known of ${machine}`]);
  const object = await findPod(options.pod, connect);
  if (object === undefined) return fail([`there is no Pod ${options.pod}`]);
  const pod = projectNodePod(object);
  const where = pod.nodeName === "" ? "it is on no node" : `it is on the node ${pod.nodeName}`;
  let seen: SyscallsSeen | undefined;
  try {
    const { bpffsFolder, cgroupRoot } = options;
    const { uid: podUid, configHash, qosClass } = pod;
    const query = { podUid, qosClass, ...(configHash === "" ? {} : { configHash }) };
    seen = await read(query, { bpffsFolder, cgroupRoot, architecture });
  } catch (error) {
    if (!(error instanceof EbpfError)) throw error;
    const hint = error.reason === "CgroupNotFound" ? ` (${where}; this must run there)` : "";
    return fail([`${error.message}${hint}`]);
  }
  if (seen === undefined) {
    return fail([
      `no system calls of ${options.pod} are counted on this node (${where}): it takes a ` +
      "PodConfigMapConfig with syscallMonitoring, and an agent",
    ]);
  }
  for (const name of unseenStarts(object)) {
    shell.printError(
      `warning: the container ${name} may have started before counting began: what it calls ` +
        "only at its start may be missing until it is started again in this Pod\n",
    );
  }
  return print(seen, options, shell);
}

function print(seen: SyscallsSeen, options: OptionsOf<"seccomp">, shell: Shell): number {
  const { allow, deny, skipUnknown } = options;
  if (options.output === "text") {
    shell.print(seenCalls(seen).map(({ name, count }) => `${count}\t${name}\n`).join(""));
    return EXIT.ok;
  }
  const defaultAction = options.defaultAction as DefaultAction;
  const result = seccompProfile(seen, { defaultAction, allow, deny, skipUnknown });
  if ("problems" in result) {
    for (const problem of result.problems) {
      shell.printError(`error: Cannot make a profile of ${options.pod}: ${problem}\n`);
    }
    return EXIT.failed;
  }
  for (const warning of result.warnings) shell.printError(`warning: ${warning}\n`);
  shell.print(`${JSON.stringify(result.profile, undefined, 2)}\n`);
  return EXIT.ok;
}

async function findPod(
  key: string,
  connect: SeccompPorts["connect"],
): Promise<JsonObject | undefined> {
  const [namespace = "", name = ""] = key.split("/");
  using rest = await connect();
  const list = await rest.performRequest({
    method: "GET",
    path: resourcePath(PODS, { namespace }),
    querystring: new URLSearchParams({ fieldSelector: `metadata.name=${name}`, limit: "1" }),
    expectJson: true,
  }) as { items?: JsonObject[] };
  return list.items?.[0];
}
