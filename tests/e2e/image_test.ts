/** The image as a file: the same from two places, what is in it, and its bill of materials. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import config from "../../deno.json" with { type: "json" };
import { BUILD_MACHINE, MACHINES } from "../../scripts/machines.ts";
import { UnpackedImage } from "../support/container.ts";
import { output, run, temporaryDir } from "../support/processes.ts";
import { testNeeding } from "../support/requirements.ts";
import { report } from "./replicas.ts";
import { ROOT } from "./stage.ts";

const SIZE_LIMIT = 45e6;
const SBOM = "usr/share/doc/podconfigmap-controller/sbom.spdx.json";
const { multiarch, loader } = MACHINES[BUILD_MACHINE];

/** All of it, and why. */
const CONTENTS = [
  "podconfigmap-controller",
  "agent-launcher",
  // What the program is linked with; libgcc_s unwinds for Rust.
  loader.slice(1),
  ...["libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "librt.so.1"]
    .map((name) => `lib/${multiarch}/${name}`),
  // What eBPF takes.
  `usr/lib/${multiarch}/libbpf.so.1`,
  `usr/lib/${multiarch}/libelf.so.1`,
  `lib/${multiarch}/libz.so.1`,
  // Whom to trust, when a kubeconfig does not say; who user 65532 is.
  "etc/ssl/certs/ca-certificates.crt",
  "etc/group",
  "etc/passwd",
  // Without them none of it may be passed on.
  ...["ca-certificates", "gcc-12-base", "libbpf1", "libc6", "libelf1", "podconfigmap-controller"]
    .map((name) => `usr/share/doc/${name}/copyright`),
  "usr/share/doc/zlib1g/copyright",
  SBOM,
].sort();

testNeeding({
  needs: ["DENORT_BIN", "buildah", "umoci", "pyspdxtools"],
  name:
    "make image: the same digest from two checkouts, small, and nothing in it but what is needed (as root)",
  ignore: Deno.uid() !== 0,
  async fn(t) {
    await using dir = await temporaryDir("image");
    const one = await buildIn(`${dir.path}/one`);
    await t.step("two checkouts of one commit give the same image, program and SBOM", async () => {
      const other = await buildIn(`${dir.path}/further/away/other`);
      assert.equal(one.digest, other.digest);
      assert.equal(await hashOf(one.archive), await hashOf(other.archive));
      assert.equal(await hashOf(one.sbom), await hashOf(other.sbom));
    });
    const image = await UnpackedImage.from({
      ...{ archive: one.archive, reference: `podconfigmap-controller:${config.version}` },
    }, `${dir.path}/unpacked`);
    await t.step("nothing is in it but what is needed", () => {
      assert.deepEqual(filesBelow(image.rootfs).sort(), CONTENTS);
    });
    await t.step("its libraries are its own, and all that are needed", () => areItsOwn(image));
    await t.step("entry point, user and labels", () => isDescribed(image, one.archive));
    await t.step("the launcher alone has file capabilities", async () => {
      const found = await output("getcap", ["-r", image.rootfs]);
      const file = `${image.rootfs}/agent-launcher`;
      assert.equal(found, `${file} cap_net_admin,cap_perfmon,cap_bpf=ep\n`);
    });
    await t.step(
      "it is small, and no file names a folder of the machine that built it",
      async () => {
        const { size } = await Deno.stat(one.archive);
        report(`image: ${(size / 1e6).toFixed(1)} MB compressed, ${one.digest}`);
        assert.ok(size < SIZE_LIMIT, `${size} bytes`);
        for (const name of CONTENTS) {
          const bytes = await Deno.readFile(`${image.rootfs}/${name}`);
          const text = new TextDecoder("latin1").decode(bytes);
          assert.ok(!text.includes(dir.path), name);
          assert.ok(!text.includes("/npm/registry.npmjs.org/"), name);
        }
      },
    );
    await t.step("the bill of materials lists every file as it is", () => listsFiles(image));
    await t.step("the bill of materials is valid SPDX", () => isValid(one.sbom));
    await t.step("make rootfs: the same without buildah", () => rootfsIn(one.folder));
  },
});

async function isValid(sbom: string): Promise<void> {
  const valid = await run("pyspdxtools", ["-i", sbom]);
  assert.equal(valid.code, 0, valid.stderr);
  // The validator does find faults.
  const broken = `${sbom}.broken.spdx.json`;
  const text = await Deno.readTextFile(sbom);
  await Deno.writeTextFile(broken, text.replace(`"Zlib"`, `"Zl ib"`));
  assert.notEqual((await run("pyspdxtools", ["-i", broken])).code, 0);
}

/** By the command that `make image` runs. */
async function script(folder: string, ...args: string[]): Promise<string> {
  const command = ["run", "--allow-all", "--no-check", "scripts/image.ts", ...args];
  return await output(Deno.execPath(), command, { cwd: folder });
}

async function buildIn(folder: string) {
  await output("git", ["clone", "--quiet", ROOT, folder]);
  const text = await script(folder);
  const digest = /^sha256:[0-9a-f]{64}$/m.exec(text)?.[0];
  assert.ok(digest, text);
  const at = `${folder}/dist/image`;
  return { folder, digest, archive: `${at}.tar`, sbom: `${at}.spdx.json` };
}

/** What an engine of one's own takes, and the command for it. */
async function rootfsIn(folder: string): Promise<void> {
  const text = await script(folder, "--rootfs");
  assert.match(text, /^docker build -f deploy\/image\/Containerfile --build-arg VERSION=/m);
  const listed = await output("tar", ["-tf", `${folder}/dist/image/rootfs.tar`]);
  const files = listed.trimEnd().split("\n").filter((name) => !name.endsWith("/"));
  assert.deepEqual(files.sort(), CONTENTS);
}

async function hashOf(file: string): Promise<string> {
  return createHash("sha256").update(await Deno.readFile(file)).digest("hex");
}

function filesBelow(folder: string, prefix = ""): string[] {
  return [...Deno.readDirSync(`${folder}/${prefix}`)].flatMap(({ name, isDirectory }) => {
    const path = `${prefix}${name}`;
    return isDirectory ? filesBelow(folder, `${path}/`) : [path];
  });
}

/** As the image's own loader resolves them, without this machine's cache and folders. */
async function areItsOwn({ rootfs }: UnpackedImage): Promise<void> {
  const path = [`${rootfs}/lib/${multiarch}`, `${rootfs}/usr/lib/${multiarch}`].join(":");
  const used = new Set<string>();
  for (const file of ["podconfigmap-controller", `usr/lib/${multiarch}/libbpf.so.1`]) {
    const args = ["--inhibit-cache", "--library-path", path, "--list", `${rootfs}/${file}`];
    const listed = await output(`${rootfs}${loader}`, args);
    for (const [, found] of listed.matchAll(/=> (\S+) \(/g)) used.add(String(found));
  }
  const own = CONTENTS.filter((name) => /\.so\.\d+$/.test(name)).map((name) => `${rootfs}/${name}`);
  const opened = `${rootfs}/usr/lib/${multiarch}/libbpf.so.1`;
  // The loader is the one that was called, which says so in its own way.
  const expected = own.filter((name) => name !== opened && name !== `${rootfs}${loader}`);
  assert.deepEqual([...used].filter((name) => !name.endsWith(loader)).sort(), expected.sort());
}

async function isDescribed(image: UnpackedImage, archive: string): Promise<void> {
  assert.deepEqual(image.process["args"], ["/podconfigmap-controller"]);
  assert.deepEqual(image.process["user"], { uid: 65532, gid: 65532 });
  const read = async (path: string) => JSON.parse(await output("tar", ["-xOf", archive, path]));
  const [manifest] = await read("manifest.json");
  assert.deepEqual(manifest.RepoTags, [`podconfigmap-controller:${config.version}`]);
  const { architecture, config: { Labels } } = await read(manifest.Config);
  assert.equal(architecture, BUILD_MACHINE);
  const label = (name: string) => Labels[`org.opencontainers.image.${name}`];
  assert.equal(label("version"), config.version);
  assert.match(label("revision"), /^[0-9a-f]{12}$/);
  assert.match(label("created"), /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(label("licenses"), "Apache-2.0");
}

function listsFiles({ rootfs }: UnpackedImage): void {
  const { files } = JSON.parse(Deno.readTextFileSync(`${rootfs}/${SBOM}`));
  const listed = files.map(({ fileName, checksums }: {
    fileName: string;
    checksums: { algorithm: string; checksumValue: string }[];
  }) => {
    const sha256 = checksums.find(({ algorithm }) => algorithm === "SHA256");
    return `${sha256?.checksumValue} ${fileName}`;
  });
  const present = CONTENTS.filter((path) => path !== SBOM).map((path) => {
    const bytes = Deno.readFileSync(`${rootfs}/${path}`);
    return `${createHash("sha256").update(bytes).digest("hex")} ./${path}`;
  });
  assert.deepEqual(listed.sort(), present.sort());
}
