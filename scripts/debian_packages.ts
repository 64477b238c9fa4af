/**
 * The Debian packages that the image takes files from: pinned in deploy/image/packages.json by
 * version and SHA-256, for both architectures.
 *
 *     deno run -A scripts/debian_packages.ts    pins what Debian 12 has now (needs apt)
 *
 * apt checks Debian's signatures when the list is made; from then on the hash decides. A package that
 * a later one replaced goes from Debian's pool, and is then taken from snapshot.debian.org.
 */
import { createHash } from "node:crypto";
import { run } from "./run.ts";
import { type Machine, MACHINES } from "./machines.ts";

export interface PinnedPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX expression of what the image holds of it. */
  readonly license: string;
  /** Names of its libraries that go into the image. */
  readonly libraries: readonly string[];
  readonly deb: Readonly<Record<Machine, { path: string; sha256: string }>>;
}

export interface PackageList {
  /** When the list was made, as snapshot.debian.org writes it. */
  readonly snapshot: string;
  readonly packages: readonly PinnedPackage[];
}

const LIST_FILE = new URL("../deploy/image/packages.json", import.meta.url).pathname;
const APT_HELPER = "/usr/lib/apt/apt-helper";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** What the program needs; everything else about a package is looked up. */
const WANTED: readonly Omit<PinnedPackage, "version" | "deb">[] = [
  { name: "ca-certificates", license: "MPL-2.0", libraries: [] },
  // Only for the terms of libgcc-s1, which refers to it.
  { name: "gcc-12-base", license: "GPL-3.0-or-later WITH GCC-exception-3.1", libraries: [] },
  {
    name: "libbpf1",
    license: "LGPL-2.1-only OR BSD-2-Clause",
    libraries: ["libbpf.so.1"],
  },
  {
    name: "libc6",
    license: "LGPL-2.1-or-later",
    libraries: ["libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1"],
  },
  {
    name: "libelf1",
    license: "GPL-2.0-or-later OR LGPL-3.0-or-later",
    libraries: ["libelf.so.1"],
  },
  {
    name: "libgcc-s1",
    license: "GPL-3.0-or-later WITH GCC-exception-3.1",
    libraries: ["libgcc_s.so.1"],
  },
  { name: "zlib1g", license: "Zlib", libraries: ["libz.so.1"] },
];

export function readPackageList(): PackageList {
  return JSON.parse(Deno.readTextFileSync(LIST_FILE));
}

/**
 * Unpacks a package into `folder`.
 * @param cache folder in which downloads stay, by their hash.
 * @throws Error when it cannot be had, or is not the pinned one.
 */
export async function unpackPackage(
  { snapshot }: PackageList,
  { name, version, deb }: PinnedPackage,
  { machine, cache, folder }: { machine: Machine; cache: string; folder: string },
): Promise<void> {
  const { path, sha256 } = deb[machine];
  const file = `${cache}/${sha256}.deb`;
  if (await hashOf(file) !== sha256) {
    await Deno.mkdir(cache, { recursive: true });
    await download(`${name} ${version}`, { path, snapshot, sha256, file });
  }
  await run(`unpack ${name}`, "dpkg-deb", ["--extract", file, folder]);
}

async function download(
  what: string,
  { path, snapshot, sha256, file }: Record<"path" | "snapshot" | "sha256" | "file", string>,
): Promise<void> {
  const [archive, ...below] = path.split("/");
  const urls = [
    `https://deb.debian.org/${path}`,
    `https://snapshot.debian.org/archive/${archive}/${snapshot}/${below.join("/")}`,
  ];
  const failures: unknown[] = [];
  for (const url of urls) {
    try {
      const partial = `${file}.${Deno.pid}`;
      await run(`get ${what}`, APT_HELPER, ["download-file", url, partial, `SHA256:${sha256}`]);
      // Whole or not at all, whoever builds at the same time.
      await Deno.rename(partial, file);
      return;
    } catch (error) {
      failures.push(error);
    }
  }
  throw new AggregateError(failures, failures.map(String).join("\n"));
}

async function hashOf(file: string): Promise<string | undefined> {
  try {
    return createHash("sha256").update(await Deno.readFile(file)).digest("hex");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

const SOURCES = ["debian bookworm", "debian bookworm-updates", "debian-security bookworm-security"];

/** A configuration of apt's that has nothing to do with this machine's. */
async function privateApt(folder: string, machine: Machine): Promise<string[]> {
  const lines = SOURCES.map((source) => {
    const [archive, suite] = source.split(" ");
    return `deb [signed-by=${KEYRING}] http://deb.debian.org/${archive} ${suite} main\n`;
  });
  await Deno.mkdir(`${folder}/lists/partial`, { recursive: true });
  await Deno.mkdir(`${folder}/cache/archives/partial`, { recursive: true });
  await Deno.writeTextFile(`${folder}/sources.list`, lines.join(""));
  await Deno.writeTextFile(`${folder}/status`, "");
  return [
    `APT::Architecture=${machine}`,
    `APT::Architectures=${machine}`,
    "Acquire::Languages=none",
    `Dir::State::lists=${folder}/lists`,
    `Dir::State::status=${folder}/status`,
    `Dir::Cache=${folder}/cache`,
    `Dir::Etc::sourcelist=${folder}/sources.list`,
    "Dir::Etc::sourceparts=-",
  ].flatMap((option) => ["-o", option]);
}

interface Found {
  version: string;
  path: string;
  sha256: string;
}

/** What Debian has of the wanted packages, checked by apt. */
async function lookUp(machine: Machine): Promise<Map<string, Found>> {
  const folder = await Deno.makeTempDir({ prefix: "podconfigmap-apt-" });
  try {
    const options = await privateApt(folder, machine);
    await run("read Debian's package lists", "apt-get", [...options, "update"]);
    const names = WANTED.map(({ name }) => name);
    const uris = await run("look up packages", "apt-get", [
      ...[...options, "download", "--print-uris", ...names],
    ]);
    const found = new Map<string, Found>();
    const line =
      /^'http:\/\/deb\.debian\.org\/(\S+)' ([^_]+)_([^_]+)_\S+ \d+ SHA256:([0-9a-f]{64})/;
    for (const text of uris.split("\n").filter((each) => each !== "")) {
      const [, path = "", name = "", version = "", sha256 = ""] = line.exec(text) ?? [];
      found.set(name, { path, version: decodeURIComponent(version), sha256 });
    }
    return found;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function makeList(): Promise<PackageList> {
  const machines = Object.keys(MACHINES) as Machine[];
  const found = await Promise.all(machines.map(lookUp));
  const packages = WANTED.map((wanted) => {
    const each = found.map((of) => of.get(wanted.name));
    const versions = new Set(each.map((one) => one?.version));
    const [version] = versions;
    if (version === undefined || versions.size > 1) {
      throw new Error(`Cannot pin ${wanted.name}: versions ${[...versions].join(", ")}`);
    }
    const deb = Object.fromEntries(machines.map((machine, index) => {
      const { path = "", sha256 = "" } = each[index] ?? {};
      return [machine, { path, sha256 }];
    })) as PinnedPackage["deb"];
    return { ...wanted, version, deb };
  });
  const snapshot = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  return { snapshot, packages };
}

if (import.meta.main) {
  await Deno.writeTextFile(LIST_FILE, `${JSON.stringify(await makeList(), undefined, 2)}\n`);
}
