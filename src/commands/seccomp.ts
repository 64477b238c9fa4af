/**
 * `seccomp`: a seccomp profile of the system calls that this node's counter saw of a Pod.
 *
 * The Pod is looked up by a list of one, and configs by a list: what the agent may do, in whose Pod the
 * command runs.
 */
import { EbpfError } from "../agent/ports.ts";
import { PCMCS, PODS } from "../agent/resources.ts";
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
import { resourcePath, type ResourceType } from "../runtime/resource.ts";
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
  const { pod: object, configs } = await lookUp(options.pod, connect);
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
  for (const name of unseenStarts(object, configs)) {
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

/** The Pod, and the PodConfigMapConfigs of its namespace. */
async function lookUp(
  key: string,
  connect: SeccompPorts["connect"],
): Promise<{ pod: JsonObject | undefined; configs: readonly JsonObject[] }> {
  const [namespace = "", name = ""] = key.split("/");
  using rest = await connect();
  const list = async (type: ResourceType, query: Record<string, string>) => {
    const path = resourcePath(type, { namespace });
    const querystring = new URLSearchParams(query);
    const answer = await rest.performRequest({
      method: "GET",
      path,
      querystring,
      expectJson: true,
    }) as { items?: readonly JsonObject[] };
    return answer.items ?? [];
  };
  const [pod] = await list(PODS, { fieldSelector: `metadata.name=${name}`, limit: "1" });
  return { pod, configs: pod === undefined ? [] : await list(PCMCS, {}) };
}
