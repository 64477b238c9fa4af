/** TLS as kubectl does it, against real servers with certificates made here by openssl. */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as net from "node:net";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import { anonymous, type ClusterConnection } from "./connection.ts";
import { assertPair, FixedCredentials } from "./credentials.ts";
import { SocketWire } from "./socket_wire.ts";
import { chainLeadsTo } from "./trust.ts";

async function openssl(dir: string, ...args: string[]): Promise<void> {
  const command = new Deno.Command("openssl", { args, cwd: dir, stdout: "null", stderr: "piped" });
  const { success, stderr } = await command.output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

const available = await new Deno.Command("openssl", { args: ["version"], stdout: "null" })
  .output().then((output) => output.success, () => false);

const newKey = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** A folder of two CAs (a, b), a server certificate of each, one of `a` for another name, a client's. */
class Pki implements AsyncDisposable {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async create(): Promise<Pki> {
    const pki = new Pki(await Deno.makeTempDir({ prefix: "kube-tls-" }));
    for (const ca of ["a", "b"]) {
      await openssl(
        pki.dir,
        ...newKey,
        ...["-days", "2", "-keyout", `${ca}.key`, "-out", `${ca}.crt`, "-subj", `/CN=ca-${ca}`],
        ...["-addext", "basicConstraints=critical,CA:TRUE"],
      );
    }
    await pki.#issue("server-a", "a", "DNS:localhost,IP:127.0.0.1");
    await pki.#issue("server-b", "b", "DNS:localhost,IP:127.0.0.1");
    await pki.#issue("named", "a", "DNS:kube.internal");
    await pki.#issue("client", "a", "DNS:client");
    return pki;
  }

  async #issue(name: string, ca: string, names: string): Promise<void> {
    await openssl(
      this.dir,
      ...newKey,
      ...["-days", "2", "-CA", `${ca}.crt`, "-CAkey", `${ca}.key`, "-keyout", `${name}.key`],
      ...["-out", `${name}.crt`, "-subj", `/CN=${name}`, "-addext", `subjectAltName=${names}`],
      ...["-addext", "basicConstraints=critical,CA:FALSE"],
    );
  }

  read(file: string): string {
    return Deno.readTextFileSync(join(this.dir, file));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** An HTTPS server that answers every request with `ok`. */
class TlsServer implements Disposable {
  readonly #listener: Deno.TlsListener;
  readonly #open = new Set<Deno.TlsConn>();

  constructor(pki: Pki, name: string) {
    const [cert, key] = [pki.read(`${name}.crt`), pki.read(`${name}.key`)];
    this.#listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key });
    this.#accept();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      this.#open.add(connection);
      this.#answer(connection).catch(() => {}).finally(() => this.#close(connection));
    }
  }

  async #answer(connection: Deno.TlsConn): Promise<void> {
    const buffer = new Uint8Array(4096);
    while (await connection.read(buffer) !== null) {
      await connection.write(
        new TextEncoder().encode("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
      );
    }
  }

  #close(connection: Deno.TlsConn): void {
    if (this.#open.delete(connection)) connection.close();
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const connection of this.#open) this.#close(connection);
  }
}

/** `ok` when a request succeeds, else which kind of failure it met. */
async function attempt(port: number, more: Partial<ClusterConnection>): Promise<string> {
  const wire = new SocketWire({
    connection: {
      origin: "test",
      server: new URL(`https://127.0.0.1:${port}`),
      credentials: anonymous,
      ...more,
    },
    clock: systemClock,
    timeoutMs: 5000,
    maxConnections: 1,
  });
  try {
    const response = await wire.send({ method: "GET", target: "/", headers: [] });
    return new TextDecoder().decode(await response.bytes());
  } catch (error) {
    assert.ok(error instanceof KubeConnectionError, String(error));
    return error.failure;
  } finally {
    wire.close();
  }
}

const ignore = !available;
const skipped = available ? "" : " (skipped: openssl is missing)";

Deno.test({
  name: `the given CA and the server's name are checked${skipped}`,
  ignore,
  fn: async () => {
    await using pki = await Pki.create();
    const a = () => pki.read("a.crt");
    using server = new TlsServer(pki, "server-a");
    using other = new TlsServer(pki, "server-b");
    using named = new TlsServer(pki, "named");
    assert.equal(await attempt(server.port, { trustRoots: a }), "ok");
    assert.equal(await attempt(other.port, { trustRoots: a }), "tls");
    assert.equal(await attempt(server.port, {}), "tls");
    assert.equal(await attempt(named.port, { trustRoots: a }), "tls");
    assert.equal(await attempt(named.port, { trustRoots: a, serverName: "kube.internal" }), "ok");
    assert.equal(await attempt(server.port, { trustRoots: a, serverName: "kube.internal" }), "tls");
    assert.equal(await attempt(other.port, { insecure: true }), "ok");
    const both = () => a() + pki.read("b.crt");
    assert.equal(await attempt(other.port, { trustRoots: both }), "ok");
  },
});

Deno.test({
  name: `a CA of the platform's store is not trusted beside the given one${skipped}`,
  ignore,
  fn: async () => {
    await using pki = await Pki.create();
    using server = new TlsServer(pki, "server-b");
    // Another process, because the store is chosen when a process starts: `--cert` adds CA b to it.
    const script = join(pki.dir, "attempt.ts");
    const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
    await Deno.writeTextFile(
      script,
      `import { SocketWire } from ${module("./socket_wire.ts")};
import { anonymous } from ${module("./connection.ts")};
import { systemClock } from ${module("../lib/clock.ts")};
for (const roots of [undefined, Deno.readTextFileSync(Deno.args[1])]) {
  const connection = { origin: "", server: new URL(Deno.args[0]), credentials: anonymous,
    ...(roots ? { trustRoots: () => roots } : {}) };
  const wire = new SocketWire({ connection, clock: systemClock, timeoutMs: 5000, maxConnections: 1 });
  const outcome = await wire.send({ method: "GET", target: "/", headers: [] })
    .then((it) => it.bytes()).then(() => "ok", (error) => error.failure);
  wire.close();
  console.log(outcome);
}
`,
    );
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-check", "--no-config", "--no-lock", "--allow-net", "--allow-read"],
        ...["--cert", join(pki.dir, "b.crt"), script],
        ...[`https://127.0.0.1:${server.port}`, join(pki.dir, "a.crt")],
      ],
    }).output();
    const text = new TextDecoder().decode(stdout).trim();
    assert.equal(text, "ok\ntls", new TextDecoder().decode(stderr));
  },
});

Deno.test({
  name: `a client certificate with another's key is refused in words${skipped}`,
  ignore,
  fn: async () => {
    await using pki = await Pki.create();
    using server = new TlsServer(pki, "server-a");
    const own = { cert: pki.read("client.crt"), key: pki.read("client.key") };
    const trustRoots = () => pki.read("a.crt");
    const credentials = new FixedCredentials({ clientCertificate: own });
    assert.equal(await attempt(server.port, { trustRoots, credentials }), "ok");
    const mixed = { ...own, key: pki.read("named.key") };
    assert.throws(() => assertPair(mixed), /the key does not belong to the certificate/);
    assert.throws(() => assertPair({ ...own, key: "nonsense" }), /not PEM/);
    const wrong = new FixedCredentials({ clientCertificate: mixed });
    assert.equal(await attempt(server.port, { trustRoots, credentials: wrong }), "credentials");
  },
});

Deno.test({
  name: `a chain leads to a root only by signatures${skipped}`,
  ignore,
  fn: async () => {
    await using pki = await Pki.create();
    const der = (name: string) =>
      Uint8Array.from(
        atob(pki.read(name).replace(/-----[^-]+-----|\s/g, "")),
        (character) => character.charCodeAt(0),
      );
    const [leaf, a, b] = [der("server-a.crt"), pki.read("a.crt"), pki.read("b.crt")];
    assert.ok(chainLeadsTo([leaf], [a]));
    assert.ok(chainLeadsTo([leaf], [b, a]));
    assert.ok(chainLeadsTo([leaf, der("a.crt")], [a]));
    assert.ok(chainLeadsTo([leaf], [pki.read("server-a.crt")]));
    assert.ok(!chainLeadsTo([leaf], [b]));
    assert.ok(!chainLeadsTo([leaf, der("b.crt")], [b]));
    assert.ok(!chainLeadsTo([], [a]));
    const forged = Uint8Array.from(leaf);
    forged[60] = (forged[60] as number) ^ 1;
    assert.ok(!chainLeadsTo([forged], [a]));
    for (let cut = 0; cut < leaf.length; cut += 7) {
      assert.ok(!chainLeadsTo([leaf.slice(0, cut)], [a]));
    }
  },
});

/** A proxy for one kind of handshake; afterwards bytes pass both ways. */
async function withProxy(
  handshake: (socket: net.Socket) => Promise<number>,
  test: (port: number) => Promise<void>,
): Promise<void> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer(async (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    const target = await handshake(socket);
    if (target === 0) return;
    const upstream = net.connect(target, "127.0.0.1");
    sockets.add(upstream);
    upstream.on("error", () => socket.destroy());
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await test((server.address() as net.AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const received = async (socket: net.Socket) => (await once(socket, "data"))[0] as Uint8Array;

Deno.test({
  name: `an HTTP proxy is asked with its password; its refusal is told${skipped}`,
  ignore,
  fn: async () => {
    await using pki = await Pki.create();
    using server = new TlsServer(pki, "server-a");
    const trustRoots = () => pki.read("a.crt");
    let asked = "";
    const handshake = async (socket: net.Socket) => {
      asked = new TextDecoder().decode(await received(socket));
      const allowed = asked.includes(`Proxy-Authorization: Basic ${btoa("me:p w")}\r\n`);
      socket.write(`HTTP/1.1 ${allowed ? "200 OK" : "407 Who are you"}\r\nX: y\r\n\r\n`);
      return allowed ? server.port : 0;
    };
    await withProxy(handshake, async (port) => {
      const proxy = new URL(`http://me:p%20w@127.0.0.1:${port}`);
      assert.equal(await attempt(server.port, { trustRoots, proxy }), "ok");
      assert.match(asked, new RegExp(`^CONNECT 127\\.0\\.0\\.1:${server.port} HTTP/1\\.1\r\n`));
      const nobody = new URL(`http://127.0.0.1:${port}`);
      assert.equal(await attempt(server.port, { trustRoots, proxy: nobody }), "connect");
    });
  },
});

Deno.test({
  name: `a SOCKS5 proxy is asked by name; its refusal is told${skipped}`,
  ignore,
  fn: async () => {
    await using pki = await Pki.create();
    using server = new TlsServer(pki, "server-a");
    const trustRoots = () => pki.read("a.crt");
    let code = 0;
    const handshake = async (socket: net.Socket) => {
      assert.deepEqual([...await received(socket)], [5, 1, 0]);
      socket.write(Uint8Array.of(5, 0));
      const request = await received(socket);
      assert.deepEqual([...request.slice(0, 5)], [5, 1, 0, 3, "127.0.0.1".length]);
      const port = ((request.at(-2) as number) << 8) + (request.at(-1) as number);
      socket.write(Uint8Array.of(5, code, 0, 1, 0, 0, 0, 0, 0, 0));
      return code === 0 ? port : 0;
    };
    await withProxy(handshake, async (port) => {
      const proxy = new URL(`socks5://127.0.0.1:${port}`);
      assert.equal(await attempt(server.port, { trustRoots, proxy }), "ok");
      code = 5;
      assert.equal(await attempt(server.port, { trustRoots, proxy }), "connect");
    });
  },
});
