/**
 * What is in the image, file by file: the program, its libraries, the agent's launcher, CA
 * certificates, the user, and the terms under which all of it may be passed on.
 */
import { bundleProgram, compileBundle } from "./build.ts";
import {
  type PackageList,
  type PinnedPackage,
  readPackageList,
  unpackPackage,
} from "./debian_packages.ts";
import { BUILD_MACHINE, type Machine, MACHINES } from "./machines.ts";
import { run } from "./run.ts";
import { fileCapabilities, type TarFile } from "./tar.ts";

/** Where a file of the image comes from: a Debian package's name, or `program`. */
export interface ImageFile extends TarFile {
  readonly origin: string;
}

export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX expression, as its package.json has it. */
  readonly license: string;
}

export interface ImageContents {
  readonly files: readonly ImageFile[];
  readonly debian: PackageList;
  /** Bundled into the program. */
  readonly npm: readonly NpmPackage[];
}

export interface ContentsOptions {
  machine: Machine;
  /** Of the program; default: that of deno.json. */
  version?: string;
  /** Default: a folder of the user's. */
  cache?: string;
}

const ROOT = new URL("../", import.meta.url).pathname;
const LAUNCHER_SOURCE = `${ROOT}deploy/image/launcher.c`;
export const DOCUMENTS = "usr/share/doc";
const PROGRAM = "program";
/** CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF: exactly those that the agent's container is granted. */
const LAUNCHER_CAPABILITIES = [12, 38, 39];
const USERS = [
  {
    path: "etc/passwd",
    format: (name: string, id: number) => `${name}:x:${id}:${id}:${name}:/:/sbin/nologin\n`,
  },
  { path: "etc/group", format: (name: string, id: number) => `${name}:x:${id}:\n` },
];

/** @throws Error that names the tool or package that is missing. */
export async function imageContents(options: ContentsOptions): Promise<ImageContents> {
  const work = await Deno.makeTempDir({ prefix: "podconfigmap-image-" });
  try {
    const bundle = await bundleProgram();
    const program = await compileBundle(bundle, {
      output: `${work}/podconfigmap-controller`,
      image: true,
      target: options.machine,
      ...(options.version === undefined ? {} : { version: options.version }),
    });
    const debian = readPackageList();
    const npm = await npmPackages(bundle.packages);
    const files: ImageFile[] = [
      ours("podconfigmap-controller", await Deno.readFile(program), 0o755),
      {
        ...ours("agent-launcher", await launcher(options.machine, work), 0o755),
        capabilities: fileCapabilities(LAUNCHER_CAPABILITIES),
      },
      ...USERS.map(({ path, format }) =>
        ours(path, text(format("root", 0) + format("nonroot", 65532)))
      ),
      ours(`${DOCUMENTS}/podconfigmap-controller/copyright`, text(await terms(npm))),
    ];
    for (const each of debian.packages) {
      files.push(...await debianFiles(debian, each, { ...options, work }));
    }
    return {
      files,
      debian,
      npm: npm.map(({ name, version, license }) => ({ name, version, license })),
    };
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

const text = (value: string) => new TextEncoder().encode(value);

function ours(path: string, content: Uint8Array, mode = 0o644): ImageFile {
  return { path, content, mode, origin: PROGRAM };
}

/** Without a C library: any compiler of the architecture will do. CC names another one. */
async function launcher(machine: Machine, work: string): Promise<Uint8Array> {
  const foreign = `${MACHINES[machine].triple.split("-")[0]}-linux-gnu-gcc`;
  const compiler = Deno.env.get("CC") || (machine === BUILD_MACHINE ? "cc" : foreign);
  const output = `${work}/agent-launcher`;
  await run(`compile the agent's launcher for ${machine}`, compiler, [
    ...["-Wall", "-Wextra", "-Os", "-ffreestanding", "-fno-stack-protector", "-fno-pie"],
    ...["-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-s"],
    ...["-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,noseparate-code"],
    ...["-o", output, LAUNCHER_SOURCE],
  ], "Set CC to a C compiler for it.");
  return await Deno.readFile(output);
}

async function debianFiles(
  list: PackageList,
  each: PinnedPackage,
  { machine, cache = userCache(), work }: ContentsOptions & { work: string },
): Promise<ImageFile[]> {
  const folder = `${work}/${each.name}`;
  await unpackPackage(list, each, { machine, cache, folder });
  const from = (path: string, content: Uint8Array, mode = 0o644): ImageFile => {
    return { path, content, mode, origin: each.name };
  };
  const { multiarch, loader } = MACHINES[machine];
  const files = each.libraries.map((name) => {
    const path = [`lib/${multiarch}/${name}`, `usr/lib/${multiarch}/${name}`]
      .find((candidate) => exists(`${folder}/${candidate}`));
    if (path === undefined) throw new Error(`Cannot find ${name} in the package ${each.name}`);
    return from(path, Deno.readFileSync(`${folder}/${path}`));
  });
  if (each.name === "libc6") {
    // There it is a link, to a path that a root of its own does not have here.
    const file = `${folder}/lib/${multiarch}/${loader.split("/").at(-1)}`;
    files.push(from(loader.slice(1), Deno.readFileSync(file), 0o755));
  }
  if (each.name === "ca-certificates") {
    const bundle = certificates(`${folder}/usr/share/ca-certificates/mozilla`);
    files.push(from("etc/ssl/certs/ca-certificates.crt", bundle));
  }
  const copyright = `${DOCUMENTS}/${each.name}/copyright`;
  // A link to the package that the terms are in, which is in the list as well.
  if (exists(`${folder}/${copyright}`)) {
    files.push(from(copyright, Deno.readFileSync(`${folder}/${copyright}`)));
  }
  return files;
}

function userCache(): string {
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`;
  return `${cache}/podconfigmap-image`;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** One file of all, as Debian's update-ca-certificates makes it. */
function certificates(folder: string): Uint8Array {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  return text(
    names.map((name) => `${Deno.readTextFileSync(`${folder}/${name}`).trim()}\n`).join(""),
  );
}

interface LicensedPackage extends NpmPackage {
  /** Text of its LICENSE file. */
  readonly terms: string;
}

/** What Deno's cache knows of them. */
async function npmPackages(names: readonly string[]): Promise<LicensedPackage[]> {
  const { npmCache } = JSON.parse(
    await run("find Deno's cache", Deno.execPath(), ["info", "--json"]),
  );
  return names.map((each) => {
    const [, name = "", version = ""] = /^(.+)@(.+)$/.exec(each) ?? [];
    const folder = `${npmCache}/registry.npmjs.org/${name}/${version}`;
    const { license } = JSON.parse(Deno.readTextFileSync(`${folder}/package.json`));
    const file = [...Deno.readDirSync(folder)].find((entry) => /^licen[cs]e/i.test(entry.name));
    const terms = file === undefined ? "" : Deno.readTextFileSync(`${folder}/${file.name}`);
    return { name, version, license, terms };
  });
}

/** The program's licence, and those of what is bundled into it. */
async function terms(packages: readonly LicensedPackage[]): Promise<string> {
  const own = await Deno.readTextFile(`${ROOT}LICENSE`);
  const heading =
    "The program contains the Deno runtime (MIT, https://github.com/denoland/deno) and:";
  const others = packages.map(({ name, version, license, terms }) =>
    `${"-".repeat(80)}\n${name} ${version} (${license})\n\n${terms.trim()}\n`
  );
  return [own, `${"=".repeat(80)}\n${heading}\n`, ...others].join("\n");
}
