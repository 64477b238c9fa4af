import assert from "node:assert/strict";
import config from "../deno.json" with { type: "json" };
import { readPackageList } from "./debian_packages.ts";

const read = (path: string) => Deno.readTextFileSync(new URL(`../${path}`, import.meta.url));

Deno.test("an image that is built without arguments says the version of this program", () => {
  const [, version] = /^ARG VERSION=(.*)$/m.exec(read("deploy/image/Containerfile")) ?? [];
  assert.equal(version, config.version);
});

Deno.test("every Debian package is pinned by its hash, for both architectures", () => {
  const { packages, snapshot } = readPackageList();
  assert.match(snapshot, /^\d{8}T\d{6}Z$/);
  assert.deepEqual(packages.map(({ name }) => name), [
    ...["ca-certificates", "gcc-12-base", "libbpf1", "libc6", "libelf1", "libgcc-s1", "zlib1g"],
  ]);
  for (const { name, deb } of packages) {
    for (const machine of ["amd64", "arm64"] as const) {
      assert.match(deb[machine].sha256, /^[0-9a-f]{64}$/, name);
      assert.match(deb[machine].path, new RegExp(`/${name}_[^/]*_(${machine}|all)\\.deb$`));
    }
  }
});
