import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import { run } from "./run.ts";
import { fileCapabilities, tarArchive, type TarFile } from "./tar.ts";

const text = (value: string) => new TextEncoder().encode(value);
const FILES: TarFile[] = [
  { path: "usr/bin/tool", content: text("#!"), mode: 0o755, capabilities: fileCapabilities([13]) },
  { path: "etc/passwd", content: text("x".repeat(512)) },
  { path: "etc/empty", content: text("") },
];

async function listed(archive: Uint8Array<ArrayBuffer>): Promise<string> {
  const file = await Deno.makeTempFile({ prefix: "tar-test-" });
  try {
    await Deno.writeFile(file, archive);
    // A star after the mode: there are extended attributes.
    const flags = [
      "--utc",
      "--numeric-owner",
      "--full-time",
      "--xattrs",
      "--xattrs-include=*",
      "-tvvf",
    ];
    return (await run("list", "tar", [...flags, file])).replaceAll(/ +/g, " ");
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("tar reads what was written: folders above, modes, owner, time, file capabilities", async () => {
  assert.equal(
    await listed(tarArchive(FILES, 1_700_000_000)),
    `drwxr-xr-x 0/0 0 2023-11-14 22:13:20 etc/
-rw-r--r-- 0/0 0 2023-11-14 22:13:20 etc/empty
-rw-r--r-- 0/0 512 2023-11-14 22:13:20 etc/passwd
drwxr-xr-x 0/0 0 2023-11-14 22:13:20 usr/
drwxr-xr-x 0/0 0 2023-11-14 22:13:20 usr/bin/
-rwxr-xr-x* 0/0 2 2023-11-14 22:13:20 usr/bin/tool
`,
  );
});

Deno.test("the order in which files are given does not matter", () => {
  assert.deepEqual(tarArchive(FILES, 1), tarArchive(FILES.toReversed(), 1));
});

Deno.test("a name that does not fit is refused, not cut", () => {
  const path = "x".repeat(101);
  assert.throws(() => tarArchive([{ path, content: text("") }], 0), /the name is too long/);
});

Deno.test("capabilities are what setcap writes", () => {
  // setcap cap_net_admin,cap_perfmon,cap_bpf+ep FILE; getfattr -e hex -n security.capability FILE
  const expected = "0100000200100000" + "00000000" + "c0000000" + "00000000";
  assert.equal(Buffer.from(fileCapabilities([12, 38, 39])).toString("hex"), expected);
});
