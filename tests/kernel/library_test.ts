/** Opening libbpf: where it is looked for, and what is said when it is not there. */
import assert from "node:assert/strict";
import { FEATURES, hasFeature, kernelVersion, minimumKernel } from "../../ffi/mod.ts";
import { kernelTest } from "./support/sandbox.ts";

/** In a process of its own: a library stays open once it is. */
async function open(path: string | undefined): Promise<string> {
  const module = JSON.stringify(new URL("../../ffi/mod.ts", import.meta.url).href);
  const code = `import { libraryInfo } from ${module};
    try { console.log(JSON.stringify(libraryInfo())); }
    catch (error) { console.log(error.name + ": " + error.message); }`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", code],
    env: { NO_COLOR: "1", ...(path === undefined ? {} : { LIBBPF_PATH: path }) },
  }).output();
  return new TextDecoder().decode(stdout).trim();
}

kernelTest("LIBBPF_PATH names the library, and what is no libbpf is refused", async () => {
  const found = await open(undefined);
  const { path, version } = JSON.parse(found);
  assert.match(version, /^v1\./);
  assert.equal(await open(path), found);
  assert.equal(
    await open("/nonexistent/libbpf.so.1"),
    "LibraryError: Cannot open libbpf: none of /nonexistent/libbpf.so.1 exists",
  );
  const { pathname } = new URL(import.meta.url);
  assert.ok((await open(pathname)).startsWith(`LibraryError: Cannot open ${pathname}: `));
  const libc = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6"]
    .find((path) => {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    });
  if (libc !== undefined) assert.match(await open(libc), /^LibraryError: Cannot open .*libc/);
});

kernelTest("a feature is missing only below the kernel that brought it", () => {
  const { major, minor } = kernelVersion();
  const lacking = FEATURES.filter((feature) => {
    const [needMajor = 0, needMinor = 0] = minimumKernel(feature).split(".").map(Number);
    const isOld = major < needMajor || (major === needMajor && minor < needMinor);
    return !isOld && !hasFeature(feature);
  });
  assert.deepEqual(lacking, []);
  return Promise.resolve();
});
