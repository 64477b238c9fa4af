import assert from "node:assert/strict";
import { defaultsOf } from "../ops/options/parse.ts";
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

/** Renders `text`, given on standard input. */
async function rendered(text: string, namespace = "") {
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
  const options = { ...defaultsOf("render"), files: ["-"], namespace };
  const code = await render(options, shell, () => Promise.reject(new Error("not live")));
  return { code, out: out.join(""), err: err.join("") };
}

Deno.test("a Pod and a config that selects it give their ConfigMap", async () => {
  const { code, out, err } = await rendered(`${CONFIG}---${POD}`);
  assert.equal(code, 0, err);
  assert.match(out, /name: pod-web-1-from-facts-cfg\n/);
  assert.match(out, /label_app: web\n/);
  assert.equal(err, "");
});

Deno.test("no ConfigMap: says whether something is missing, elsewhere or not selected", async () => {
  const because = async (text: string) => {
    const { code, out, err } = await rendered(text);
    assert.equal(code, 0);
    assert.equal(out, "");
    return err;
  };
  assert.match(await because(POD), /no PodConfigMapConfig is given/);
  assert.match(await because(CONFIG), /no Pod is given/);
  assert.match(
    await because(`${CONFIG}---${POD.replace("shop", "other")}`),
    /the Pods are in other, the PodConfigMapConfigs in shop; -n/,
  );
  assert.match(await because(`${CONFIG}---${POD.replace("app: web", "app: db")}`), /selects a Pod/);
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
