import assert from "node:assert/strict";
import { KubeconfigError, mergeKubeconfigs, parseKubeconfig } from "./kubeconfig.ts";
import { type ContextSpec, resolveContext } from "./kubeconfig_context.ts";

const base64 = (text: string) => btoa(text);

interface Parts {
  cluster?: Record<string, unknown>;
  user?: Record<string, unknown>;
  context?: Record<string, unknown>;
}

function file(parts: Parts = {}): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "dev",
    clusters: [{ name: "c", cluster: { server: "https://h:6443", ...parts.cluster } }],
    users: [{ name: "u", user: parts.user ?? {} }],
    contexts: [{ name: "dev", context: { cluster: "c", user: "u", ...parts.context } }],
  });
}

const resolve = (parts: Parts): ContextSpec =>
  resolveContext(parseKubeconfig(file(parts), "/etc/kube/config"));

function refused(action: () => unknown, ...words: string[]): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof KubeconfigError);
    for (const word of words) assert.ok(error.message.includes(word), `${error.message}: ${word}`);
    return true;
  });
}

Deno.test("a context gives server, namespace, trust and identity", () => {
  const spec = resolve({
    cluster: {
      "certificate-authority-data": base64("CA"),
      "tls-server-name": "kube.internal",
      "proxy-url": "socks5://proxy:1080",
    },
    user: {
      "client-certificate": "pki/me.crt",
      "client-key": "/abs/me.key",
      tokenFile: "../token",
      token: "outranked",
    },
    context: { namespace: "team" },
  });
  assert.equal(spec.origin, 'context "dev" of /etc/kube/config');
  assert.equal(spec.server.href, "https://h:6443/");
  assert.equal(spec.proxy?.host, "proxy:1080");
  assert.deepEqual(
    [spec.namespace, spec.certificateAuthority, spec.serverName, spec.insecure],
    ["team", { text: "CA" }, "kube.internal", false],
  );
  assert.deepEqual(spec.clientCertificate, {
    cert: { path: "/etc/kube/pki/me.crt" },
    key: { path: "/abs/me.key" },
  });
  assert.deepEqual(spec.token, { path: "/etc/token" });
});

Deno.test("data outranks a file, and a token stands alone", () => {
  const spec = resolve({
    cluster: { "certificate-authority": "ca.crt", "certificate-authority-data": base64("inline") },
    user: { token: "t" },
  });
  assert.deepEqual(spec.certificateAuthority, { text: "inline" });
  assert.deepEqual(spec.token, { text: "t" });
});

Deno.test("passwords and impersonation", () => {
  const spec = resolve({
    user: {
      username: "me",
      password: "secret",
      as: "jane",
      "as-uid": "7",
      "as-groups": ["ops"],
      "as-user-extra": { scope: ["a", "b"] },
    },
  });
  assert.deepEqual(spec.basic, { username: "me", password: "secret" });
  assert.deepEqual(spec.impersonate, {
    user: "jane",
    uid: "7",
    groups: ["ops"],
    extra: { scope: ["a", "b"] },
  });
});

Deno.test("an exec plug-in: path, arguments, environment and cluster", () => {
  const exec = {
    apiVersion: "client.authentication.k8s.io/v1",
    command: "./bin/login",
    args: ["--x"],
    env: [{ name: "A", value: "1" }],
    interactiveMode: "Never",
    provideClusterInfo: true,
    installHint: "get it",
  };
  const extensions = [{ name: "client.authentication.k8s.io/exec", extension: { audience: "x" } }];
  const cluster = { extensions, "certificate-authority-data": base64("CA") };
  assert.deepEqual(resolve({ cluster, user: { exec } }).exec, {
    apiVersion: "client.authentication.k8s.io/v1",
    command: "/etc/kube/bin/login",
    args: ["--x"],
    env: { A: "1" },
    interactive: "Never",
    installHint: "get it",
    cluster: {
      server: "https://h:6443",
      "certificate-authority-data": base64("CA"),
      config: { audience: "x" },
    },
  });
  const beta = { apiVersion: "client.authentication.k8s.io/v1beta1", command: "aws" };
  const spec = resolve({ user: { exec: beta } }).exec;
  assert.deepEqual([spec?.command, spec?.interactive], ["aws", "IfAvailable"]);
  assert.equal(spec?.cluster, undefined);
  assert.equal(resolve({ user: { exec, token: "t" } }).exec, undefined);
});

Deno.test("what cannot be used is refused by file, context and field", () => {
  const v1 = { apiVersion: "client.authentication.k8s.io/v1", command: "x" };
  const cases: [Parts, string][] = [
    [{ cluster: { server: "" } }, "server"],
    [{ cluster: { server: "h:6443" } }, "server"],
    [{ cluster: { server: "ftp://h" } }, "server"],
    [{ cluster: { server: 5 } }, "server"],
    [{ cluster: { "certificate-authority-data": "&&" } }, "certificate-authority-data"],
    [{
      cluster: { "insecure-skip-tls-verify": true, "certificate-authority": "x" },
    }, "insecure-skip-tls-verify"],
    [{ cluster: { "insecure-skip-tls-verify": "yes" } }, "insecure-skip-tls-verify"],
    [{ cluster: { "proxy-url": "https://p" } }, "proxy-url"],
    [{ cluster: { "proxy-url": "gopher://p" } }, "proxy-url"],
    [{ user: { "auth-provider": { name: "gcp" } } }, "auth-provider"],
    [{ user: { "client-certificate": "x" } }, "client-key"],
    [{ user: { "client-key": "x" } }, "client-certificate"],
    [{ user: { token: "t", username: "u" } }, "token"],
    [{ user: { "as-groups": ["g"] } }, "as"],
    [{ user: { as: "a", "as-groups": "g" } }, "as-groups"],
    [{ user: { as: "a", "as-user-extra": { k: "v" } } }, "as-user-extra.k"],
    [{ user: { exec: v1 } }, "exec.interactiveMode"],
    [
      { user: { exec: { ...v1, apiVersion: "client.authentication.k8s.io/v1alpha1" } } },
      "v1alpha1",
    ],
    [{ user: { exec: { ...v1, command: "" } } }, "exec.command"],
    [{ user: { exec: { ...v1, interactiveMode: "Never", env: [{ name: "" }] } } }, "exec.env[0]"],
    [{ user: { exec: { ...v1, interactiveMode: "Never", args: "x" } } }, "exec.args"],
    [{ context: { cluster: "nope" } }, '"nope"'],
    [{ context: { cluster: "" } }, "cluster"],
    [{ context: { user: "nobody" } }, '"nobody"'],
  ];
  for (const [parts, field] of cases) {
    refused(() => resolve(parts), "/etc/kube/config", '"dev"', field);
  }
});

Deno.test("a missing context lists those that exist", () => {
  const config = parseKubeconfig(file(), "/k");
  refused(() => resolveContext(config, "prod"), '"prod"', "/k", "dev");
  refused(() => resolveContext({ ...config, currentContext: "" }), "current-context", "/k");
});

Deno.test("files that are no kubeconfig are refused without quoting them", () => {
  refused(() => parseKubeconfig("a: [secret", "/k"), "/k", "YAML");
  assert.throws(
    () => parseKubeconfig("token: 'secret\nx", "/k"),
    (error) => !(error as Error).message.includes("secret"),
  );
  refused(() => parseKubeconfig("- a", "/k"), "mapping");
  refused(() => parseKubeconfig("kind: Pod", "/k"), "Pod");
  refused(() => parseKubeconfig("clusters: {}", "/k"), "clusters");
  refused(() => parseKubeconfig("users: [5]", "/k"), "users[0]");
  refused(() => parseKubeconfig("users: [{name: '', user: {}}]", "/k"), "users[0].name");
  assert.equal(parseKubeconfig("", "/k").contexts.size, 0);
});

Deno.test("of several files the first to name something wins, with paths of its own", () => {
  const first = parseKubeconfig(
    "current-context: ''\nusers: [{name: u, user: {tokenFile: t}}]\nclusters: []\n",
    "/a/config",
  );
  const second = parseKubeconfig(file({ user: { token: "second", as: "x" } }), "/b/config");
  const merged = mergeKubeconfigs([first, second]);
  const spec = resolveContext(merged);
  assert.deepEqual(spec.token, { path: "/a/t" });
  assert.equal(spec.impersonate, undefined);
  assert.deepEqual([merged.currentContext, spec.origin], ["dev", 'context "dev" of /b/config']);
  const reversed = resolveContext(mergeKubeconfigs([second, first]));
  assert.deepEqual(reversed.token, { text: "second" });
});
