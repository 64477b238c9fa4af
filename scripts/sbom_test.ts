import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { ImageContents } from "./image_files.ts";
import { sbom, type SbomOptions } from "./sbom.ts";

const CONTENTS: ImageContents = {
  files: [
    { path: "program", content: new TextEncoder().encode("abc"), origin: "program" },
    { path: "lib/x86_64-linux-gnu/libz.so.1", content: new Uint8Array(), origin: "zlib1g" },
  ],
  debian: {
    snapshot: "20260101T000000Z",
    packages: [{
      name: "zlib1g",
      version: "1:1.2.13.dfsg-1+x",
      license: "Zlib",
      libraries: ["libz.so.1"],
      deb: {
        amd64: { path: "debian/pool/z_amd64.deb", sha256: "aa".repeat(32) },
        arm64: { path: "debian/pool/z_arm64.deb", sha256: "bb".repeat(32) },
      },
    }],
  },
  npm: [{ name: "@scope/one", version: "1.0.0", license: "MIT" }],
};
const OPTIONS: SbomOptions = {
  contents: CONTENTS,
  machine: "amd64",
  version: "1.2.3",
  commit: "0123456789ab",
  time: 1_700_000_000,
  deno: "2.9.6",
  lock: { "@scope/one@1.0.0": { integrity: `sha512-${Buffer.alloc(64, 1).toString("base64")}` } },
  path: "sbom.json",
};

// deno-lint-ignore no-explicit-any
const documentOf = (options = OPTIONS): any => JSON.parse(sbom(options));
const packageNamed = (name: string, options = OPTIONS) =>
  documentOf(options).packages.find((each: { name: string }) => each.name === name);

Deno.test("packages have their version, hash, licence and package URL", () => {
  const zlib = packageNamed("zlib1g");
  assert.equal(zlib.versionInfo, "1:1.2.13.dfsg-1+x");
  assert.equal(zlib.licenseDeclared, "Zlib");
  assert.deepEqual(zlib.checksums, [{ algorithm: "SHA256", checksumValue: "aa".repeat(32) }]);
  assert.equal(
    zlib.externalRefs[0].referenceLocator,
    "pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1%2Bx?arch=amd64&distro=debian-12",
  );
  const npm = packageNamed("@scope/one");
  assert.equal(npm.externalRefs[0].referenceLocator, "pkg:npm/%40scope/one@1.0.0");
  assert.equal(npm.downloadLocation, "https://registry.npmjs.org/@scope/one/-/one-1.0.0.tgz");
  assert.deepEqual(npm.checksums, [{ algorithm: "SHA512", checksumValue: "01".repeat(64) }]);
  const foreign = packageNamed("zlib1g", { ...OPTIONS, machine: "arm64" });
  assert.equal(foreign.checksums[0].checksumValue, "bb".repeat(32));
});

Deno.test("files have their hashes, and say what they are from", () => {
  const { files, relationships } = documentOf();
  assert.deepEqual(files[0].checksums, [
    { algorithm: "SHA1", checksumValue: "a9993e364706816aba3e25717850c26c9cd0d89d" },
    {
      algorithm: "SHA256",
      checksumValue: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    },
  ]);
  assert.ok(
    relationships.some((each: Record<string, string>) =>
      each["spdxElementId"] === files[1].SPDXID && each["relationshipType"] === "GENERATED_FROM" &&
      each["relatedSpdxElement"] === "SPDXRef-deb-zlib1g"
    ),
  );
});

Deno.test("the same contents give the same text, others another namespace", () => {
  assert.equal(sbom(OPTIONS), sbom({ ...OPTIONS }));
  const namespace = documentOf().documentNamespace;
  assert.notEqual(documentOf({ ...OPTIONS, deno: "2.9.7" }).documentNamespace, namespace);
});

Deno.test("a package that the lock file does not know is an error", () => {
  assert.throws(() => sbom({ ...OPTIONS, lock: {} }), /@scope\/one@1\.0\.0: deno\.lock has no/);
});
