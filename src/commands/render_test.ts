import assert from "node:assert/strict";
import { defaultsOf } from "../ops/options/parse.ts";
import type { RestClient } from "../runtime/ports/rest.ts";
import { render } from "./render.ts";
import type { Shell } from "./shell.ts";

const CONFIG = `
apiVersion: podconfig.example.com/v1alpha1
kind: PodConfigMapConfig
metadata: { name: facts, namespace: shop }
spec: { podSelector: { matchLabels: { app: web } }, labelsToInclude: [app] }
`;
const POD = `
apiVersion: v1
kind: Pod
metadata: { name: web-1, namespace: shop, labels: { app: web } }
`;

/** A cluster without objects, which `--live` would read; the kubeconfig's context names a namespace. */
const EMPTY_CLUSTER = {
  performRequest: () => Promise.resolve({ items: [] }),
  defaultNamespace: "team",
  [Symbol.dispose]() {},
} as unknown as RestClient & Disposable;

/** Renders `text`, given on standard input. */
async function rendered(text: string, { live = false, namespace = "" } = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const shell: Shell = {
    print: (line) => void out.push(line),
    printError: (line) => void err.push(line),
    readTextFile: () => Promise.reject(new Error("no such file")),
    readStandardInput: () => Promise.resolve(text),
    hostName: () => "host",
    colour: false,
  };
  const options = { ...defaultsOf("render"), files: ["-"], live, namespace };
  const code = await render(options, shell, () => Promise.resolve(EMPTY_CLUSTER));
  return { code, out: out.join(""), err: err.join("") };
}

Deno.test("a Pod and a config that selects it give their ConfigMap", async () => {
  const { code, out, err } = await rendered(`${CONFIG}---${POD}`);
  assert.equal(code, 0, err);
  assert.match(out, /name: pod-web-1-from-facts-cfg\n/);
  assert.match(out, /label_app: web\n/);
  assert.equal(err, "");
});

Deno.test("values that YAML 1.1 takes for booleans or numbers are quoted, for kubectl", async () => {
  for (const value of ["yes", "on", "n", "010", "0o10", "1_000", "true", "1e3"]) {
    const pod = POD.replace("app: web", `app: "${value}"`);
    const config = CONFIG.replace("matchLabels: { app: web }", "");
    const { out } = await rendered(`${config}---${pod}`);
    assert.ok(out.includes(`label_app: "${value}"\n`), out);
  }
});

Deno.test("objects that name no namespace are in that of -n, else with --live in the context's", async () => {
  const text = `${CONFIG}---${POD}`.replaceAll(", namespace: shop", "").replace(
    "namespace: shop,",
    "",
  );
  assert.match((await rendered(text)).out, /namespace: default\n/);
  assert.match((await rendered(text, { namespace: "mine" })).out, /namespace: mine\n/);
  assert.match((await rendered(text, { live: true })).out, /namespace: team\n/);
  assert.match(
    (await rendered(text, { live: true, namespace: "mine" })).out,
    /namespace: mine\n/,
  );
});

Deno.test("no ConfigMap: says whether something is missing, elsewhere or not selected", async () => {
  const because = async (text: string) => {
    const { code, out, err } = await rendered(text);
    assert.equal(code, 0);
    assert.equal(out, "");
    return err;
  };
  assert.match(await because(POD), /there is no PodConfigMapConfig/);
  assert.match(await because(CONFIG), /there is no Pod/);
  assert.match(
    await because(`${CONFIG}---${POD.replace("shop", "other")}`),
    /the Pods are in other, the PodConfigMapConfigs in shop; -n/,
  );
  assert.match(
    await because(`${CONFIG}---${POD.replace("app: web", "app: db")}`),
    /selects any of the Pods/,
  );
});

Deno.test("what an API server would refuse gives an error with its path, and no ConfigMap", async () => {
  const cases: [string, RegExp][] = [
    [POD.replace("name: web-1, ", ""), /Pod \(no name\) of stdin: metadata\.name: is required/],
    [POD.replace("web-1", "Web_1"), /metadata\.name: must be a name in lower case, got "Web_1"/],
    [POD.replace("app: web", "app: web, v: 1.5"), /metadata\.labels\["v"\].*got 1\.5: quote it/],
    [POD.replace("{ app: web }", "[app]"), /metadata\.labels: must be a map/],
    [POD.replace("shop", "a.b"), /metadata\.namespace: must be a namespace's name, got "a\.b"/],
  ];
  for (const [pod, problem] of cases) {
    const { code, out, err } = await rendered(`${CONFIG}---${pod}`);
    assert.equal(code, 1, pod);
    assert.equal(out, "");
    assert.match(err, problem);
  }
  const { code, err } = await rendered(`${CONFIG.replace("v1alpha1", "v9")}---${POD}`);
  assert.equal(code, 1);
  assert.match(err, /apiVersion: must be podconfig\.example\.com\/v1alpha1/);
});
