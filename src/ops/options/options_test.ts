import assert from "node:assert/strict";
import { type Command, COMMANDS, GROUPS, type OptionDefinition } from "./definition.ts";
import { helpText, optionTables } from "./help.ts";
import { type CommandLine, givenOptions, type InvocationOf, parseCommandLine } from "./parse.ts";
import { suggest } from "./suggest.ts";
import { defaultOf, OPTIONS, optionsOf } from "./table.ts";
import { parseValue } from "./value.ts";

const parse = (args: string, env: Record<string, string> = {}): CommandLine =>
  parseCommandLine(args.split(" ").filter(Boolean), (name) => env[name]);

function run<C extends Command>(
  command: C,
  args: string,
  env: Record<string, string> = {},
): InvocationOf<C> {
  const line = parse(`${command} ${args}`, env);
  assert.ok(line.kind === "run", JSON.stringify(line));
  assert.equal(line.invocation.command, command);
  return line.invocation as unknown as InvocationOf<C>;
}

function problemsOf(args: string, env: Record<string, string> = {}): readonly string[] {
  const line = parse(args, env);
  assert.equal(line.kind, "problems", JSON.stringify(line));
  return line.kind === "problems" ? line.problems : [];
}

Deno.test("every variable of the original README has its name and default", () => {
  const original: Record<string, string> = {
    LEADER_ELECTION_ENABLED: "true",
    LEADER_ELECTION_LEASE_DURATION: "15s",
    LEADER_ELECTION_RENEW_DEADLINE: "10s",
    LEADER_ELECTION_RETRY_PERIOD: "2s",
    LEADER_ELECTION_LOCK_NAME: "podconfigmap-controller-lock",
    LEADER_ELECTION_LOCK_NAMESPACE: "default",
    CONTROLLER_RESYNC_PERIOD: "10m",
    CONTROLLER_POD_WORKERS: "1",
    CONTROLLER_PCMC_WORKERS: "1",
    CONTROLLER_MAX_RETRIES: "5",
    CONTROLLER_RECONCILIATION_TIMEOUT: "30s",
    LOG_LEVEL: "info",
    LOG_FORMAT: "text",
    LOG_JSON_FORMAT: "false",
    DEBUG: "false",
    METRICS_ADDR: ":8080",
  };
  const ours = new Map(optionsOf("controller").map((option) => [option.env, option.default]));
  for (const [name, value] of Object.entries(original)) assert.equal(ours.get(name), value, name);
});

Deno.test("the flags of the original program are accepted, with one dash too", () => {
  const args = "-kubeconfig /k -metrics-addr :9 --lease-duration=8s -renew-deadline=5s";
  const { options } = run("controller", `${args} --retry-period 1s`);
  assert.equal(options.kubeconfig, "/k");
  assert.deepEqual(options.metricsAddress, { hostname: "", port: 9 });
  assert.equal(options.leaseDurationMs, 8_000);
  assert.equal(options.renewDeadlineMs, 5_000);
  assert.equal(options.retryPeriodMs, 1_000);
});

Deno.test("flags win over the environment, that over defaults; an empty variable is unset", () => {
  const env = { CONTROLLER_POD_WORKERS: "4", CONTROLLER_PCMC_WORKERS: "3", METRICS_ADDR: "" };
  const { options, sources } = run("controller", "--pod-workers 8 --pod-workers 9", env);
  assert.equal(options.podWorkers, 9);
  assert.equal(options.pcmcWorkers, 3);
  assert.deepEqual(options.metricsAddress, { hostname: "", port: 8080 });
  assert.equal(options.workerInflight, 32);
  assert.deepEqual(
    [sources["podWorkers"], sources["pcmcWorkers"], sources["metricsAddress"]],
    ["flag", "environment", "default"],
  );
});

Deno.test("every environment variable reaches its option", () => {
  const samples = {
    bool: "true",
    int: "7",
    duration: "11s",
    address: ":1",
    list: "a,b",
    string: "x",
  };
  for (const option of optionsOf("controller").filter((option) => option.env !== undefined)) {
    const text = option.type === "enum" ? Object.keys(option.values ?? {}).at(-1) : undefined;
    const sample = text ?? samples[option.type as keyof typeof samples];
    const { options } = run("controller", "", {
      LEADER_ELECTION_RENEW_DEADLINE: "11s",
      LEADER_ELECTION_LEASE_DURATION: "12s",
      LEADER_ELECTION_RETRY_PERIOD: "1s",
      ...(option.key === "leaseDurationMs" || option.key === "retryPeriodMs"
        ? { [option.env as string]: option.key === "retryPeriodMs" ? "3s" : "14s" }
        : { [option.env as string]: sample }),
    });
    const expected = option.key === "retryPeriodMs"
      ? "3s"
      : option.key === "leaseDurationMs"
      ? "14s"
      : sample;
    const parsed = parseValue(option, expected);
    assert.ok("value" in parsed);
    assert.deepEqual((options as Record<string, unknown>)[option.key], parsed.value, option.key);
  }
});

Deno.test("names are those that Kubernetes allows, up to their last character", () => {
  const of = (name: string, value: string) => {
    const line = parse("controller", { [name]: value });
    return line.kind === "problems" ? line.problems.length : 0;
  };
  const [label, name] = ["a".repeat(63), "a".repeat(253)];
  assert.equal(of("POD_NAME", name) + of("NODE_NAME", `${label}.${label}x.b`), 0);
  assert.equal(of("WATCH_NAMESPACE", `${label},b`), 0);
  assert.equal(of("POD_NAME", `${name}a`), 1);
  assert.equal(of("WATCH_NAMESPACE", `${label}a`), 1);
  for (const wrong of ["a..b", ".a", "a.", "-a", "a-", "A", "a_b", "é"]) {
    assert.equal(of("POD_NAME", wrong), 1, wrong);
  }
});

Deno.test("all problems are reported at once, by the name that was used", () => {
  const problems = problemsOf(
    "controller --metrics-adr :1 --pod-workers 0 --resync-period soon extra --watch-namespace A --debug=si",
    {
      CONTROLLER_PCMC_WORKERS: "two",
      LEADER_ELECTION_RETRY_PERIOD: "10",
      METRICS_ADDR: "8080",
      LOG_FORMAT: "xml",
    },
  );
  const expected = [
    /^unknown flag --metrics-adr; did you mean --metrics-addr\?$/,
    /^unexpected argument "extra"$/,
    /^--watch-namespace: "A" is no name that a Kubernetes namespace may have$/,
    /^LEADER_ELECTION_RETRY_PERIOD: "10" lacks a unit/,
    /^--resync-period: "soon" is no duration/,
    /^--pod-workers: "0" is not in the range 1 to 64$/,
    /^CONTROLLER_PCMC_WORKERS: "two" is no whole number$/,
    /^METRICS_ADDR: "8080" lacks a colon/,
    /^LOG_FORMAT: "xml" is none of text, json$/,
    /^--debug: "si" is neither true nor false$/,
  ];
  assert.equal(problems.length, expected.length, problems.join("\n"));
  for (const [index, pattern] of expected.entries()) assert.match(problems[index] ?? "", pattern);
});

Deno.test("the lease's times must fit each other, unless election is off", () => {
  const cases: [string, RegExp][] = [
    ["--lease-duration 10s", /lease duration 10s is not longer than the renew deadline 10s/],
    ["--retry-period 9s", /renew deadline 10s is not longer than 1.2 times the retry period 9s/],
    ["--lease-duration 15500ms", /15.5s is not whole seconds/],
    ["--leader-election-lock-name=", /lock name of the Lease is empty/],
  ];
  for (const [args, expected] of cases) {
    const found = problemsOf(`controller ${args}`);
    assert.equal(found.length, 1);
    assert.match(found[0] as string, expected);
    run("controller", `${args} --leader-election-enabled=false`);
  }
  run("controller", "--lease-duration 8s --renew-deadline 5s --retry-period 1s");
});

Deno.test("DEBUG and LOG_JSON_FORMAT are short forms that yield to what ranks higher", () => {
  const level = (args: string, env = {}) => run("controller", args, env).options.logLevel;
  assert.equal(level(""), "info");
  assert.equal(level("", { DEBUG: "true" }), "debug");
  assert.equal(level("", { DEBUG: "true", LOG_LEVEL: "error" }), "debug");
  assert.equal(level("--log-level error", { DEBUG: "1" }), "error");
  assert.equal(level("--debug", { LOG_LEVEL: "error" }), "debug");
  assert.equal(level("--debug=false", { DEBUG: "true" }), "info");
  assert.equal(level("", { LOG_LEVEL: "WARN" }), "warning");
  const format = (args: string, env = {}) => run("controller", args, env).options.logFormat;
  assert.equal(format("", { LOG_JSON_FORMAT: "T" }), "json");
  assert.equal(format("--log-format=text", { LOG_JSON_FORMAT: "T" }), "text");
});

Deno.test("givenOptions() says what was given, as it would be written", () => {
  const env = { CONTROLLER_POD_WORKERS: "4", DEBUG: "" };
  const args = "--metrics-addr=off --resync-period 90s --watch-namespace b,a";
  const line = parse(`controller ${args}`, env);
  assert.ok(line.kind === "run");
  assert.deepEqual(givenOptions(line.invocation), {
    "watch-namespace": "b,a",
    "resync-period": "1m30s",
    "pod-workers": "4",
    "metrics-addr": "off",
  });
});

Deno.test("lists collect, split at commas and drop repetitions", () => {
  const { options } = run("controller", "--watch-namespace a,b --watch-namespace c,a");
  assert.deepEqual(options.watchNamespaces, ["a", "b", "c"]);
  const env = { WATCH_NAMESPACE: " a , b," };
  assert.deepEqual(run("controller", "", env).options.watchNamespaces, ["a", "b"]);
  assert.deepEqual(run("controller", "").options.watchNamespaces, []);
});

Deno.test("short flags take their value attached or apart", () => {
  const { options } = run("render", "-f a.yaml -fb.yaml -f - -ojson -n=team");
  assert.deepEqual(options.files, ["a.yaml", "b.yaml", "-"]);
  assert.equal(options.output, "json");
  assert.equal(options.namespace, "team");
});

Deno.test("commands have their own options and checks", () => {
  assert.equal(run("version", "-o yaml").options.output, "yaml");
  assert.equal(run("validate", "-f x").options.output, "text");
  assert.equal(run("render", "--live").options.live, true);
  const demo = run("demo", "--port 8001 --pods 20 --duration 1m30s").options;
  assert.deepEqual([demo.port, demo.pods, demo.durationMs], [8001, 20, 90_000]);
  assert.equal(demo.metricsAddress, undefined);
  assert.equal(run("demo", "", { METRICS_ADDR: ":1" }).options.metricsAddress?.port, 1);
  assert.match(problemsOf("render")[0] ?? "", /no manifest given/);
  assert.match(problemsOf("validate")[0] ?? "", /no manifest given/);
  assert.match(problemsOf("validate -f x --live")[0] ?? "", /unknown flag --live/);
  assert.match(problemsOf("demo --once --no-story")[0] ?? "", /without a story/);
  assert.equal(run("selftest", "-o json").options.output, "json");
  const cleanup = run("cleanup", "", { BPFFS_FOLDER: "/bpffs" }).options;
  assert.equal(cleanup.bpffsFolder, "/bpffs");
  const prepare = run("prepare-node", "--owner-uid 7").options;
  assert.deepEqual([prepare.ownerUid, prepare.ownerGid], [7, 65_532]);
  const relative = problemsOf("selftest --bpffs-folder bpf --cgroup-root x");
  assert.match(relative.join(), /"bpf" is not an absolute path.*"x" is not an absolute path/);
  assert.match(problemsOf("version -o")[0] ?? "", /-o: needs a value/);
  assert.match(problemsOf("render -f x -n a.b")[0] ?? "", /no name that a Kubernetes namespace/);
});

Deno.test("no command means run, with whatever options there are, as the original program was called", () => {
  assert.equal(run("run", "").options.leaseDurationMs, 15_000);
  for (const args of ["", "--debug", "-kubeconfig /k", "--lease-duration=8s -renew-deadline 5s"]) {
    const line = parse(args);
    assert.ok(line.kind === "run" && line.invocation.command === "run", args);
  }
  assert.match(problemsOf("--no-such")[0] ?? "", /unknown flag --no-such/);
  // Its leader's node is the one that is served: agents are not looked for.
  assert.match(problemsOf("run --agent-namespace x")[0] ?? "", /unknown flag --agent-namespace/);
  const wrong = problemsOf("run --lease-duration 10s --bpffs-folder bpf");
  assert.match(wrong.join(), /not longer than the renew deadline.*"bpf" is not an absolute path/);
  assert.match(problemsOf("agent --cgroup-root x").join(), /"x" is not an absolute path/);
});

Deno.test("an unknown command is a problem that lists the commands", () => {
  for (const args of ["agents", "contoller", "help nothing"]) {
    const line = parse(args);
    assert.equal(line.kind, "problems", args);
    assert.match(
      line.kind === "problems" ? line.hint : "",
      /cleanup, controller, demo, prepare-node, render, run, seccomp, selftest, validate, version/,
    );
  }
  assert.match(problemsOf("contoller")[0] ?? "", /did you mean controller\?/);
  assert.equal(run("version", "").command, "version");
  assert.equal(parse("--version").kind, "run");
});

Deno.test("help names every option with flag, variable and default", () => {
  for (const args of ["--help", "-h", "help"]) assert.equal(parse(args).kind, "help");
  for (const command of Object.keys(COMMANDS) as Command[]) {
    const line = parse(`${command} --nonsense --help`);
    assert.ok(line.kind === "help");
    assert.equal(line.text, helpText(command));
    for (const option of optionsOf(command)) {
      assert.ok(line.text.includes(`--${option.flag}`), option.flag);
      if (option.env !== undefined) assert.ok(line.text.includes(option.env), option.env);
      const value = defaultOf(option, command);
      if (value !== "" && value !== "false") assert.ok(line.text.includes(`default ${value}`));
    }
    assert.ok(helpText().includes(command));
  }
  assert.ok(helpText("controller").split("\n").every((line) => line.length <= 100));
});

Deno.test("the tables are sound: valid defaults, no name twice in a command", () => {
  const all: readonly OptionDefinition[] = OPTIONS;
  for (const option of all) {
    for (const command of option.commands) {
      assert.ok("value" in parseValue(option, defaultOf(option, command)), option.flag);
    }
    assert.ok(GROUPS.includes(option.group));
    assert.doesNotMatch(option.description, /\.$/);
  }
  for (const command of Object.keys(COMMANDS) as Command[]) {
    for (const name of ["key", "flag", "short", "env"] as const) {
      const names = optionsOf(command).flatMap((option) => option[name] ?? []);
      assert.equal(new Set(names).size, names.length, `${command} ${name}`);
    }
  }
  assert.equal(optionTables().match(/^\| .*`--/gm)?.length, all.length);
});

Deno.test("parseValue() takes bools as Go does", () => {
  const option = { type: "bool" } as OptionDefinition;
  for (const text of ["1", "t", "T", "TRUE", "true", "True"]) {
    assert.deepEqual(parseValue(option, text), { value: true });
  }
  for (const text of ["0", "f", "F", "FALSE", "false", "False"]) {
    assert.deepEqual(parseValue(option, text), { value: false });
  }
  for (const text of ["", "yes", "on", "tRUE", "2"]) {
    assert.ok("problem" in parseValue(option, text));
  }
});

Deno.test("suggest() finds near names only", () => {
  assert.equal(suggest("pod-worker", ["pod-workers", "pcmc-workers"]), "pod-workers");
  assert.equal(suggest("xyz", ["pod-workers"]), undefined);
});
