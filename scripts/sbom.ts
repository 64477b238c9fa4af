/**
 * The image's bill of materials, SPDX 2.3 in JSON: every file with its hashes and where it is from,
 * every Debian and npm package with its hash, licence and package URL, and the Deno runtime.
 *
 * What it does not list: the Rust crates inside of the runtime, which Deno's own releases document.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { PinnedPackage } from "./debian_packages.ts";
import type { ImageContents, ImageFile, NpmPackage } from "./image_files.ts";
import type { Machine } from "./machines.ts";

export interface SbomOptions {
  contents: ImageContents;
  machine: Machine;
  version: string;
  commit: string;
  /** Seconds since 1970. */
  time: number;
  /** Version of the runtime inside. */
  deno: string;
  /** `npm` of deno.lock: by `name@version`. */
  lock: Readonly<Record<string, { integrity: string } | undefined>>;
  /** Where in the image this document will be; without a hash, as it cannot hold its own. */
  path: string;
}

const NAMESPACE = "https://podconfig.example.com/spdx";
const PROGRAM_ID = "SPDXRef-program";
const IMAGE_ID = "SPDXRef-image";
const RUNTIME_ID = "SPDXRef-runtime-deno";

const hash = (algorithm: string, data: Uint8Array | string) =>
  createHash(algorithm).update(data).digest("hex");
/** Letters, digits, `.` and `-` are all that an identifier may have. */
const idOf = (kind: string, name: string) =>
  `SPDXRef-${kind}-${name.replaceAll(/[^A-Za-z0-9.]+/g, "-")}`;
const purl = (locator: string) => [{
  referenceCategory: "PACKAGE-MANAGER",
  referenceType: "purl",
  referenceLocator: locator,
}];

/** @returns the document, as text that depends on the options alone. */
export function sbom(options: SbomOptions): string {
  const { contents, machine, version, commit, time } = options;
  const files = contents.files.map(fileEntry);
  const packages = [
    imagePackage(options, files),
    programPackage(options),
    runtimePackage(options),
    ...contents.npm.map((each) => npmPackage(each, options)),
    ...contents.debian.packages.map((each) => debianPackage(each, machine)),
  ];
  const document = {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `podconfigmap-controller-${version}-${machine}`,
    documentNamespace: "",
    creationInfo: {
      created: new Date(time * 1000).toISOString().replace(".000", ""),
      creators: ["Tool: podconfigmap-controller/scripts/image.ts"],
    },
    packages,
    files,
    relationships: relationships(contents),
  };
  // Must be unique to this content.
  const digest = hash("sha256", JSON.stringify(document)).slice(0, 32);
  document.documentNamespace = `${NAMESPACE}/${version}-${commit}-${machine}-${digest}`;
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

function fileEntry({ path, content, origin }: ImageFile) {
  return {
    fileName: `./${path}`,
    SPDXID: idOf("file", path),
    checksums: ["sha1", "sha256"].map((algorithm) => ({
      algorithm: algorithm.toUpperCase(),
      checksumValue: hash(algorithm, content),
    })),
    licenseConcluded: "NOASSERTION",
    licenseInfoInFiles: ["NOASSERTION"],
    copyrightText: "NOASSERTION",
    comment: origin === "program" ? "of this project" : `from the Debian package ${origin}`,
  };
}

/** What every package has. */
function packageEntry(id: string, name: string, versionInfo: string, license: string) {
  return {
    SPDXID: id,
    name,
    versionInfo,
    filesAnalyzed: false,
    licenseConcluded: "NOASSERTION",
    licenseDeclared: license,
    copyrightText: "NOASSERTION",
  };
}

function imagePackage(
  { version, commit, machine, path }: SbomOptions,
  files: readonly ReturnType<typeof fileEntry>[],
) {
  const hashes = files.map(({ checksums: [sha1] }) => sha1?.checksumValue ?? "").sort();
  return {
    ...packageEntry(IMAGE_ID, "podconfigmap-controller-image", version, "NOASSERTION"),
    primaryPackagePurpose: "CONTAINER",
    downloadLocation: "NOASSERTION",
    filesAnalyzed: true,
    packageVerificationCode: {
      packageVerificationCodeValue: hash("sha1", hashes.join("")),
      packageVerificationCodeExcludedFiles: [`./${path}`],
    },
    comment: `commit ${commit}, linux/${machine}`,
    externalRefs: purl(`pkg:oci/podconfigmap-controller?arch=${machine}&tag=${version}`),
  };
}

function programPackage({ version, commit }: SbomOptions) {
  return {
    ...packageEntry(PROGRAM_ID, "podconfigmap-controller", version, "Apache-2.0"),
    primaryPackagePurpose: "APPLICATION",
    downloadLocation: "NOASSERTION",
    sourceInfo: `commit ${commit}`,
    externalRefs: purl(`pkg:generic/podconfigmap-controller@${version}`),
  };
}

function runtimePackage({ deno }: SbomOptions) {
  return {
    ...packageEntry(RUNTIME_ID, "deno", deno, "MIT"),
    downloadLocation: `https://github.com/denoland/deno/archive/refs/tags/v${deno}.tar.gz`,
    externalRefs: purl(`pkg:github/denoland/deno@v${deno}`),
  };
}

function npmPackage({ name, version, license }: NpmPackage, { lock }: SbomOptions) {
  const integrity = /^sha512-(.+)$/.exec(lock[`${name}@${version}`]?.integrity ?? "")?.[1];
  if (integrity === undefined) {
    throw new Error(`Cannot describe ${name}@${version}: deno.lock has no SHA-512 of it`);
  }
  const file = `${name.split("/").at(-1)}-${version}.tgz`;
  return {
    ...packageEntry(npmId({ name, version }), name, version, license),
    downloadLocation: `https://registry.npmjs.org/${name}/-/${file}`,
    checksums: [{
      algorithm: "SHA512",
      checksumValue: Buffer.from(integrity, "base64").toString("hex"),
    }],
    externalRefs: purl(`pkg:npm/${name.replace("@", "%40")}@${version}`),
  };
}

const npmId = ({ name, version }: Pick<NpmPackage, "name" | "version">) =>
  idOf("npm", `${name}-${version}`);

function debianPackage({ name, version, license, deb }: PinnedPackage, machine: Machine) {
  const { path, sha256 } = deb[machine];
  const arch = path.endsWith("_all.deb") ? "all" : machine;
  const locator = `pkg:deb/debian/${name}@${encodeURIComponent(version)}`;
  return {
    ...packageEntry(idOf("deb", name), name, version, license),
    supplier: "Organization: Debian",
    downloadLocation: `https://deb.debian.org/${path}`,
    checksums: [{ algorithm: "SHA256", checksumValue: sha256 }],
    externalRefs: purl(`${locator}?arch=${arch}&distro=debian-12`),
  };
}

function relationships({ files, npm, debian }: ImageContents) {
  const relation = (from: string, relationshipType: string, to: string) => ({
    spdxElementId: from,
    relationshipType,
    relatedSpdxElement: to,
  });
  return [
    relation("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE_ID),
    relation(IMAGE_ID, "DEPENDS_ON", PROGRAM_ID),
    relation(PROGRAM_ID, "DEPENDS_ON", RUNTIME_ID),
    ...npm.map((each) => relation(PROGRAM_ID, "DEPENDS_ON", npmId(each))),
    ...debian.packages.map(({ name }) => relation(IMAGE_ID, "DEPENDS_ON", idOf("deb", name))),
    ...files.map(({ path }) => relation(IMAGE_ID, "CONTAINS", idOf("file", path))),
    ...files.map(({ path, origin }) => {
      const source = origin === "program" ? PROGRAM_ID : idOf("deb", origin);
      return relation(idOf("file", path), "GENERATED_FROM", source);
    }),
  ];
}
