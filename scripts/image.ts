/**
 * Builds the image of controller and agent, without an engine and without a base image.
 *
 *     deno task image [--target amd64|arm64] [--output PATH]
 *     deno task image --rootfs [--target amd64|arm64]
 *
 * - Writes dist/image.tar: an OCI archive that `docker load`, `podman load` and `ctr images import`
 *   take as well, and dist/image.spdx.json, its bill of materials, which is also inside.
 * - The same commit gives the same digest, with the same Deno, compiler and buildah.
 * - `--rootfs` ends before buildah: it leaves dist/image/rootfs.tar, which the Containerfile takes, for
 *   an engine of your own.
 * - Needs Debian or Ubuntu (apt's helper and dpkg-deb take the packages apart), a C compiler, buildah.
 */
import config from "../deno.json" with { type: "json" };
import { commit, commitTime, runtimeVersion } from "./build.ts";
import { DOCUMENTS, type ImageContents, imageContents } from "./image_files.ts";
import { BUILD_MACHINE, type Machine, machine } from "./machines.ts";
import { run, script } from "./run.ts";
import { sbom } from "./sbom.ts";
import { tarArchive } from "./tar.ts";

const NAME = "podconfigmap-controller";
const LOCK_FILE = new URL("../deno.lock", import.meta.url).pathname;
const CONTAINERFILE = new URL("../deploy/image/Containerfile", import.meta.url).pathname;
const SBOM_PATH = `${DOCUMENTS}/${NAME}/sbom.spdx.json`;

export interface ImageOptions {
  /** Path of the archive. Default: dist/image.tar. */
  output?: string;
  machine?: Machine;
  /** Default: that of deno.json. */
  version?: string;
}

export interface BuiltImage {
  /** `name:version`. */
  readonly reference: string;
  /** Path of the archive. */
  readonly archive: string;
  /** Of the manifest: what a registry will call it. */
  readonly digest: string;
  /** Of all layers, in bytes, as they are pushed. */
  readonly size: number;
  readonly rootfs: Rootfs;
}

/** The root file system as an archive, and what describes it. */
export interface Rootfs {
  readonly archive: Uint8Array<ArrayBuffer>;
  readonly contents: ImageContents;
  /** SPDX, JSON. */
  readonly sbom: string;
  /** For the Containerfile. */
  readonly args: Readonly<Record<"VERSION" | "REVISION" | "CREATED", string>>;
  /** Of every file, in seconds since 1970. */
  readonly time: number;
}

/** @throws Error that names the tool or package that is missing. */
export async function buildRootfs(options: ImageOptions = {}): Promise<Rootfs> {
  const { machine = BUILD_MACHINE, version = config.version } = options;
  const contents = await imageContents({ machine, version });
  const [revision, time, deno] = await Promise.all([
    commit(),
    commitTime(),
    runtimeVersion(machine),
  ]);
  const document = sbom({
    ...{ contents, machine, version, time, deno },
    commit: revision,
    lock: JSON.parse(await Deno.readTextFile(LOCK_FILE)).npm,
    path: SBOM_PATH,
  });
  const files = [...contents.files, {
    path: SBOM_PATH,
    content: new TextEncoder().encode(document),
  }];
  return {
    archive: tarArchive(files, time),
    contents,
    sbom: document,
    args: {
      VERSION: version,
      REVISION: revision,
      CREATED: new Date(time * 1000).toISOString().replace(".000", ""),
    },
    time,
  };
}

/** @throws Error that names the tool or package that is missing. */
export async function buildImage(options: ImageOptions = {}): Promise<BuiltImage> {
  const { machine = BUILD_MACHINE, output = "dist/image.tar" } = options;
  const rootfs = await buildRootfs(options);
  const tag = rootfs.args.VERSION;
  const work = await Deno.makeTempDir({ prefix: "podconfigmap-image-" });
  const buildah = (action: string, ...args: string[]) =>
    run(action, "buildah", [
      // No driver that needs mounts, no folder that other builds use.
      ...["--storage-driver", "vfs", "--root", `${work}/root`, "--runroot", `${work}/run`],
      ...args,
    ]);
  try {
    const context = `${work}/context`;
    await writeContext(context, rootfs);
    await buildah(
      "build the image",
      "bud",
      "--isolation=chroot",
      `--arch=${machine}`,
      "--os=linux",
      ...[
        `--timestamp=${rootfs.time}`,
        "--identity-label=false",
        ...Object.entries(rootfs.args).map(([name, value]) => `--build-arg=${name}=${value}`),
        `--tag=${NAME}:${tag}`,
        `--file=${CONTAINERFILE}`,
        context,
      ],
    );
    const layout = `${work}/oci`;
    await buildah(
      "write the image",
      "push",
      "--format=oci",
      `${NAME}:${tag}`,
      `oci:${layout}:${tag}`,
    );
    return { rootfs, ...await writeArchive(layout, tag, output) };
  } finally {
    // Without root, its files are of users whom only buildah can act for.
    await buildah("remove what building has left", "rmi", "--all", "--force").catch(() => {});
    await Deno.remove(work, { recursive: true });
  }
}

/** What the Containerfile takes, below the folder that it is built in. */
async function writeContext(folder: string, rootfs: Rootfs): Promise<void> {
  await Deno.mkdir(`${folder}/dist/image`, { recursive: true });
  await Deno.writeFile(`${folder}/dist/image/rootfs.tar`, rootfs.archive);
}

interface Descriptor {
  digest: string;
  size: number;
  annotations?: Record<string, string>;
}

/**
 * An OCI layout as one file, with the name where containerd looks for it, and with the index that
 * `docker load` of any age reads.
 */
async function writeArchive(
  layout: string,
  tag: string,
  output: string,
): Promise<Omit<BuiltImage, "rootfs">> {
  const reference = `${NAME}:${tag}`;
  const read = async (path: string) => JSON.parse(await Deno.readTextFile(`${layout}/${path}`));
  const blob = ({ digest }: Descriptor) => `blobs/${digest.replace(":", "/")}`;
  const index = await read("index.json");
  const descriptor: Descriptor = index.manifests[0];
  descriptor.annotations = {
    "io.containerd.image.name": `docker.io/library/${reference}`,
    "org.opencontainers.image.ref.name": tag,
  };
  const manifest: { config: Descriptor; layers: Descriptor[] } = await read(blob(descriptor));
  const forDocker = [{
    Config: blob(manifest.config),
    RepoTags: [reference],
    Layers: manifest.layers.map(blob),
  }];
  const json = (path: string, value: unknown) => {
    return { path, content: new TextEncoder().encode(JSON.stringify(value)) };
  };
  const blobs = [descriptor, manifest.config, ...manifest.layers].map(blob);
  const files = [
    json("oci-layout", { imageLayoutVersion: "1.0.0" }),
    json("index.json", index),
    json("manifest.json", forDocker),
    ...blobs.map((path) => ({ path, content: Deno.readFileSync(`${layout}/${path}`) })),
  ];
  await Deno.writeFile(output, tarArchive(files, 0));
  const size = manifest.layers.reduce((total, layer) => total + layer.size, 0);
  return { reference, archive: output, digest: descriptor.digest, size };
}

interface CommandLine extends ImageOptions {
  rootfsOnly?: boolean;
}

function parseArgs(args: readonly string[]): CommandLine {
  const options: CommandLine = {};
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--rootfs") options.rootfsOnly = true;
    else if (args[i] === "--output" && i + 1 < args.length) options.output = String(args[++i]);
    else if (args[i] === "--target" && i + 1 < args.length) options.machine = machine(args[++i]);
    else throw new Error(`Cannot build the image: unknown option ${args[i]}`);
  }
  return options;
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

async function main(options: CommandLine): Promise<string> {
  if (options.rootfsOnly) {
    const rootfs = await buildRootfs(options);
    await writeContext(".", rootfs);
    const { archive, args, sbom } = rootfs;
    await Deno.writeTextFile("dist/image.spdx.json", sbom);
    const flags = Object.entries(args).map(([name, value]) => `--build-arg ${name}=${value}`);
    return `dist/image/rootfs.tar (${megabytes(archive.length)}); with an engine of your own:\n` +
      `docker build -f deploy/image/Containerfile ${
        flags.join(" ")
      } -t ${NAME}:${args.VERSION} .\n`;
  }
  await Deno.mkdir("dist", { recursive: true });
  const { archive, reference, digest, size, rootfs } = await buildImage(options);
  await Deno.writeTextFile(archive.replace(/(\.tar)?$/, ".spdx.json"), rootfs.sbom);
  return `${archive}: ${reference}, ${megabytes(size)} compressed\n${digest}\n`;
}

if (import.meta.main) await script(() => main(parseArgs(Deno.args)));
