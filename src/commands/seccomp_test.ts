import assert from "node:assert/strict";
import { EbpfError } from "../agent/ports.ts";
import { SYSCALL_NUMBERS } from "../domain/ebpf_programs.ts";
import type { SyscallsSeen } from "../domain/seccomp_profile.ts";
import { parseCommandLine } from "../ops/options/parse.ts";
import type { RequestOptions, RestClient } from "../runtime/ports/rest.ts";
import { seccomp } from "./seccomp.ts";

const POD = {
  metadata: { namespace: "shop", name: "web-0", uid: "u-1" },
  spec: { nodeName: "node-a" },
  status: {
    qosClass: "Burstable",
    conditions: [{
      type: "podconfig.example.com/EbpfApplied",
      status: "True",
      lastTransitionTime: "2026-01-02T03:04:05Z",
    }],
    containerStatuses: [{ name: "web", state: { running: { startedAt: "2026-01-02T03:05:00Z" } } }],
  },
};

const SEEN: SyscallsSeen = {
  architecture: "x86_64",
  calls: new BigUint64Array(SYSCALL_NUMBERS).fill(3n, 0, 1).fill(5n, 1, 2),
  counted: [...Array(SYSCALL_NUMBERS).keys()],
  compat: 0n,
};

interface Case {
  args?: readonly string[];
  pod?: object | undefined;
  seen?: SyscallsSeen | EbpfError | undefined;
  machine?: string;
  configs?: readonly object[];
}

async function run(given: Case = {}) {
  const { args = ["shop/web-0"], machine = "x86_64" } = given;
  const line = parseCommandLine(["seccomp", ...args], () => undefined);
  assert.ok(line.kind === "run" && line.invocation.command === "seccomp", JSON.stringify(line));
  const [requests, queries]: [RequestOptions[], unknown[]] = [[], []];
  let [output, errors] = ["", ""];
  const rest = {
    performRequest: (request: RequestOptions) => {
      requests.push(request);
      const pod = "pod" in given ? given.pod : POD;
      const items = request.path.endsWith("/pods") ? [pod] : given.configs ?? [];
      return Promise.resolve({ items: items.filter((item) => item !== undefined) });
    },
    [Symbol.dispose]: () => {},
  } as unknown as RestClient & Disposable;
  const code = await seccomp(line.invocation.options, {
    print: (text) => output += text,
    printError: (text) => errors += text,
    readTextFile: () => Promise.reject(new Error("no file")),
    readStandardInput: () => Promise.reject(new Error("no input")),
    hostName: () => "node-a",
    colour: false,
  }, {
    connect: () => Promise.resolve(rest),
    machine,
    read: (query) => {
      queries.push(query);
      const seen = "seen" in given ? given.seen : SEEN;
      return seen instanceof EbpfError ? Promise.reject(seen) : Promise.resolve(seen);
    },
  });
  return { code, output, errors, requests, queries };
}

Deno.test("the profile goes to standard output, and nothing else does", async () => {
  const { code, output, errors, requests, queries } = await run();
  assert.equal(code, 0, errors);
  assert.equal(errors, "");
  const profile = JSON.parse(output);
  assert.equal(profile.defaultAction, "SCMP_ACT_ERRNO");
  assert.ok(profile.syscalls[0].names.includes("read"));
  assert.equal(requests[0]?.path, "/api/v1/namespaces/shop/pods");
  assert.equal(requests[0]?.querystring?.get("fieldSelector"), "metadata.name=web-0");
  assert.deepEqual(queries, [{ podUid: "u-1", qosClass: "Burstable" }]);
});

Deno.test("options reach the profile", async () => {
  const args = [
    "--default-action",
    "log",
    "--allow",
    "ptrace,bpf",
    "--deny",
    "accept4",
    "shop/web-0",
  ];
  const { output } = await run({ args });
  const profile = JSON.parse(output);
  assert.equal(profile.defaultAction, "SCMP_ACT_LOG");
  for (const name of ["ptrace", "bpf"]) assert.ok(profile.syscalls[0].names.includes(name));
});

Deno.test("as text it is what was seen, whether or not a profile can be made", async () => {
  const seen = { ...SEEN, counted: [0, 1] };
  const { code, output } = await run({ args: ["shop/web-0", "-o", "text"], seen });
  assert.equal(code, 0);
  assert.equal(output, "5\twrite\n3\tread\n");
});

Deno.test("a container that may have started unseen is a warning", async () => {
  const containerStatuses = [
    { name: "web", state: { running: { startedAt: "2026-01-02T03:04:04Z" } } },
  ];
  const pod = { ...POD, status: { ...POD.status, containerStatuses } };
  const { code, errors, output } = await run({ pod });
  assert.equal(code, 0);
  assert.match(errors, /^warning: the container web may have started before counting began/);
  JSON.parse(output);
});

Deno.test("so is one that started before its calls were counted, though after the Pod had a firewall", async () => {
  const configs = [{
    metadata: { creationTimestamp: "2026-01-02T04:00:00Z" },
    spec: { ebpfConfig: { syscallMonitoring: { enabled: true } } },
  }];
  const { errors, requests } = await run({ configs });
  assert.match(errors, /^warning: the container web may have started before counting began/);
  const path = "/apis/podconfig.example.com/v1alpha1/namespaces/shop/podconfigmapconfigs";
  assert.equal(requests[1]?.path, path);
});

const FAILURES: readonly (Case & { what: string; says: RegExp })[] = [
  { what: "no such Pod", pod: undefined, says: /there is no Pod shop\/web-0/ },
  { what: "nothing is counted", seen: undefined, says: /are counted on this node .*node-a/ },
  {
    what: "the Pod is elsewhere",
    seen: new EbpfError("CgroupNotFound", "Cannot find the cgroup of the Pod"),
    says: /Cannot find the cgroup of the Pod \(it is on the node node-a; this must run there\)/,
  },
  {
    what: "the maps cannot be read",
    seen: new EbpfError("NotPermitted", "Cannot open the map"),
    says: /^error: Cannot open the map\n$/,
  },
  {
    what: "only a list is counted",
    seen: { ...SEEN, counted: [0] },
    says: /Cannot make a profile of shop\/web-0: only 1 of 512 system calls/,
  },
  { what: "an unknown machine", machine: "riscv64", says: /no system calls are known of riscv64/ },
];

for (const { what, says, ...given } of FAILURES) {
  Deno.test(`no profile: ${what}`, async () => {
    const { code, output, errors } = await run(given);
    assert.equal(code, 1);
    assert.equal(output, "");
    assert.match(errors, says);
  });
}

Deno.test("the Pod is named, once, as NAMESPACE/NAME", () => {
  const problems = (...args: string[]) => {
    const line = parseCommandLine(["seccomp", ...args], () => undefined);
    return line.kind === "problems" ? line.problems.join("\n") : line.kind;
  };
  assert.match(problems(), /no Pod given/);
  assert.match(problems("web-0"), /"web-0" is not NAMESPACE\/NAME/);
  assert.match(problems("a/b/c"), /is not NAMESPACE\/NAME/);
  assert.match(problems("a/b", "c/d"), /unexpected argument "c\/d"/);
  assert.equal(problems("--pod", "a/b"), "run");
  assert.equal(problems("a/b.c"), "run");
});
