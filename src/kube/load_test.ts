import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import { inClusterConnection, serverUrl, SERVICE_ACCOUNT_DIR } from "./in_cluster.ts";
import { KubeconfigError } from "./kubeconfig.ts";
import { loadConnection } from "./load.ts";
import type { Machine } from "./machine.ts";

function machineWith(files: Record<string, string>, env: Record<string, string> = {}) {
  const clock = new VirtualClock();
  const reads: string[] = [];
  const machine: Machine = {
    clock,
    env: (name) => env[name],
    readTextFile: (path) => {
      reads.push(path);
      const text = files[path];
      if (text !== undefined) return Promise.resolve(text);
      const message = `No such file or directory (os error 2): readfile '${path}'`;
      return Promise.reject(new Deno.errors.NotFound(message));
    },
    terminal: () => false,
    runPlugin: () => Promise.reject(new Error("not expected")),
  };
  return { machine, clock, files, reads };
}

const config = (name: string, user = "{token: t}", cluster = "") => `
current-context: ${name}
contexts: [{name: ${name}, context: {cluster: ${name}, user: ${name}, namespace: ns-${name}}}]
clusters: [{name: ${name}, cluster: {server: "https://${name}.example"${cluster}}}]
users: [{name: ${name}, user: ${user}}]
`;

const account = {
  [`${SERVICE_ACCOUNT_DIR}/token`]: "one\n",
  [`${SERVICE_ACCOUNT_DIR}/ca.crt`]: "CA",
  [`${SERVICE_ACCOUNT_DIR}/namespace`]: "system",
};
const inPod = { KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" };

Deno.test("an explicit file outranks KUBECONFIG, that the Pod, and that the home folder", async () => {
  const files = {
    "/x": config("x"),
    "/k": config("k"),
    "/users/me/.kube/config": config("h"),
    ...account,
  };
  const env = { HOME: "/users/me", KUBECONFIG: "/k", ...inPod };
  const host = async (options: object, variables: Record<string, string>) =>
    (await loadConnection(options, machineWith(files, variables).machine)).server.host;
  assert.equal(await host({ kubeconfig: "/x" }, env), "x.example");
  assert.equal(await host({}, env), "k.example");
  assert.equal(await host({}, { HOME: "/users/me", ...inPod }), "10.0.0.1");
  assert.equal(await host({}, { HOME: "/users/me" }), "h.example");
  assert.equal(await host({ context: "h" }, { HOME: "/users/me", ...inPod }), "h.example");
});

Deno.test("KUBECONFIG lists files; missing ones are passed over, broken ones are not", async () => {
  const files = { "/a": config("a"), "/b": config("b"), "/bad": "[" };
  const load = (list: string, context?: string) =>
    loadConnection(
      context ? { context } : {},
      machineWith(files, { KUBECONFIG: list, HOME: "/nowhere" }).machine,
    );
  assert.equal((await load("/none::/a:/b:/a")).server.host, "a.example");
  const other = await load("/a:/b", "b");
  assert.deepEqual([other.server.host, other.namespace], ["b.example", "ns-b"]);
  await assert.rejects(load("/a:/bad"), /\/bad/);
  await assert.rejects(load("/none"), /no kubeconfig \(looked for \/none\)/);
});

Deno.test("an explicit file must exist", async () => {
  const { machine } = machineWith({});
  await assert.rejects(
    loadConnection({ kubeconfig: "/gone" }, machine),
    (error) =>
      error instanceof KubeconfigError &&
      error.message === "Cannot read kubeconfig /gone: No such file or directory",
  );
});

Deno.test("files that a context names are read at once, and named when they cannot be", async () => {
  const user = "{tokenFile: tok}";
  const ca = ", certificate-authority: ca.crt";
  const { machine, files } = machineWith({
    "/k/config": config("a", user, ca),
    "/k/tok": "secret\n",
  });
  const load = () => loadConnection({ kubeconfig: "/k/config" }, machine);
  await assert.rejects(
    load(),
    (error) =>
      error instanceof KubeConnectionError && error.failure === "credentials" &&
      error.message.includes("/k/ca.crt") && error.message.includes('context "a" of /k/config'),
  );
  files["/k/ca.crt"] = "PEM";
  const connection = await load();
  assert.equal(await connection.trustRoots?.(), "PEM");
  assert.equal(await connection.credentials.authorization(), "Bearer secret");
});

Deno.test("credentials are kept from a server without TLS", async () => {
  const text = config("a").replace("https:", "http:");
  const { machine } = machineWith({ "/k": text });
  const connection = await loadConnection({ kubeconfig: "/k" }, machine);
  assert.equal(connection.credentials.authorization(), undefined);
});

Deno.test("the environment's proxy serves contexts that name none", async () => {
  const load = async (cluster: string, env: Record<string, string>) =>
    (await loadConnection(
      { kubeconfig: "/k" },
      machineWith({ "/k": config("a", "{}", cluster) }, env).machine,
    )).proxy?.host;
  const env = { HTTPS_PROXY: "http://env:3128" };
  assert.equal(await load("", env), "env:3128");
  assert.equal(await load(', proxy-url: "http://own:1"', env), "own:1");
  assert.equal(await load("", { ...env, NO_PROXY: ".example" }), undefined);
  await assert.rejects(load("", { HTTPS_PROXY: "https://user:pw@p" }), (error) => {
    assert.ok(error instanceof KubeconfigError);
    assert.ok(!error.message.includes("pw"));
    return true;
  });
});

Deno.test("in a Pod: server, trust, namespace, and a token that follows its file", async () => {
  const { machine, clock, files } = machineWith({ ...account }, inPod);
  const connection = await inClusterConnection(machine);
  const { credentials } = connection;
  assert.deepEqual(
    [connection.server.href, connection.namespace, await connection.trustRoots?.()],
    ["https://10.0.0.1/", "system", "CA"],
  );
  assert.equal(credentials.authorization(), "Bearer one");
  files[`${SERVICE_ACCOUNT_DIR}/token`] = "two";
  assert.equal(credentials.authorization(), "Bearer one");
  await clock.advance(60_000);
  assert.equal(await credentials.authorization(), "Bearer two");
  files[`${SERVICE_ACCOUNT_DIR}/token`] = "three";
  assert.equal(await credentials.refresh("Bearer two"), true);
  assert.equal(credentials.authorization(), "Bearer three");
  assert.equal(await credentials.refresh("Bearer three"), false);
  delete files[`${SERVICE_ACCOUNT_DIR}/token`];
  await clock.advance(60_000);
  assert.equal(await credentials.authorization(), "Bearer three");
});

Deno.test("outside of a Pod, or without a mounted account, in-cluster says so", async () => {
  await assert.rejects(inClusterConnection(machineWith({}).machine), /KUBERNETES_SERVICE_HOST/);
  await assert.rejects(
    inClusterConnection(machineWith({}, inPod).machine),
    new RegExp(`${SERVICE_ACCOUNT_DIR}/token`),
  );
});

Deno.test("an IPv6 service address becomes a URL", () => {
  assert.equal(serverUrl("fd00::1", "6443").href, "https://[fd00::1]:6443/");
  assert.throws(() => serverUrl("a b", "1"), KubeconfigError);
});
