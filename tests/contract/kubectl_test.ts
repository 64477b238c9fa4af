/** The real kubectl against the simulator's HTTP front: every verb that the demo invites to try. */
import assert from "node:assert/strict";
import { systemClock } from "../../src/lib/clock.ts";
import { SimulatedCluster } from "../../src/simulator/cluster.ts";
import { type HttpFront, serveHttp } from "../../src/simulator/http_front.ts";
import { eventually } from "../support/eventually.ts";
import { run, temporaryDir } from "../support/processes.ts";
import { widgetCrd } from "./widget_crd.ts";

/** KUBEBUILDER_ASSETS, then PATH; undefined when there is none. */
function findKubectl(): string | undefined {
  const assets = Deno.env.get("KUBEBUILDER_ASSETS");
  const folders = [...(assets ? [assets] : []), ...(Deno.env.get("PATH") ?? "").split(":")];
  return folders.map((folder) => `${folder}/kubectl`).find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

const KUBECTL = findKubectl();

class Bench implements AsyncDisposable {
  readonly cluster = new SimulatedCluster({
    clock: systemClock,
    crds: [widgetCrd("example.com")],
  });
  readonly #front: HttpFront = serveHttp({ cluster: this.cluster });
  readonly #dir: { path: string } & AsyncDisposable;

  constructor(dir: { path: string } & AsyncDisposable) {
    this.#dir = dir;
  }

  get url(): string {
    return this.#front.url;
  }

  /** What every call needs: no configuration of the user's, a cache of its own. */
  get flags(): string[] {
    return [`--server=${this.url}`, `--cache-dir=${this.#dir.path}`, "--request-timeout=60s"];
  }

  async try(args: string[], options: { stdin?: string; editor?: string } = {}) {
    const { stdin, editor } = options;
    return await run(KUBECTL ?? "kubectl", [...this.flags, ...args], {
      env: {
        KUBECONFIG: "/dev/null",
        // `kubectl edit` keeps a copy of what the server refused.
        TMPDIR: this.#dir.path,
        ...(editor === undefined ? {} : { KUBE_EDITOR: editor }),
      },
      ...(stdin === undefined ? {} : { stdin }),
    });
  }

  /** Standard output of a call that must succeed. */
  async ok(args: string[], options: { stdin?: string; editor?: string } = {}): Promise<string> {
    const { code, stdout, stderr } = await this.try(args, options);
    assert.equal(code, 0, `kubectl ${args.join(" ")}: ${stderr}`);
    return stdout.trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cluster.stop();
    await this.#front.close();
    await this.#dir[Symbol.asyncDispose]();
  }
}

function kubectlTest(name: string, fn: (bench: Bench) => Promise<void>): void {
  Deno.test({
    name: KUBECTL === undefined ? `${name} [needs kubectl]` : name,
    ignore: KUBECTL === undefined,
    async fn() {
      await using bench = new Bench(await temporaryDir("kubectl"));
      await fn(bench);
    },
  });
}

const MANIFESTS = `
apiVersion: example.com/v1
kind: Widget
metadata: {name: w, labels: {a: b}}
spec: {req: x, "n": 3}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {k: v}
---
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, image: "nginx:1"}]}
`;

/** The words of each line. */
function cells(text: string): string[][] {
  return text.split("\n").map((line) => line.trim().split(/\s{2,}/));
}

kubectlTest("kubectl discovers the server, its resources and their fields", async (bench) => {
  assert.match(await bench.ok(["version"]), /Server Version: v1\.37/);
  const resources = cells(await bench.ok(["api-resources", "--no-headers"]));
  const names = resources.map(([name]) => name);
  for (const name of ["configmaps", "pods", "leases", "widgets", "customresourcedefinitions"]) {
    assert.ok(names.includes(name), `${name} in ${names}`);
  }
  assert.ok((await bench.ok(["api-versions"])).split("\n").includes("example.com/v1"));
  assert.match(await bench.ok(["explain", "widget.spec.lmap"]), /k\s+<string> -required-/);
  assert.match(await bench.ok(["explain", "cm"]), /binaryData\s+<map\[string\]string>/);
  assert.equal(await bench.ok(["get", "--raw", "/readyz"]), "ok");
});

kubectlTest("kubectl apply creates, leaves alone, changes and prunes fields", async (bench) => {
  const apply = (stdin: string) => bench.ok(["apply", "-f", "-"], { stdin });
  assert.deepEqual((await apply(MANIFESTS)).split("\n"), [
    "widget.example.com/w created",
    "configmap/c created",
    "pod/p created",
  ]);
  const before = bench.cluster.revision;
  assert.equal((await apply(MANIFESTS)).match(/unchanged/g)?.length, 3);
  assert.equal(bench.cluster.revision, before);
  const changed = MANIFESTS.replace('"n": 3', '"n": 5').replace("{k: v}", "{j: v}")
    .replace("nginx:1", "nginx:2");
  assert.equal((await apply(changed)).match(/configured/g)?.length, 3);
  assert.deepEqual(bench.cluster.get("v1", "ConfigMap", "default", "c")?.data, { j: "v" });
  assert.equal(await bench.ok(["get", "wg", "w", "-o", "jsonpath={.spec.n}"]), "5");
  const image = await bench.ok(["get", "pod", "p", "-o", "jsonpath={.spec.containers[0].image}"]);
  assert.equal(image, "nginx:2");
  assert.equal(await bench.ok(["diff", "-f", "-"], { stdin: changed }), "");
});

kubectlTest(
  "kubectl apply refuses unknown fields and server-side apply says why not",
  async (bench) => {
    const stdin = MANIFESTS.replace("req: x", "req: x, typo: 1");
    const strict = await bench.try(["apply", "-f", "-"], { stdin });
    assert.equal(strict.code, 1);
    assert.match(strict.stderr, /strict decoding error: unknown field "spec\.typo"/);
    const lax = await bench.try(["apply", "--validate=warn", "-f", "-"], { stdin });
    assert.equal(lax.code, 0);
    assert.match(lax.stderr, /Warning: unknown field "spec\.typo"/);
    const serverSide = await bench.try(["apply", "--server-side", "-f", "-"], { stdin: MANIFESTS });
    assert.equal(serverSide.code, 1);
    assert.match(serverSide.stderr, /Server-side apply not available on the server/);
  },
);

kubectlTest(
  "kubectl get prints tables, wide, names, YAML, JSON, paths and columns",
  async (bench) => {
    await bench.ok(["apply", "-f", "-"], { stdin: MANIFESTS });
    const [head, row] = cells(await bench.ok(["get", "widgets"]));
    assert.deepEqual(head, ["NAME", "COLOR", "N", "READY", "AGE"]);
    assert.deepEqual(row?.slice(0, 3), ["w", "red", "3"]);
    assert.match(
      await bench.ok(["get", "widgets", "-o", "wide"]),
      /^NAME\s+COLOR\s+N\s+READY\s+WIDE/,
    );
    const [, pod] = cells(await bench.ok(["get", "pods", "-o", "wide"]));
    assert.deepEqual(pod?.slice(0, 4), ["p", "0/1", "Pending", "0"]);
    assert.deepEqual(pod?.slice(5), ["<none>", "n1", "<none>", "<none>"]);
    assert.match(
      await bench.ok(["get", "cm", "-A"]),
      /^NAMESPACE\s+NAME\s+DATA\s+AGE\ndefault\s+c\s+1/,
    );
    assert.equal(
      await bench.ok(["get", "wg,cm,po", "-o", "name"]),
      [
        "widget.example.com/w",
        "configmap/c",
        "pod/p",
      ].join("\n"),
    );
    assert.match(
      await bench.ok(["get", "wg", "w", "-o", "yaml"]),
      /spec:\n\s+color: red\n\s+"n": 3/,
    );
    assert.equal(JSON.parse(await bench.ok(["get", "cm", "c", "-o", "json"])).data.k, "v");
    const template = "go-template={{range .items}}{{.spec.req}}{{end}}";
    assert.equal(await bench.ok(["get", "wg", "-o", template]), "x");
    const columns = "custom-columns=N:.metadata.name,C:.spec.color";
    assert.deepEqual(cells(await bench.ok(["get", "wg", "-o", columns]))[1], ["w", "red"]);
    assert.equal(await bench.ok(["get", "po", "-l", "app=web", "-o", "name"]), "pod/p");
    const byField = ["get", "po", "--field-selector", "spec.nodeName=n2", "-o", "name"];
    assert.equal(await bench.ok(byField), "");
    const absent = await bench.try(["get", "cm", "absent"]);
    assert.match(absent.stderr, /Error from server \(NotFound\): configmaps "absent" not found/);
    assert.match((await bench.try(["get", "nonsense"])).stderr, /doesn't have a resource type/);
    const pages = await bench.ok(["get", "ns", "--chunk-size=1", "-o", "name"]);
    assert.equal(pages.split("\n").length, 4);
  },
);

kubectlTest("kubectl describe shows objects and their events", async (bench) => {
  await bench.ok(["apply", "-f", "-"], { stdin: MANIFESTS });
  const uid = bench.cluster.get("v1", "Pod", "default", "p")?.metadata.uid ?? "";
  bench.cluster.seed([{
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { name: "e", namespace: "default" },
    eventTime: "2026-01-02T03:04:05.000000Z",
    reportingController: "example.com/c",
    reportingInstance: "c-0",
    action: "Make",
    reason: "Made",
    note: "It was made.",
    type: "Normal",
    regarding: { apiVersion: "v1", kind: "Pod", namespace: "default", name: "p", uid },
  }]);
  const pod = await bench.ok(["describe", "pod", "p"]);
  assert.match(pod, /Node:\s+n1/);
  assert.match(pod, /Normal\s+Made\s+\S+\s+example\.com\/c\s+It was made\./);
  assert.match(await bench.ok(["describe", "wg", "w"]), /Spec:\n\s+Color:\s+red/);
  assert.match(await bench.ok(["describe", "cm", "c"]), /k:\n----\nv/);
  assert.match(await bench.ok(["get", "events"]), /Made\s+pod\/p\s+It was made\./);
});

kubectlTest("kubectl label, annotate, patch, edit and replace change objects", async (bench) => {
  await bench.ok(["apply", "-f", "-"], { stdin: MANIFESTS });
  await bench.ok(["label", "cm", "c", "x=1"]);
  await bench.ok(["annotate", "cm", "c", "note=hi"]);
  const data = (value: string) => JSON.stringify({ data: { [value]: "1" } });
  await bench.ok(["patch", "cm", "c", "-p", data("strategic")]);
  await bench.ok(["patch", "cm", "c", "--type=merge", "-p", data("merge")]);
  const ops = '[{"op":"add","path":"/data/json","value":"1"}]';
  await bench.ok(["patch", "cm", "c", "--type=json", "-p", ops]);
  const patched = bench.cluster.get("v1", "ConfigMap", "default", "c");
  assert.deepEqual(patched?.data, { k: "v", strategic: "1", merge: "1", json: "1" });
  assert.equal(patched?.metadata.labels?.x, "1");
  assert.equal(patched?.metadata.annotations?.note, "hi");
  await bench.ok(["label", "cm", "c", "x-"]);
  assert.equal(bench.cluster.get("v1", "ConfigMap", "default", "c")?.metadata.labels, undefined);
  const taken = await bench.try(["label", "cm", "c", "a b=1"]);
  assert.equal(taken.code, 1);

  const editor = (from: string, to: string) => `sed -i s/${from}/${to}/`;
  await bench.ok(["edit", "wg", "w"], { editor: editor("color:.red", "color:\\ green") });
  assert.equal(await bench.ok(["get", "wg", "w", "-o", "jsonpath={.spec.color}"]), "green");
  const broken = await bench.try(["edit", "wg", "w"], { editor: editor("green", "blue") });
  assert.match(broken.stderr, /is invalid/);

  const current = JSON.parse(await bench.ok(["get", "cm", "c", "-o", "json"]));
  const replacement = JSON.stringify({ ...current, data: { only: "this" } });
  await bench.ok(["replace", "-f", "-"], { stdin: replacement });
  assert.deepEqual(bench.cluster.get("v1", "ConfigMap", "default", "c")?.data, { only: "this" });
  const old = await bench.try(["replace", "-f", "-"], { stdin: replacement });
  assert.match(old.stderr, /Conflict.*the object has been modified/s);
});

kubectlTest("kubectl create makes objects of manifests and of flags", async (bench) => {
  await bench.ok(["create", "-f", "-"], { stdin: MANIFESTS });
  const again = await bench.try(["create", "-f", "-"], { stdin: MANIFESTS });
  assert.match(again.stderr, /AlreadyExists/);
  await bench.ok(["create", "cm", "d", "--from-literal=a=b"]);
  assert.deepEqual(bench.cluster.get("v1", "ConfigMap", "default", "d")?.data, { a: "b" });
  await bench.ok(["create", "ns", "team"]);
  await bench.ok(["create", "secret", "generic", "s", "--from-literal=a=b", "-n", "team"]);
  assert.equal(
    await bench.ok(["get", "secret", "s", "-n", "team", "-o", "jsonpath={.data.a}"]),
    "Yg==",
  );
  await bench.ok(["create", "sa", "robot"]);
  await bench.ok(["run", "x", "--image=nginx"]);
  const dry = await bench.ok(["create", "cm", "dry", "--dry-run=server", "-o", "name"]);
  assert.equal(dry, "configmap/dry");
  assert.equal(bench.cluster.get("v1", "ConfigMap", "default", "dry"), undefined);
});

kubectlTest("kubectl delete removes by name, selector and file, and waits", async (bench) => {
  await bench.ok(["apply", "-f", "-"], { stdin: MANIFESTS });
  await bench.ok(["create", "cm", "other"]);
  await bench.ok(["delete", "wg", "-l", "a=b"]);
  assert.equal(await bench.ok(["get", "wg", "-o", "name"]), "");
  await bench.ok(["delete", "pod", "p", "--force"]);
  await bench.ok(["delete", "cm", "--all"]);
  assert.equal(await bench.ok(["get", "cm,po", "-o", "name"]), "");
  const gone = await bench.try(["delete", "-f", "-"], { stdin: MANIFESTS });
  assert.match(gone.stderr, /NotFound/);
  await bench.ok(["delete", "-f", "-", "--ignore-not-found"], { stdin: MANIFESTS });
  await bench.ok(["create", "ns", "team"]);
  await bench.ok(["create", "cm", "inside", "-n", "team"]);
  await bench.ok(["delete", "ns", "team"]);
  assert.equal(bench.cluster.get("v1", "ConfigMap", "team", "inside"), undefined);
});

kubectlTest("kubectl wait sees conditions, values, creations and deletions come", async (bench) => {
  await bench.ok(["apply", "-f", "-"], { stdin: MANIFESTS });
  const status = { conditions: [{ type: "Ready", status: "True" }] };
  const waits = [
    bench.ok(["wait", "--for=condition=Ready", "wg/w", "--timeout=60s"]),
    bench.ok(["wait", "--for=jsonpath={.spec.color}=green", "wg/w", "--timeout=60s"]),
    bench.ok(["wait", "--for=delete", "cm/c", "--timeout=60s"]),
    bench.ok(["wait", "--for=create", "cm/late", "--timeout=60s"]),
  ];
  await eventually("kubectl watches", () => bench.cluster.openWatches >= 3);
  await bench.ok([
    "patch",
    "wg",
    "w",
    "--subresource=status",
    "--type=merge",
    "-p",
    JSON.stringify({ status }),
  ]);
  await bench.ok(["patch", "wg", "w", "--type=merge", "-p", '{"spec":{"color":"green"}}']);
  await bench.ok(["delete", "cm", "c"]);
  await bench.ok(["create", "cm", "late"]);
  const answers = await Promise.all(waits);
  for (const answer of answers) assert.match(answer, /condition met/);
  const early = await bench.try(["wait", "--for=condition=Other", "wg/w", "--timeout=1s"]);
  assert.match(early.stderr, /timed out waiting for the condition/);
});

kubectlTest(
  "kubectl get -w prints changes as they come, and its watch ends with it",
  async (bench) => {
    await bench.ok(["apply", "-f", "-"], { stdin: MANIFESTS });
    const child = new Deno.Command(KUBECTL ?? "kubectl", {
      args: [...bench.flags, "get", "wg", "-w", "--output-watch-events", "--request-timeout=0"],
      env: { KUBECONFIG: "/dev/null" },
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let seen = "";
    const reading = (async () => {
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) seen += text;
    })();
    try {
      await eventually("the first row", () => /ADDED\s+w\s+red/.test(seen));
      await eventually("the watch is open", () => bench.cluster.openWatches === 1);
      await bench.ok(["patch", "wg", "w", "--type=merge", "-p", '{"spec":{"color":"green"}}']);
      await eventually("the change", () => /MODIFIED\s+w\s+green/.test(seen));
      await bench.ok(["delete", "wg", "w"]);
      await eventually("the deletion", () => /DELETED\s+w\s+green/.test(seen));
    } finally {
      child.kill("SIGKILL");
      await child.status;
      await reading;
    }
    await eventually("the watch is freed", () => bench.cluster.openWatches === 0);
  },
);
